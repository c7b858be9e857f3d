"""A complaint is written once a minute, and then says how often it was held back."""

import logging

import pytest
import structlog

from parley.telemetry.log_output import LogOutput
from parley.telemetry.logs import _Seldom

NOW = [0.0]


@pytest.fixture
def seldom() -> _Seldom:
    NOW[0] = 1000.0
    return _Seldom(lambda: NOW[0])


def complain(seldom: _Seldom, method: str = "warning", **fields: str) -> dict[str, object] | None:
    try:
        return dict(seldom.held_back(None, method, {"event": "fault", **fields}))
    except structlog.DropEvent:
        return None


def test_a_repeated_warning_is_held_back_and_counted(seldom: _Seldom) -> None:
    assert complain(seldom) == {"event": "fault"}
    assert [complain(seldom) for _ in range(5)] == [None] * 5

    NOW[0] += 60

    assert complain(seldom) == {"event": "fault", "repeated": 5}
    assert complain(seldom) is None


def test_another_fault_another_reason_and_every_error_is_written(seldom: _Seldom) -> None:
    assert all(complain(seldom, fault=fault) for fault in "abc")
    assert all(complain(seldom, reason=reason) for reason in "def")
    assert all(complain(seldom, method) for method in ("error", "info", "error", "info"))


def test_what_is_remembered_of_complaints_is_bounded(seldom: _Seldom) -> None:
    for number in range(5000):
        assert complain(seldom, fault=str(number))

    assert len(seldom._last) <= 1000


def test_gunicorns_warnings_are_told_apart_by_their_words_and_not_by_whose_fault_it_is(seldom: _Seldom) -> None:
    def passes(text: str, level: int = logging.WARNING) -> bool:
        return seldom.filter(logging.LogRecord("gunicorn.error", level, "", 1, text, None, None))

    assert passes("Invalid request from ip=192.0.2.1: a") and not passes("Invalid request from ip=192.0.2.2: b")
    assert passes("Worker timeout: 1") and not passes("Worker timeout: 2")
    assert passes("Invalid request from ip=192.0.2.1: a", logging.ERROR)


class Stuck:
    """A stream that takes nothing, as a queue that nobody empties."""

    def put(self, _text: str) -> None:
        """Nobody reads it."""


def test_lines_that_nobody_reads_are_dropped_above_a_bound() -> None:
    output = LogOutput(stream=None)  # type: ignore[arg-type]
    output._queue = Stuck()

    for _ in range(10_100):
        output.write("line\n")

    assert (output._taken, output._dropped) == (10_000, 100)
