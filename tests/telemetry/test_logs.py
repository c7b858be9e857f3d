"""Log lines lose secrets and control characters; a repeated warning is written once a minute, with its count."""

import json
import logging

import pytest
import structlog

from parley.telemetry import logs
from parley.telemetry.logs import FieldCleaner, RepeatLimit
from parley.telemetry.redaction import Redactor

NOW = [0.0]


@pytest.fixture
def limit() -> RepeatLimit:
    NOW[0] = 1000.0
    return RepeatLimit(lambda: NOW[0])


def warn(limit: RepeatLimit, method: str = "warning", **fields: str) -> dict[str, object] | None:
    """Return the fields of a line that passes the limit, None if it is held back."""
    try:
        return dict(limit.drop_repeated(None, method, {"event": "fault", **fields}))
    except structlog.DropEvent:
        return None


def test_a_repeated_warning_is_held_back_and_counted(limit: RepeatLimit) -> None:
    assert warn(limit) == {"event": "fault"}
    assert [warn(limit) for _ in range(5)] == [None] * 5

    NOW[0] += 60

    assert warn(limit) == {"event": "fault", "repeated": 5}
    assert warn(limit) is None


def test_another_fault_another_reason_and_every_error_is_written(limit: RepeatLimit) -> None:
    assert all(warn(limit, fault=fault) for fault in "abc")
    assert all(warn(limit, reason=reason) for reason in "def")
    assert all(warn(limit, method) for method in ("error", "info", "error", "info"))


def test_the_number_of_remembered_warnings_is_bounded(limit: RepeatLimit) -> None:
    for number in range(5000):
        assert warn(limit, fault=str(number))

    assert len(limit._last) <= 1000


def test_the_text_before_the_first_value_identifies_a_warning(limit: RepeatLimit) -> None:
    def passes(text: str, level: int = logging.WARNING) -> bool:
        return limit.filter(logging.LogRecord("gunicorn.error", level, "", 1, text, None, None))

    assert passes("Invalid request from ip=192.0.2.1: a") and not passes("Invalid request from ip=192.0.2.2: b")
    assert passes("Worker timeout: 1") and not passes("Worker timeout: 2")
    assert passes("Invalid request from ip=192.0.2.1: a", logging.ERROR)


SECRET = "hunter2-hunter2"


@pytest.fixture
def clean() -> FieldCleaner:
    return FieldCleaner(Redactor([SECRET]))


@pytest.mark.parametrize("length", [1, 1000], ids=["kept", "not kept"])
def test_a_field_loses_secrets_and_control_characters(clean: FieldCleaner, length: int) -> None:
    fields = {"reason": f"{'x' * length} {SECRET}\n\x1b[31m", "count": 3}

    assert clean(None, "", fields) == {"reason": f"{'x' * length} ***\\u000a\\u001b[31m", "count": 3}


def test_the_text_of_an_exception_keeps_its_lines(clean: FieldCleaner) -> None:
    assert clean(None, "", {"exception": f"a\n{SECRET}\r"}) == {"exception": "a\n***\\u000d"}


def test_a_value_that_json_lacks_is_written_as_its_repr() -> None:
    assert logs.to_json(None, "", {"event": "x", "value": {1, 2}}) == '{"event":"x","value":[1,2]}'
    assert (
        logs.to_json(None, "", {"event": "x", "value": ValueError("y")})
        == """{"event":"x","value":"ValueError('y')"}"""
    )


def gunicorns(text: str, error: Exception | None = None) -> logging.LogRecord:
    """Return a record as gunicorn makes it."""
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord("gunicorn.error", logging.WARNING, "", 1, text, None, exc_info)


def test_the_bytes_that_gunicorn_quotes_are_not_logged() -> None:
    record = gunicorns("Invalid request from ip=192.0.2.1: Invalid HTTP request line: 'my words'")

    assert logs.prepare_gunicorn_record(record)
    assert record.getMessage() == "Invalid request from ip=192.0.2.1: Invalid HTTP request line"


def test_gunicorns_traceback_of_a_send_timeout_is_dropped() -> None:
    assert not logs.prepare_gunicorn_record(gunicorns("Socket error processing request.", TimeoutError()))
    assert logs.prepare_gunicorn_record(gunicorns("Error handling request", ValueError()))


def test_a_librarys_record_becomes_one_line_of_json(clean: FieldCleaner) -> None:
    record = gunicorns(f"key {SECRET}")

    line = json.loads(logs.LibraryFormatter(None, clean).format(record))

    assert line.pop("timestamp")
    assert line == {"event": "key ***", "logger": "gunicorn.error", "level": "warning"}


def test_secrets_that_come_later_are_hidden_beside_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(logs._output, "write", written.append)
    try:
        logs.configure("warning", "json", ["first-secret"])
        logs.hide(["later-secret"])
        logs.hide(["first-secret", "later-secret"])
        logs.log.info("too_low", said="nothing")
        logs.log.warning("both", said="first-secret later-secret")
    finally:
        logs.configure("info", None)
    assert json.loads("".join(written))["said"] == "*** ***"
