"""Sharing the event loop: `checkpoint()`, which all work passes of which a peer, or a file, can ask for much.

Work that can't be cut into steps runs in a thread (`run_in_thread`), that of large requests in one thread for all of
them (`run_for_size`). What a thread or another greenlet raises is handed over as a value: `outcome_of`, `result_of`.

Everything in a worker runs in one thread, so whoever does not wait keeps every stream silent. Work comes in steps
(a request of a connection, a receive, a batch of passages), and each step begins at a checkpoint:

    idle    nobody has passed in this pass of the loop: go on, the time of the pass begins
    open    the steps of this pass have taken less than PASS_SECONDS: go on
    full    they have taken more, or others wait already: wait in line; the next pass lets in as many as fit

Whoever waits goes on in the order of coming, background work behind all others. The time is one for all callers
together, not one for each: a hundred peers cost the streams beside them no more than one does. Waiting for a socket
needs no checkpoint; work that runs in a thread of its own needs none either.

Work that can't be cut into steps is done in a `thread_pool`, which is drained before the interpreter exits.
"""

import atexit
import contextlib
import enum
import functools
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
"""Bytes of a request from which on work on it takes milliseconds: 20 to 40 ms for 1.8 MB in 4 096 messages."""
PASS_SECONDS = 0.004
"""Seconds of checkpointed work in one pass of the event loop: so much later a stream's next chunk may leave."""


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
        """Go on, or wait for a pass that has time left."""
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
        """Run in the event loop: let in those who have waited longest, one step each."""
        self._begin_pass(time.monotonic())
        while (line := self._waiting or self._background) and time.monotonic() < self._full_at:
            line.popleft().switch(None)
        if line:
            self._next_pass.start(self._serve)


# The thread's own, also where gevent has patched `threading`: each thread has an event loop of its own.
_thread = monkey.get_original("threading", "local")()


def checkpoint(*, background: bool = False) -> None:
    """Let the event loop run if the steps of this pass have used up its time; may be interrupted while it waits.

    `background` work, which no caller waits for, goes on behind all other. Must be called from a greenlet, never from a
    callback of the event loop. Passing straight through takes 0.3 µs.
    """
    try:
        line: _Line = _thread.line
    except AttributeError:
        line = _thread.line = _Line()
    line.step(background)


@dataclass(frozen=True)
class Failure:
    """The error that ended some work, on its way to whoever waits for the result."""

    error: Exception


def outcome_of(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result | Failure:
    """Return what the work returns, or the error that ended it, without its traceback and causes.

    A traceback holds frames, these hold what the work was about (a request, a turn), and something there would hold the
    outcome: a cycle, which would live until the next full collection. The traceback of an error that nobody expected
    is kept as text, for the log.
    """
    try:
        return work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - handed over, to be raised where the result is waited for
        if not isinstance(error, ParleyError | AnswerCapped):
            error.add_note(traceback.format_exc())
        error.__cause__ = error.__context__ = None
        return Failure(error.with_traceback(None))


def result_of(outcome: Result | Failure) -> Result:
    """Return the result, or raise the error that was handed over in its place."""
    try:
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome
    finally:
        del outcome  # Break the cycle exception -> traceback -> this frame -> exception.


def run_in_thread(pool: ThreadPool, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Return what the work returns, or raise what it raises; may be interrupted, then the thread goes on in vain.

    One more than the pool has threads are handed over, the others wait here in the order in which they came.
    """
    # gevent's thread pool would print the traceback of an error that is raised.
    result: Result = result_of(pool.apply(functools.partial(outcome_of, work, *args, **kwargs)))
    return result


@functools.cache
def _large_work() -> ThreadPool:
    return thread_pool(1)


def run_for_size(size: int, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Return what the work on a request of `size` bytes returns, or raise what it raises.

    A large one is worked on in a thread, one at a time: each thread that computes keeps the interpreter from the event
    loop for `sys.getswitchinterval` at a time, so that several would stop the streams for as many times as long.
    """
    if size < LARGE_BYTES:
        return work(*args, **kwargs)
    return run_in_thread(_large_work(), work, *args, **kwargs)


_sleep = monkey.get_original("time", "sleep")
_allocate_lock = monkey.get_original("_thread", "allocate_lock")


def thread_pool(count: int) -> ThreadPool:
    """So many threads. The process ends when they have done what they were given, and gives them nothing more then.

    At its end Python unwinds the stack of a thread that wants the GIL again, and libraries in C++ abort the process at
    that (https://github.com/python/cpython/issues/87135).
    """
    made = ThreadPool(count)
    atexit.register(_finish, made)
    return made


def lock() -> contextlib.AbstractContextManager[bool]:
    """Return a lock between threads of the operating system; the one that gevent puts in its place is for greenlets."""
    made: contextlib.AbstractContextManager[bool] = _allocate_lock()
    return made


def _finish(made: ThreadPool) -> None:
    while len(made):
        _sleep(0.01)  # the whole thread's: no greenlet goes on and hands over more
