"""`checkpoint()`: one time for all who share the event loop, in the order in which they came. Results handed over."""

import functools
import subprocess
import sys
import time
import traceback
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import get_hub, monkey
from running_server import ROOT

from parley import concurrency
from parley.concurrency import (
    LARGE_BYTES,
    Failure,
    checkpoint,
    outcome_of,
    result_of,
    run_for_size,
    run_in_thread,
)
from parley.errors import AnswerCapped, UpstreamError

threading_ident = monkey.get_original("threading", "get_ident")

STEP_SECONDS = 0.0021


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Time that passes only when a test says so, by the returned function."""
    now = time.monotonic()

    def advance(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(concurrency, "_thread", types.SimpleNamespace())
    monkeypatch.setattr(concurrency.time, "monotonic", lambda: now)
    yield advance


def passes_of(work: Callable[[], None], workers: int) -> int:
    """Passes of the event loop that `workers` greenlets take for this work."""
    before = get_hub().loop.iteration
    gevent.joinall([gevent.spawn(work) for _ in range(workers)])
    return int(get_hub().loop.iteration - before)


def test_work_that_takes_no_time_goes_straight_through(clock: Callable[[float], None]) -> None:
    order: list[str] = []

    def work() -> None:
        for _ in range(1000):
            checkpoint()
        order.append("work")

    working, other = gevent.spawn(work), gevent.spawn(order.append, "other")
    gevent.joinall([working, other])
    assert order == ["work", "other"]


@pytest.mark.parametrize("workers", [1, 20])
def test_the_loop_runs_as_often_for_many_workers_as_for_one(clock: Callable[[float], None], workers: int) -> None:
    steps = 100 // workers

    def work() -> None:
        for _ in range(steps):
            checkpoint()
            clock(STEP_SECONDS)

    passes = passes_of(work, workers)
    # 100 steps of 2.1 ms, two of them in a pass of 4 ms.
    assert 49 <= passes <= 55


def test_whoever_waited_longest_goes_first(clock: Callable[[float], None]) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        for _ in range(3):
            checkpoint()
            order.append(number)
            clock(concurrency.PASS_SECONDS)

    gevent.joinall([gevent.spawn(work, number) for number in range(4)])
    # The first to come goes straight through, and is the first to wait.
    assert order == [0, *[0, 1, 2, 3] * 2, 1, 2, 3]


def test_background_work_goes_on_behind_all_other(clock: Callable[[float], None]) -> None:
    order: list[str] = []

    def work(name: str, background: bool) -> None:
        for _ in range(3):
            checkpoint(background=background)
            order.append(name)
            clock(concurrency.PASS_SECONDS)

    gevent.joinall([gevent.spawn(work, "background", True), gevent.spawn(work, "call", False)])
    assert order == ["background", "call", "call", "call", "background", "background"]


def test_an_interrupted_wait_leaves_no_place_behind(clock: Callable[[float], None]) -> None:
    def work(background: bool) -> None:
        while True:
            checkpoint(background=background)
            clock(concurrency.PASS_SECONDS)

    working = [gevent.spawn(work, background) for background in (True, False, True)]
    gevent.sleep(0.01)
    gevent.killall(working)
    done = gevent.spawn(checkpoint)
    done.join(timeout=5)
    assert done.successful()
    assert not concurrency._thread.line._waiting and not concurrency._thread.line._background


# --- results that are handed over ---


def fail(error: Exception) -> None:
    raise error from KeyError("cause")


@pytest.mark.parametrize("kind", [UpstreamError, AnswerCapped, ZeroDivisionError])
def test_an_error_is_handed_over_without_its_frames(kind: type[Exception]) -> None:
    error = kind("why")
    outcome = outcome_of(fail, error)
    assert isinstance(outcome, Failure) and outcome.error is error
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)
    # Where an error was raised that nobody expected is told in the log.
    told = "".join(traceback.format_exception(error))
    assert ("in fail" in told and "KeyError" in told) == (kind is ZeroDivisionError)


def test_a_result_is_handed_over_as_it_is() -> None:
    assert result_of(outcome_of(divmod, 7, 2)) == (3, 1)


@pytest.mark.parametrize(
    "run", [functools.partial(run_in_thread, concurrency.thread_pool(1)), functools.partial(run_for_size, LARGE_BYTES)]
)
def test_what_a_thread_raises_is_raised_and_holds_no_memory(
    no_collections: None, run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    raised: list[weakref.ref[UpstreamError]] = []

    def work() -> None:
        error = UpstreamError("why")
        raised.append(weakref.ref(error))
        raise error

    with pytest.raises(UpstreamError, match="why"):
        run(work)
    gevent.sleep(0)
    assert raised[0]() is None
    assert capfd.readouterr().err == ""


def test_large_work_is_done_in_one_thread_in_order() -> None:
    order: list[tuple[int, int]] = []

    def work(number: int) -> None:
        order.append((number, threading_ident()))

    gevent.joinall([gevent.spawn(run_for_size, LARGE_BYTES, work, number) for number in range(8)], raise_error=True)
    assert [number for number, _ in order] == list(range(8))
    assert len({ident for _, ident in order} - {threading_ident()}) == 1
    run_for_size(LARGE_BYTES - 1, work, 8)
    assert order[-1] == (8, threading_ident())


def test_large_work_that_waits_can_be_given_up() -> None:
    begun, go_on = (monkey.get_original("threading", "Event")() for _ in range(2))
    done: list[int] = []

    def work(number: int) -> None:
        begun.set()
        go_on.wait(5)
        done.append(number)

    working = [gevent.spawn(run_for_size, LARGE_BYTES, work, number) for number in range(5)]
    while not begun.is_set():
        gevent.sleep(0.001)
    gevent.killall(working[1:])
    go_on.set()
    gevent.joinall(working)
    run_for_size(LARGE_BYTES, int)
    # One more than is worked on is with the thread already.
    assert done in ([0], [0, 1])


CODE = """
import time, gevent
from parley import concurrency
pool = concurrency.thread_pool(1)
for name in ("first", "second", "third"):
    gevent.spawn(pool.apply, lambda name=name: (time.sleep(0.2), print(name, flush=True)))
gevent.sleep(0.05)
"""


@pytest.mark.slow
def test_begun_and_waiting_calls_finish_and_no_more_are_taken() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=20)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "first\nsecond\n", "")


def test_the_interpreter_changes_hands_soon_only_in_large_work() -> None:
    usual = sys.getswitchinterval()
    meanwhile: list[float] = []

    run_for_size(LARGE_BYTES, lambda: meanwhile.append(sys.getswitchinterval()))
    assert meanwhile == [pytest.approx(concurrency.SWITCH_SECONDS)] and sys.getswitchinterval() == usual
    with pytest.raises(ZeroDivisionError):
        run_for_size(LARGE_BYTES, lambda: 1 // 0)
    assert sys.getswitchinterval() == usual
