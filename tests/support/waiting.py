"""To wait for what can only be asked for again and again: a process, a log, a metric."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], timeout: float = 60.0, tell: Callable[[], object] = lambda: "") -> None:
    """AssertionError, with what `tell` gives, if it does not become true within so many seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s; {tell()}"
        time.sleep(0.01)
