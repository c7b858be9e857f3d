"""The line of the bases that are to be loaded: the order in it, the pauses after failures, its bounds."""

import math
import time

import gevent
import pytest

from parley.knowledge.database import load_queue
from parley.knowledge.database.load_queue import LoadQueue

SIZE = 10


def queue(limit: int = 30) -> LoadQueue:
    return LoadQueue(lambda name: SIZE, limit)


def await_(line: LoadQueue, name: str) -> None:
    line.want(name).waiting += 1


def order(line: LoadQueue, now: float = 1e12) -> list[str]:
    """Return the bases in the order in which they are loaded."""
    loaded = []
    while (name := line.next(now)) is not None:
        loaded.append(name)
        line.forget([name])
        line.leave(name, None)
    return loaded


def test_the_awaited_go_before_those_whose_callers_left() -> None:
    line = queue()
    line.want("left")
    await_(line, "a")
    await_(line, "b")

    assert order(line) == ["a", "b", "left"] and line.is_empty


def test_the_base_without_a_name_is_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    line = queue()
    line.want("")
    assert line.next(0.0) == ""
    await_(line, "a")
    await_(line, "")
    assert order(line) == ["", "a"]

    monkeypatch.setattr(load_queue, "RETRY_SECONDS", (0.0,))
    line.fail("", "out of order")
    assert line.next(1e12) == ""


def test_renewals_and_awaited_bases_take_turns() -> None:
    line = queue()
    line.renew(["old 1", "old 2", "old 3"], 0.0)
    for name in ("a", "b"):
        await_(line, name)

    assert order(line) == ["old 1", "a", "old 2", "b", "old 3"]


def test_a_renewal_waits_for_its_pause() -> None:
    line = queue()
    line.renew(["old"], 1000.0)

    assert line.next(time.monotonic()) is None and line.next(time.monotonic() + 1000) == "old"


def test_those_who_ask_for_the_same_share_one_demand() -> None:
    line = queue()

    assert line.want("a") is line.want("a") and order(line) == ["a"]


def test_abandoned_bases_stay_only_as_far_as_there_is_room() -> None:
    line = queue(limit=3 * SIZE)
    for number in range(9):
        line.want(str(number))
    await_(line, "awaited")

    assert order(line) == ["awaited", "6", "7", "8"]


def test_what_failed_is_tried_again_after_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_queue, "RETRY_SECONDS", (10.0, 50.0))
    line, now = queue(), time.monotonic()

    assert line.fail("a", "away") and line.is_pausing("a")
    assert line.next(now + 9) is None and line.next(now + 11) == "a"
    assert not line.fail("a", "away") and line.next(now + 40) is None
    assert line.fail("a", "broken") and line.next(now + 40) is None and line.next(now + 60) == "a"
    line.end_pauses()
    assert line.fault("a") == "broken" and not line.is_pausing("a") and line.next(now) == "a"


def test_failures_are_bounded_by_the_room() -> None:
    line = queue(limit=2 * SIZE)
    for name in "abc":
        line.fail(name, "away")

    assert line.excess() == ["a"] and line.fault("a") == "" and line.fault("b") == "away"


def test_a_wait_ends_when_a_base_is_wanted() -> None:
    line = queue()
    gevent.spawn(line.want, "a")

    with gevent.Timeout(30):
        line.wait(math.inf)

    assert order(line) == ["a"]


def test_a_wait_ends_when_a_failed_base_falls_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_queue, "RETRY_SECONDS", (0.01,))
    line = queue()
    line.fail("a", "away")

    with gevent.Timeout(30):
        line.wait(math.inf)

    assert line.next(time.monotonic()) == "a"
