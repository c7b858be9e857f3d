"""Sharing the event loop between greenlets, and work that is done in threads.

All streams of a worker run in one thread, so work that does not wait keeps every stream silent. Work of which a peer,
or a file, can ask for much comes in steps (a request of a connection, a receive, a batch of passages), and each step
begins at a `checkpoint()`:

    idle    no step has begun in this pass of the loop: go on, the time of the pass begins
    open    the steps of this pass have taken less than PASS_SECONDS: go on
    full    they have taken more, or others wait already: wait in line; the next pass lets in as many as fit

Waiting greenlets go on in the order in which they came, background work behind all others. All callers share the time
of a pass: a hundred peers cost the streams beside them no more than one does. Waiting for a socket needs no checkpoint.

Work that can't be cut into steps runs in a thread of a pool (`run_in_thread`), that of large requests in one thread for
all of them (`run_for_size`). Errors are handed over as values: `outcome_of`, `result_of`.
"""

import atexit
import contextlib
import enum
import functools
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from gevent import get_hub, monkey
from gevent.hub import Waiter
from gevent.threadpool import ThreadPool

from parley.errors import AnswerCapped, ParleyError

Args = ParamSpec("Args")
Result = TypeVar("Result")

LARGE_BYTES = 1 << 16
"""Size of a request, in bytes, from which on it takes milliseconds to work on: 20 to 40 ms for 1.8 MB."""
SWITCH_SECONDS = 0.0005
"""Seconds after which the thread for large requests gives the interpreter back to the event loop."""
PASS_SECONDS = 0.004
"""Limit on the checkpointed work in one pass of the event loop, in seconds; a chunk may leave later by as much."""


class Silence(enum.Enum):
    """The type of SILENCE."""

    SILENCE = enum.auto()


SILENCE: Final = Silence.SILENCE
"""Yielded by a generator in place of a value where nothing has come for a while: its reader may act meanwhile."""


class _Line:
    """The greenlets of one thread that wait for their turn."""

    def __init__(self) -> None:
        self._hub = get_hub()
        self._pass = -1
        self._full_at = 0.0
        self._waiting: deque[Waiter[None]] = deque()
        self._background: deque[Waiter[None]] = deque()
        # A timer, not a callback: gevent runs callbacks before the loop looks at its sockets, timers behind that. Of
        # the lowest priority, so that sockets and timers that are ready in the same pass come first.
        loop = self._hub.loop
        self._next_pass = loop.timer(0, priority=loop.MINPRI)

    def step(self, background: bool) -> None:
        """Return at once, or after a wait for a pass that has time left."""
        if not (self._waiting or (background and self._background)):
            now = time.monotonic()
            if self._pass != self._hub.loop.iteration:
                self._begin_pass(now)
            if now < self._full_at:
                return
        self._wait(self._background if background else self._waiting)

    def _begin_pass(self, now: float) -> None:
        self._pass = self._hub.loop.iteration
        self._full_at = now + PASS_SECONDS

    def _wait(self, line: "deque[Waiter[None]]") -> None:
        waiter: Waiter[None] = Waiter(self._hub)
        line.append(waiter)
        if not self._next_pass.active:
            self._next_pass.start(self._serve)
        try:
            waiter.get()
        except BaseException:
            # Interrupted, by a timeout or by the end of its connection.
            with contextlib.suppress(ValueError):
                line.remove(waiter)
            raise

    def _serve(self) -> None:
        """Let in the greenlets that have waited longest, one step each; runs in the event loop."""
        self._begin_pass(time.monotonic())
        while (line := self._waiting or self._background) and time.monotonic() < self._full_at:
            line.popleft().switch(None)
        if line:
            self._next_pass.start(self._serve)


# Of each thread of the operating system, not of each greenlet as in gevent's place: a thread has one event loop.
_thread = monkey.get_original("threading", "local")()


def checkpoint(*, background: bool = False) -> None:
    """Let the event loop run if the steps of this pass have used up its time; the wait may be interrupted.

    `background` work, which no caller waits for, goes on behind all other work. To be called from a greenlet, never
    from a callback of the event loop. Passing straight through takes 0.3 µs.
    """
    try:
        line: _Line = _thread.line
    except AttributeError:
        line = _thread.line = _Line()
    line.step(background)


@dataclass(frozen=True)
class Failure:
    """An error that ended some work, on its way to the greenlet that waits for the result."""

    error: Exception


def outcome_of(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result | Failure:
    """Return the result of the work, or the error that ended it, without its traceback and causes.

    Break the cycle outcome -> traceback -> frames -> request or turn -> outcome, which would otherwise live until the
    next full collection. The traceback of an unexpected error is kept as text, for the log.
    """
    try:
        return work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - handed over, to be raised where the result is waited for
        if not isinstance(error, ParleyError | AnswerCapped):
            error.add_note(traceback.format_exc())
        error.__cause__ = error.__context__ = None
        return Failure(error.with_traceback(None))


def result_of(outcome: Result | Failure) -> Result:
    """Return a result that was handed over, or raise the error that was handed over in its place."""
    try:
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome
    finally:
        del outcome  # Break the cycle exception -> traceback -> this frame -> exception.


def run_in_thread(pool: ThreadPool, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Return the result of the work, or raise its error. The wait may be interrupted; the thread then goes on.

    One piece of work more than the pool has threads is handed over; others wait here, in the order in which they came.
    """
    # gevent's thread pool would print the traceback of an error that is raised.
    result: Result = result_of(pool.apply(functools.partial(outcome_of, work, *args, **kwargs)))
    return result


@functools.cache
def _large_work() -> ThreadPool:
    return thread_pool(1)


def run_for_size(size: int, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Return the result of work on a request of `size` bytes, or raise its error.

    A large one is worked on in a thread, one at a time: each thread that computes keeps the interpreter from the event
    loop for `sys.getswitchinterval` at a time, so that several would stop the streams for longer.
    """
    if size < LARGE_BYTES:
        return work(*args, **kwargs)
    return run_in_thread(_large_work(), lambda: _run_yielding(work, *args, **kwargs))


def _run_yielding(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Return the result of work in the one thread for large requests, which gives the interpreter back soon meanwhile.

    The event loop releases the interpreter with each system call, and Python lets a computing thread keep it for 5 ms.
    perf: passes of the loop take 10 ms in place of 20 (p99) while bodies of 1.8 MB are parsed. Only meanwhile: gevent
    ends a batch of callbacks after the same interval, so a short one costs each chunk (S3) a tenth more.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        return work(*args, **kwargs)
    finally:
        sys.setswitchinterval(usual)


_sleep = monkey.get_original("time", "sleep")
_allocate_lock = monkey.get_original("_thread", "allocate_lock")


def thread_pool(count: int) -> ThreadPool:
    """Return a pool of `count` threads that is drained before the interpreter exits.

    An exiting interpreter unwinds the stack of a thread that wants the GIL again, and libraries in C++ abort the
    process at that (https://github.com/python/cpython/issues/87135).
    """
    pool = ThreadPool(count)
    atexit.register(_drain, pool)
    return pool


def lock() -> contextlib.AbstractContextManager[bool]:
    """Return a lock between threads of the operating system; gevent puts one between greenlets in its place."""
    between_threads: contextlib.AbstractContextManager[bool] = _allocate_lock()
    return between_threads


def _drain(pool: ThreadPool) -> None:
    while len(pool):
        # The sleep of the whole thread: no greenlet goes on and hands over more work.
        _sleep(0.01)
