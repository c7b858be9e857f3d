"""The order and number of attempts, their limits in time, and the release of those that lose."""

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
    ClientGone,
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
from parley.upstream.attempts import Attempts
from parley.upstream.breaker import Cause
from parley.upstream.health import UpstreamHealth
from parley.upstream.retries import RetryBudget

SOON = {"retry-after-ms": "1"}
"""Headers of an upstream that asks to wait for a millisecond."""


@dataclass
class FakeStream:
    """The answer of a good attempt."""

    by: str
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class Asking:
    """The attempts at one request to upstreams with a script each: an error, an answer, or a wait for an event.

    A script that has run out repeats its last step.
    """

    scripts: dict[str, list[Any]]
    budget: RetryBudget = field(default_factory=RetryBudget)
    settings: dict[str, Any] = field(default_factory=dict)
    heartbeats: bool = False
    asked: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    streams: list[FakeStream] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record = TurnRecord("chat", "r")
        self.candidates = [UpstreamHealth(Named(name)) for name in self.scripts]  # type: ignore[arg-type]
        chosen = {"seconds": 20.0, "retry_within": 20.0, "tick": 0.5, **self.settings}
        self.attempts = Attempts(self.candidates, self._ask, FakeStream.close, self.record, self.budget, **chosen)

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
        """Return the upstream that answered and its answer."""
        try:
            return self.run_open()
        finally:
            self.close()

    def run_open(self) -> tuple[UpstreamHealth, FakeStream]:
        """Return the same, and leave the attempts open."""
        ticks = self.attempts.run(heartbeats=self.heartbeats)
        try:
            while True:
                assert next(ticks) is SILENCE
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the attempts, and let those that still run end."""
        self.attempts.close()
        gevent.sleep(0)

    def fails(self, kind: type[ParleyError]) -> ParleyError:
        with pytest.raises(kind) as raised:
            self.run()
        return raised.value


@dataclass
class Named:
    """An upstream reduced to its name, which is all that attempts need."""

    name: str


OK = "an answer"


def never() -> Event:
    return Event()


# --- the order ---


def test_a_first_upstream_that_answers_is_asked_alone() -> None:
    asking = Asking({"a": [OK], "b": [OK]})
    candidate, streams = asking.run()
    assert (candidate, streams, asking.asked) == (asking.candidates[0], FakeStream("a"), ["a"])
    assert (asking.record.attempts, asking.record.upstream) == (1, "a")


def test_upstreams_are_asked_in_order_once_each() -> None:
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
    assert asking.run()[1] == FakeStream("b") and time.monotonic() - started < 20


def test_an_upstream_with_an_open_breaker_is_asked_last() -> None:
    asking = Asking({"a": [OK], "b": [OK]})
    asking.candidates[0].breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("b") and asking.asked == ["b"]


def test_with_all_breakers_open_all_upstreams_are_asked() -> None:
    asking = Asking({"a": [UpstreamError("")], "b": [OK]})
    for candidate in asking.candidates:
        candidate.breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("b") and asking.asked == ["a", "b"]


def test_an_open_breaker_is_ignored_if_all_others_failed() -> None:
    asking = Asking({"a": [OK], "b": [UpstreamError("")]})
    asking.candidates[0].breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["b", "a"]


# --- the number ---

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
def test_the_error_limits_the_attempts_at_one_upstream(error: ParleyError, times: int) -> None:
    asking = Asking({"a": [error]})
    with structlog.testing.capture_logs():
        raised = asking.fails(type(error))
    assert raised.code == error.code and "x-relay-attempts" not in error.headers
    assert asking.asked == ["a"] * times and raised.headers["x-relay-attempts"] == str(times)


@pytest.mark.parametrize(("error", "_times"), OFTEN, ids=lambda value: type(value).__name__)
def test_the_error_decides_about_another_upstream(error: ParleyError, _times: int) -> None:
    asking = Asking({"a": [error], "b": [OK]})
    may_do_better = error.retryable or isinstance(error, UpstreamAuthFailed)
    with structlog.testing.capture_logs():
        if may_do_better:
            assert asking.run()[1] == FakeStream("b") and asking.asked == ["a", "b"]
        else:
            assert asking.fails(type(error)).code == error.code and asking.asked == ["a"]


def test_a_retry_waits_as_long_as_the_upstream_asks() -> None:
    asking = Asking({"a": [UpstreamError("", headers={"retry-after-ms": "30"}), OK]})
    started = time.monotonic()
    assert asking.run()[1] == FakeStream("a") and time.monotonic() - started >= 0.03


@pytest.mark.parametrize("wish", ["60", "1e300"])
def test_a_wait_beyond_the_time_for_retries_is_no_retry(wish: str) -> None:
    asking = Asking({"a": [UpstreamError("", headers={"retry-after": wish}), OK]})
    started = time.monotonic()
    asking.fails(UpstreamError)
    assert asking.asked == ["a"] and time.monotonic() - started < 20


def test_no_retry_begins_after_its_limit() -> None:
    asking = Asking({"a": [UpstreamError(""), OK]}, settings={"seconds": 300.0, "retry_within": 0.01})
    asking.fails(UpstreamError)
    assert asking.asked == ["a"]


def test_retries_spend_the_budget() -> None:
    budget = RetryBudget()
    for _ in range(5):
        Asking({"a": [UpstreamError("", headers=SOON)]}, budget).fails(UpstreamError)
    asking = Asking({"a": [UpstreamError("", headers=SOON)]}, budget)
    asking.fails(UpstreamError)
    assert asking.asked == ["a"]


def test_a_capped_answer_is_not_attempted_again() -> None:
    asking = Asking({"a": [AnswerCapped()], "b": [OK]})
    with pytest.raises(AnswerCapped):
        asking.run()
    assert asking.asked == ["a"]


def test_a_defect_of_ours_is_raised_with_its_traceback() -> None:
    beside, alone = (Asking({"a": [ZeroDivisionError()], "b": [OK]}, heartbeats=beside) for beside in (True, False))
    for asking in (beside, alone):
        with pytest.raises(ZeroDivisionError) as raised:
            asking.run()
        assert "in _ask\n" in raised.value.__notes__[0]  # where it was raised is not lost on the way
    assert beside.asked == alone.asked == ["a"]


# --- answers without a word ---


def wordless(**others: Any) -> dict[str, Any]:
    """Return the settings of attempts at answers that are wordless where their upstream's name is in capitals."""
    return {"is_wordless": lambda stream: stream.by.isupper(), **others}


@pytest.mark.row("RA-05")
def test_a_wordless_answer_gives_way_to_the_next_upstream() -> None:
    asking = Asking({"A": [OK], "b": [OK]}, settings=wordless())
    assert asking.run()[1].by == "b" and asking.asked == ["A", "b"]
    assert [stream.closed for stream in asking.streams] == [1, 0]


@pytest.mark.row("RA-05")
@pytest.mark.parametrize("names", ["A", "AB", "ABC"])
def test_wordless_answers_are_asked_for_twice_at_most(names: str) -> None:
    asking = Asking({name: [OK] for name in names}, settings=wordless())
    assert asking.run()[1].by == names[:2][-1] and len(asking.asked) == 2
    assert not any(candidate.breaker._recent for candidate in asking.candidates)


@pytest.mark.row("RA-05")
@pytest.mark.parametrize("second", [UpstreamTlsError, UpstreamTimeout, never()], ids=["fails", "is late", "hangs"])
def test_a_wordless_answer_is_better_than_a_failure(second: Any) -> None:
    asking = Asking({"A": [OK], "b": [second]}, settings=wordless(seconds=0.05))
    assert asking.run()[1].by == "A" and asking.asked[:2] == ["A", "b"]


@pytest.mark.row("RA-05")
def test_without_a_budget_a_wordless_answer_stays() -> None:
    budget = RetryBudget()
    while budget.spend():
        pass
    asking = Asking({"A": [OK]}, budget, settings=wordless())
    assert asking.run()[1].by == "A" and asking.asked == ["A"]


@pytest.mark.row("RA-05")
def test_a_winner_may_turn_out_wordless_later() -> None:
    asking = Asking({"A": [OK], "b": [OK]})
    candidate, stream = asking.run_open()
    assert asking.attempts.ask_again(candidate, stream) and stream.closed == 1
    candidate, stream = asking.run_open()
    assert stream.by == "b" and not asking.attempts.ask_again(candidate, stream)
    asking.close()


@pytest.mark.row("RA-04")
def test_an_attempt_that_lives_outlasts_the_deadline() -> None:
    heard = Event()
    settings = {"seconds": 0.03, "hedge_after": 0.01, "hold": lambda _stream: heard.wait()}
    asking = Asking({"a": [OK], "b": [never()]}, settings=settings)
    gevent.spawn_later(0.1, heard.set)
    assert asking.run()[1].by == "a" and asking.asked == ["a", "b"] and asking.gone == ["b"]


@pytest.mark.row("RA-04")
def test_an_attempt_that_is_held_may_fail() -> None:
    def stalls(_stream: FakeStream) -> None:
        raise UpstreamError("", headers=SOON)

    asking = Asking({"a": [OK], "b": [UpstreamTlsError]}, settings={"hedge_after": 0.5, "hold": stalls})
    asking.fails(UpstreamTlsError)
    assert asking.asked == ["a", "b"]


# --- limits in time ---


def test_silence_ends_at_the_deadline_and_ends_the_attempts() -> None:
    asking = Asking({"a": [never()]}, settings={"seconds": 0.02}, heartbeats=True)
    error = asking.fails(UpstreamTimeout)
    assert (error.headers["x-relay-attempts"], asking.gone) == ("1", ["a"])


def test_an_attempt_without_a_greenlet_ends_at_the_deadline() -> None:
    asking = Asking({"a": [never()], "b": [OK]}, settings={"seconds": 0.02})
    error = asking.fails(UpstreamTimeout)
    assert (error.headers["x-relay-attempts"], asking.asked) == ("1", ["a"])


def test_waiting_yields_at_each_tick() -> None:
    asking = Asking({"a": [never()]}, settings={"tick": 0.002})
    ticks = asking.attempts.run(heartbeats=True)
    assert [next(ticks) for _ in range(5)] == [SILENCE] * 5
    asking.close()


def test_waiting_yields_once_at_the_wake_up_time() -> None:
    asking = Asking({"a": [never()]}, settings={"wake_after": 0.01, "tick": 20.0})
    ticks = asking.attempts.run(heartbeats=True)
    started = time.monotonic()
    next(ticks)
    assert 0.009 <= time.monotonic() - started < 20.0
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
        next(ticks)
    asking.close()


# --- releases ---


@pytest.mark.parametrize("heartbeats", [True, False])
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
        {"A": OK},
        {"A": OK, "B": OK},
        {"A": OK, "b": UpstreamTlsError},
        {"a": AnswerCapped},
        {"a": ZeroDivisionError},
    ],
    ids=str,
)
def test_closed_attempts_are_in_no_cycle(no_collections: None, scripts: dict[str, Any], heartbeats: bool) -> None:
    chosen = wordless(seconds=0.1, hedge_after=0.002 if heartbeats else None)
    asking = Asking({name: [never() if step is Event else step] for name, step in scripts.items()}, settings=chosen)
    asking.heartbeats = heartbeats
    with contextlib.suppress(ParleyError, AnswerCapped, ZeroDivisionError):
        asking.run()
    over = weakref.ref(asking.attempts)
    del asking.attempts  # which hold the asking, too
    gevent.sleep(0)
    assert over() is None


def test_closing_ends_attempts_without_counting_a_failure() -> None:
    asking = Asking({"a": [never()]}, settings={"tick": 0.001})
    ticks = asking.attempts.run(heartbeats=True)
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


def test_an_answer_that_nobody_took_is_discarded() -> None:
    later = Event()
    asking = Asking({"a": [later, OK]}, settings={"tick": 0.001})
    next(asking.attempts.run(heartbeats=True))
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
    """Yield a factory of attempts that hedge after two milliseconds."""
    yield lambda scripts, **more: Asking(scripts, settings={"hedge_after": 0.002}, **more)


def test_a_hedge_asks_the_next_upstream_and_ends_the_first(hedged: Callable[..., Asking]) -> None:
    asking = hedged({"a": [never()], "b": [OK]})
    assert asking.run()[1] == FakeStream("b") and (asking.asked, asking.gone) == (["a", "b"], ["a"])


def test_a_hedge_with_one_upstream_asks_it_again(hedged: Callable[..., Asking]) -> None:
    asking = hedged({"a": [never(), OK]})
    assert asking.run()[1] == FakeStream("a") and (asking.asked, asking.gone) == (["a", "a"], ["a"])


def test_there_is_one_hedge_only() -> None:
    settings = {"hedge_after": 0.002, "tick": 0.005}
    asking = Asking({"a": [never()], "b": [never()], "c": [OK]}, settings=settings)
    ticks = asking.attempts.run(heartbeats=True)
    for _ in range(3):
        next(ticks)
    asking.close()
    assert asking.asked == asking.gone == ["a", "b"]


def test_the_first_attempt_may_answer_after_a_failed_hedge(hedged: Callable[..., Asking]) -> None:
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


# --- health ---


def test_an_answer_ends_the_row_of_failures() -> None:
    asking = Asking({"a": [UpstreamError("", headers=SOON), OK]})
    for _ in range(4):
        asking.candidates[0].breaker.failed()
    asking.candidates[0].breaker.succeeded()
    asking.run()
    assert not asking.candidates[0].breaker._in_a_row


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("fallbacks", [UpstreamAuthFailed(""), UpstreamRefused(404, {})])
def test_a_fallback_that_is_set_up_badly_costs_no_retry(fallbacks: UpstreamError) -> None:
    asking = Asking({"a": [UpstreamError("", headers=SOON), OK], "b": [fallbacks]})
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["a", "b", "a"]


@pytest.mark.row("RA-03")
def test_a_request_that_a_fallback_refuses_is_not_repeated() -> None:
    asking = Asking({"a": [UpstreamError("", headers=SOON), OK], "b": [UpstreamRefused(400, {})]})
    assert asking.fails(UpstreamRefused).status == 400 and asking.asked == ["a", "b"]


# --- hints of other workers ---


@pytest.mark.row("SH-14")
def test_an_upstream_that_others_advise_against_comes_last() -> None:
    asking = Asking({"a": [OK], "b": [UpstreamError("")], "c": [OK]})
    asking.candidates[0].heed("limited", 60)
    assert asking.run()[1] == FakeStream("c") and asking.asked == ["b", "c"]


@pytest.mark.row("SH-14")
def test_advice_goes_behind_a_breaker_of_the_workers_own() -> None:
    asking = Asking({"a": [OK], "b": [OK]})
    asking.candidates[0].heed("limited", 60)
    asking.candidates[1].breaker.failed(at_once=True)
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["a"]


@pytest.mark.row("SH-14")
@pytest.mark.parametrize("reason", ["limited", "sick"])
def test_the_last_upstream_is_asked_whatever_others_say(reason: str) -> None:
    earlier = Asking({"a": [OK], "b": [OK]})
    earlier.candidates[0].heed(reason, 60)
    asking = Asking({"a": [OK], "b": [UpstreamError("", retryable=False)]})
    asking.candidates[:] = earlier.candidates
    assert asking.run()[1] == FakeStream("a") and asking.asked == ["b", "a"]
    assert asking.candidates[0].hint is None, "an answer of its own ends it"

    alone = Asking({"a": [OK]})
    alone.candidates[0].heed(reason, 60)
    assert alone.run()[1] == FakeStream("a")


@pytest.mark.row("SH-14")
def test_an_answer_to_an_earlier_turn_ends_no_hint() -> None:
    later = Event()
    gevent.spawn_later(0.02, later.set)
    asking = Asking({"a": [later, OK], "b": [OK]}, heartbeats=True)
    gevent.spawn_later(0.01, asking.candidates[0].heed, "limited", 60)
    assert asking.run()[1] == FakeStream("a") and asking.candidates[0].hinted == "limited"


# --- the request as the cause ---


@pytest.mark.slow
@pytest.mark.row("RF-08")
@pytest.mark.parametrize("bad", [UpstreamError(""), UpstreamBadResponse(""), UpstreamEmptyResponse("")])
def test_a_request_that_fails_everywhere_counts_for_nobody(bad: UpstreamError) -> None:
    kept: list[UpstreamHealth] = []
    for number in range(8):
        asking = Asking({"a": [bad], "b": [bad]}, settings={"cause": Cause(None, number)})
        asking.candidates[:] = kept = kept or list(asking.candidates)
        asking.fails(type(bad))
    assert [candidate.breaker.state for candidate in kept] == ["closed", "closed"]


@pytest.mark.slow
@pytest.mark.row("RF-08")
@pytest.mark.parametrize("error", [UpstreamUnreachable(""), UpstreamError("", status=503), UpstreamTimeout("")])
def test_an_outage_of_everybody_counts_for_everybody(error: UpstreamError) -> None:
    kept: list[UpstreamHealth] = []
    for number in range(5):
        asking = Asking({"a": [error], "b": [error]}, settings={"cause": Cause("key-1", number)})
        asking.candidates[:] = kept = kept or list(asking.candidates)
        asking.fails(type(error))
    assert [candidate.breaker.state for candidate in kept] == ["open", "open"]


@pytest.mark.row("RF-08")
def test_a_bad_answer_counts_where_the_next_upstream_answers() -> None:
    kept: list[UpstreamHealth] = []
    for number in range(5):
        asking = Asking({"a": [UpstreamError("")], "b": [OK]}, settings={"cause": Cause("key-1", number)})
        asking.candidates[:] = kept = kept or list(asking.candidates)
        asking.run()
    assert [candidate.breaker.state for candidate in kept] == ["open", "closed"]


@pytest.mark.row("RF-08")
def test_a_bad_answer_counts_if_the_caller_leaves_meanwhile() -> None:
    asking = Asking({"a": [UpstreamError("")], "b": [never()]}, settings={"tick": 0.001})
    candidate = asking.candidates[0]
    for _ in range(4):
        candidate.breaker.failed()
    ticks = asking.attempts.run(heartbeats=True)
    next(ticks)
    asking.close()
    assert candidate.breaker.state == "open"


# --- probes ---


ODD_ENDS = {
    "a cap": AnswerCapped(),
    "a refusal": UpstreamRefused(400, {}),
    "a rate limit": UpstreamRefused(429, {}),
    "a defect": ValueError("x"),
    "warming up": InternalError("x"),
    "exit": SystemExit(),
    "a time limit": gevent.Timeout(),
}


@pytest.mark.row("RF-17")
@pytest.mark.parametrize("heartbeats", [True, False])
@pytest.mark.parametrize("end", ODD_ENDS)
def test_a_probe_that_ends_oddly_is_followed_by_another(end: str, heartbeats: bool, monkeypatch: Any) -> None:
    # gevent prints the errors of greenlets that no test expects.
    monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *_: None)
    asking = Asking({"a": [OK]}, heartbeats=heartbeats)
    breaker = asking.candidates[0].breaker
    half_open(breaker)

    def fail(*_: Any) -> FakeStream:
        raise ODD_ENDS[end]

    asking.attempts._ask = fail  # type: ignore[method-assign]
    with contextlib.suppress(BaseException):
        asking.run()
    assert breaker.state == "half_open" and breaker.allows()
    again = Asking({"a": [OK]})
    again.candidates[0].breaker = breaker
    again.run()
    assert breaker.state == "closed"


@pytest.mark.row("RF-17")
@pytest.mark.parametrize("heartbeats", [True, False])
def test_a_probe_whose_caller_leaves_is_followed_by_another(heartbeats: bool) -> None:
    asking = Asking({"a": [never()]}, heartbeats=heartbeats)
    breaker = asking.candidates[0].breaker
    half_open(breaker)
    caller = gevent.spawn(asking.run)
    gevent.sleep(0)
    gevent.sleep(0)
    assert not breaker.allows()
    caller.kill(ClientGone)
    assert breaker.state == "half_open" and breaker.allows()


def half_open(breaker: Any) -> None:
    """Open a breaker, and let its pause pass."""
    breaker.failed(at_once=True)
    breaker._open_until = time.monotonic()
