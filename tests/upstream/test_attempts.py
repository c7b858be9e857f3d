"""Who is asked, in what order and how often; what the attempts that lose hold is let go."""

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest
import structlog
from gevent.event import Event

from parley.concurrency import SILENCE
from parley.errors import (
    AnswerCapped,
    InternalError,
    ParleyError,
    UpstreamAuthFailed,
    UpstreamBadResponse,
    UpstreamEmptyResponse,
    UpstreamError,
    UpstreamRedirect,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamTlsError,
    UpstreamUnreachable,
)
from parley.turn_record import TurnRecord
from parley.upstream.attempts import Attempts, UpstreamHealth
from parley.upstream.retries import RetryBudget

SOON = {"retry-after-ms": "1"}
"""What an upstream says that wants to be asked again in a millisecond."""


@dataclass
class FakeStream:
    """What a good attempt gives."""

    by: str
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class Asking:
    """The attempts at one question to upstreams that follow a script each: an error, an answer, or a wait for an event.

    A script that has run out gives its last step again.
    """

    scripts: dict[str, list[Any]]
    budget: RetryBudget = field(default_factory=RetryBudget)
    settings: dict[str, Any] = field(default_factory=dict)
    tells_of_silence: bool = False
    asked: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    streams: list[FakeStream] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record = TurnRecord("chat", "r")
        self.candidates = [UpstreamHealth(Named(name)) for name in self.scripts]  # type: ignore[arg-type]
        chosen = {"seconds": 1.0, "retry_within": 1.0, "tick": 0.5, **self.settings}
        moments = [chosen.pop(name, None) for name in ("hedge_after", "wake_after")]
        self.attempts = Attempts(self.candidates, self._ask, FakeStream.close, self.record, self.budget, **chosen)
        self.attempts.hedge_and_wake(*moments)

    def _ask(self, upstream: Any, seconds: float) -> FakeStream:
        self.asked.append(upstream.name)
        script = self.scripts[upstream.name]
        try:
            while True:
                step = script.pop(0) if len(script) > 1 else script[0]
                if isinstance(step, Event):
                    with gevent.Timeout(seconds, UpstreamTimeout("")):
                        step.wait()
                elif isinstance(step, Exception):
                    raise step
                elif isinstance(step, type):
                    raise step("")
                else:
                    self.streams.append(FakeStream(upstream.name))
                    return self.streams[-1]
        except gevent.GreenletExit:
            self.gone.append(upstream.name)
            raise

    def run(self) -> tuple[UpstreamHealth, FakeStream]:
        """The answer, without the ticks before it."""
        ticks = self.attempts.run(tells_of_silence=self.tells_of_silence)
        try:
            while True:
                assert next(ticks) is SILENCE
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            self.close()

    def close(self) -> None:
        """Close the attempts, and let those that still run come to their end."""
        self.attempts.close()
        gevent.sleep(0)

    def fails(self, kind: type[ParleyError]) -> ParleyError:
        with pytest.raises(kind) as raised:
            self.run()
        return raised.value


@dataclass
class Named:
    """An upstream, of which attempts need no more than its name."""

    name: str


OK = "an answer"


def never() -> Event:
    return Event()


# --- who is asked ---


def test_a_first_that_answers_is_asked_alone() -> None:
    asking = Asking({"a": [OK], "b": [OK]})
    candidate, streams = asking.run()
    assert (candidate, streams, asking.asked) == (asking.candidates[0], FakeStream("a"), ["a"])
    assert (asking.record.attempts, asking.record.upstream) == (1, "a")


def test_upstreams_are_asked_in_their_order_each_once() -> None:
    asking = Asking({"a": [UpstreamError("")], "b": [UpstreamTimeout("")], "c": [OK]})
    assert asking.run()[1] == FakeStream("c") and asking.asked == ["a", "b", "c"]
    assert (asking.record.attempts, asking.record.upstream) == (3, "c")


def test_there_are_at_most_three_attempts() -> None:
    asking = Asking({name: [UpstreamError("", headers=SOON)] for name in "abcde"})
    error = asking.fails(UpstreamError)
    assert asking.asked == ["a", "b", "c"] and error.headers["x-relay-attempts"] == "3"


def test_failing_over_waits_for_nothing() -> None:
    asking = Asking({"a": [UpstreamRefused(429, {}, headers={"retry-after": "60"})], "b": [OK]})
    started = time.monotonic()
    assert asking.run()[1] == FakeStream("b") and time.monotonic() - started < 0.5


def test_an_upstream_in_bad_health_is_asked_last() -> None:
    asking = Asking({"a": [OK], "b": [OK]})
    asking.candidates[0].breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("b") and asking.asked == ["b"]


def test_the_last_upstream_that_is_left_is_never_passed_over() -> None:
    asking = Asking({"a": [UpstreamError("")], "b": [OK]})
    for candidate in asking.candidates:
        candidate.breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("b") and asking.asked == ["a", "b"]


def test_with_all_others_tried_one_in_bad_health_is_asked_too() -> None:
    asking = Asking({"a": [OK], "b": [UpstreamError("")]})
    asking.candidates[0].breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["b", "a"]


# --- how often ---

OFTEN = [
    (UpstreamError("", headers=SOON), 3),
    (UpstreamBadResponse("", headers=SOON), 3),
    (UpstreamTimeout("", headers=SOON), 3),
    (UpstreamRefused(429, {}, headers=SOON), 3),
    (UpstreamUnreachable("", headers=SOON), 2),
    (UpstreamEmptyResponse("", headers=SOON), 2),
    (UpstreamRefused(400, {}, headers=SOON), 1),
    (UpstreamAuthFailed("", headers=SOON), 1),
    (UpstreamTlsError("", headers=SOON), 1),
    (UpstreamRedirect("", headers=SOON), 1),
    (InternalError("", headers=SOON), 1),
]


@pytest.mark.parametrize(("error", "times"), OFTEN, ids=lambda value: type(value).__name__)
def test_an_upstream_is_asked_as_often_as_its_error_makes_sense(error: ParleyError, times: int) -> None:
    asking = Asking({"a": [error]})
    with structlog.testing.capture_logs():
        assert asking.fails(type(error)) is error
    assert asking.asked == ["a"] * times and error.headers["x-relay-attempts"] == str(times)


@pytest.mark.parametrize(("error", "_times"), OFTEN, ids=lambda value: type(value).__name__)
def test_another_upstream_is_asked_where_it_may_do_better(error: ParleyError, _times: int) -> None:
    asking = Asking({"a": [error], "b": [OK]})
    may_do_better = error.retryable or isinstance(error, UpstreamAuthFailed)
    with structlog.testing.capture_logs():
        if may_do_better:
            assert asking.run()[1] == FakeStream("b") and asking.asked == ["a", "b"]
        else:
            assert asking.fails(type(error)) is error and asking.asked == ["a"]


def test_an_upstream_is_asked_again_after_the_wait_it_wants() -> None:
    asking = Asking({"a": [UpstreamError("", headers={"retry-after-ms": "30"}), OK]})
    started = time.monotonic()
    assert asking.run()[1] == FakeStream("a") and time.monotonic() - started >= 0.03


@pytest.mark.parametrize("wish", ["60", "1e300"])
def test_a_wait_beyond_the_time_for_retries_is_not_waited(wish: str) -> None:
    asking = Asking({"a": [UpstreamError("", headers={"retry-after": wish}), OK]})
    started = time.monotonic()
    asking.fails(UpstreamError)
    assert asking.asked == ["a"] and time.monotonic() - started < 0.5


def test_no_retry_begins_later_than_it_may() -> None:
    asking = Asking({"a": [UpstreamError(""), OK]}, settings={"seconds": 300.0, "retry_within": 0.01})
    asking.fails(UpstreamError)
    assert asking.asked == ["a"]


def test_retries_spend_the_budget_and_without_one_there_is_none() -> None:
    budget = RetryBudget()
    for _ in range(5):
        Asking({"a": [UpstreamError("", headers=SOON)]}, budget).fails(UpstreamError)
    asking = Asking({"a": [UpstreamError("", headers=SOON)]}, budget)
    asking.fails(UpstreamError)
    assert asking.asked == ["a"]


def test_a_cap_ends_it_as_it_is() -> None:
    asking = Asking({"a": [AnswerCapped()], "b": [OK]})
    with pytest.raises(AnswerCapped):
        asking.run()
    assert asking.asked == ["a"]


def test_a_fault_of_ours_is_not_taken_for_an_upstreams() -> None:
    beside, alone = (Asking({"a": [ZeroDivisionError()], "b": [OK]}, tells_of_silence=tells) for tells in (True, False))
    for asking in (beside, alone):
        with pytest.raises(ZeroDivisionError) as raised:
            asking.run()
        assert "in _ask\n" in raised.value.__notes__[0]  # where it was raised is not lost on the way
    assert beside.asked == alone.asked == ["a"]


# --- how long ---


def test_silence_ends_at_the_deadline_and_frees_everything() -> None:
    asking = Asking({"a": [never()]}, settings={"seconds": 0.02}, tells_of_silence=True)
    error = asking.fails(UpstreamTimeout)
    assert (error.headers["x-relay-attempts"], asking.gone) == ("1", ["a"])


def test_an_attempt_without_a_hedge_ends_at_the_deadline_too() -> None:
    asking = Asking({"a": [never()], "b": [OK]}, settings={"seconds": 0.02})
    error = asking.fails(UpstreamTimeout)
    assert (error.headers["x-relay-attempts"], asking.asked) == ("1", ["a"])


def test_waiting_is_told_in_ticks() -> None:
    asking = Asking({"a": [never()]}, settings={"tick": 0.002})
    ticks = asking.attempts.run(tells_of_silence=True)
    assert [next(ticks) for _ in range(5)] == [SILENCE] * 5
    asking.close()


def test_whoever_wants_to_be_woken_is_woken_in_time_once() -> None:
    asking = Asking({"a": [never()]}, settings={"wake_after": 0.01, "tick": 0.2})
    ticks = asking.attempts.run(tells_of_silence=True)
    started = time.monotonic()
    next(ticks)
    woken = time.monotonic()
    next(ticks)
    assert 0.009 <= woken - started < 0.15 < time.monotonic() - woken
    asking.close()


# --- what is let go ---


@pytest.mark.parametrize("tells_of_silence", [True, False])
@pytest.mark.parametrize(
    "scripts",
    [
        {"a": OK},
        {"a": UpstreamTlsError},
        {"a": UpstreamUnreachable},
        {"a": UpstreamError, "b": UpstreamError},
        {"a": UpstreamError, "b": OK},
        {"a": Event},
        {"a": Event, "b": OK},
        {"a": Event, "b": UpstreamTlsError},
        {"a": AnswerCapped},
        {"a": ZeroDivisionError},
    ],
    ids=str,
)
def test_attempts_that_are_over_hold_no_memory(
    no_collections: None, scripts: dict[str, Any], tells_of_silence: bool
) -> None:
    chosen = {"seconds": 0.1, "hedge_after": 0.002 if tells_of_silence else None}
    asking = Asking({name: [never() if step is Event else step] for name, step in scripts.items()}, settings=chosen)
    asking.tells_of_silence = tells_of_silence
    with contextlib.suppress(ParleyError, AnswerCapped, ZeroDivisionError):
        asking.run()
    over = weakref.ref(asking.attempts)
    del asking.attempts  # which hold the asking, too
    gevent.sleep(0)
    assert over() is None


def test_closing_ends_attempts_and_blames_no_upstream() -> None:
    asking = Asking({"a": [never()]}, settings={"tick": 0.001})
    ticks = asking.attempts.run(tells_of_silence=True)
    next(ticks)
    asking.candidates[0].breaker.failed(at_once=True)
    asking.close()
    assert asking.gone == ["a"] and not asking.candidates[0].breaker._probing
    asking.close()
    assert asking.gone == ["a"]


def test_closing_ends_an_attempt_that_has_not_begun() -> None:
    asking = Asking({"a": [OK]})
    asking.attempts._start(asking.candidates[0])
    asking.close()
    gevent.sleep(0)
    assert asking.asked == []


def test_an_answer_that_nobody_took_is_closed() -> None:
    later = Event()
    asking = Asking({"a": [later, OK]}, settings={"tick": 0.001})
    next(asking.attempts.run(tells_of_silence=True))
    later.set()
    gevent.sleep(0.001)
    assert asking.streams == [FakeStream("a", closed=0)]
    asking.close()
    asking.close()
    assert asking.streams == [FakeStream("a", closed=1)] and asking.gone == []


def test_an_answer_that_was_taken_is_left_open() -> None:
    asking = Asking({"a": [OK]})
    asking.run()
    assert asking.streams == [FakeStream("a", closed=0)]


@pytest.fixture
def hedged() -> Iterator[Callable[..., Asking]]:
    """Attempts that hedge after two milliseconds."""
    yield lambda scripts, **more: Asking(scripts, settings={"hedge_after": 0.002}, **more)


def test_a_hedge_goes_to_the_next_upstream_and_ends_the_first(hedged: Callable[..., Asking]) -> None:
    asking = hedged({"a": [never()], "b": [OK]})
    assert asking.run()[1] == FakeStream("b") and (asking.asked, asking.gone) == (["a", "b"], ["a"])


def test_a_hedge_with_one_upstream_goes_to_the_same(hedged: Callable[..., Asking]) -> None:
    asking = hedged({"a": [never(), OK]})
    assert asking.run()[1] == FakeStream("a") and (asking.asked, asking.gone) == (["a", "a"], ["a"])


def test_there_is_one_hedge_only() -> None:
    settings = {"hedge_after": 0.002, "tick": 0.005}
    asking = Asking({"a": [never()], "b": [never()], "c": [OK]}, settings=settings)
    ticks = asking.attempts.run(tells_of_silence=True)
    for _ in range(3):
        next(ticks)
    asking.close()
    assert asking.asked == asking.gone == ["a", "b"]


def test_the_one_that_hedging_left_running_may_still_answer(hedged: Callable[..., Asking]) -> None:
    later = Event()
    asking = hedged({"a": [later, OK], "b": [UpstreamRefused(400, {})]})
    gevent.spawn_later(0.01, later.set)
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["a", "b"]


def test_a_hedge_takes_from_the_retry_budget(hedged: Callable[..., Asking]) -> None:
    budget = RetryBudget()
    for _ in range(10):
        hedged({"a": [never()], "b": [OK]}, budget=budget).run()
    later = Event()
    gevent.spawn_later(0.02, later.set)
    asking = hedged({"a": [later, OK], "b": [OK]}, budget=budget)
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["a"]


# --- what is remembered ---


def test_an_upstreams_own_failures_open_its_breaker() -> None:
    candidate = UpstreamHealth(Named("a"))  # type: ignore[arg-type]
    for _ in range(5):
        candidate.failed(UpstreamError(""))
    assert candidate.breaker.state == "open"


def test_a_callers_mistakes_do_not() -> None:
    candidate = UpstreamHealth(Named("a"))  # type: ignore[arg-type]
    for _ in range(20):
        candidate.failed(UpstreamRefused(400, {}))
        candidate.failed(UpstreamTlsError(""))
        candidate.failed(UpstreamRefused(429, {}))
    assert candidate.breaker.state == "closed"


def test_an_upstream_that_asks_for_a_rest_gets_it() -> None:
    candidate = UpstreamHealth(Named("a"))  # type: ignore[arg-type]
    candidate.failed(UpstreamRefused(429, {}, headers={"retry-after": "60"}))
    assert candidate.breaker.state == "open"


def test_a_refused_key_opens_the_breaker_and_is_logged_once() -> None:
    candidate = UpstreamHealth(Named("a"))  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            candidate.failed(UpstreamAuthFailed("the upstream refused the server's own key"))
    assert logged == [{"upstream": "a", "event": "upstream_auth_failed", "log_level": "error"}]
    assert candidate.breaker.state == "open"


def test_a_success_is_remembered_too() -> None:
    asking = Asking({"a": [UpstreamError("", headers=SOON), OK]})
    for _ in range(4):
        asking.candidates[0].breaker.failed()
    asking.candidates[0].breaker.succeeded()
    asking.run()
    assert asking.candidates[0].breaker._in_a_row == 0
