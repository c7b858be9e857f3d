"""Threads for work that would hold up the event loop."""

import atexit
import contextlib

from gevent import monkey
from gevent.threadpool import ThreadPool

_sleep = monkey.get_original("time", "sleep")
_allocate_lock = monkey.get_original("_thread", "allocate_lock")


def pool(count: int) -> ThreadPool:
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
