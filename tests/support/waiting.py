"""To wait for what can only be asked for again and again: a process, a log, a metric."""

import contextlib
import socket
import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], timeout: float = 60.0, tell: Callable[[], object] = lambda: "") -> None:
    """AssertionError, with what `tell` gives, if it does not become true within so many seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s; {tell()}"
        time.sleep(0.01)


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether somebody listens on a port."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
