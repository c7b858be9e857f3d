"""The lock of the folder through which the workers of one master share their metrics and turns."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

READING = fcntl.LOCK_SH
"""Kind of lock for a worker that reads the files of all."""
CHANGING = fcntl.LOCK_EX
"""Kind of lock for the master, which puts the files of a worker that has ended into those of all that have."""


@contextlib.contextmanager
def locked(folder: str, kind: int) -> Iterator[None]:
    """Return a context in which nobody reads a folder that changes. Raises OSError where the folder is gone."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(opened, kind)
        yield
    finally:
        os.close(opened)
