"""Work that one worker does for all of a server, such as having the upstream load its model."""

import contextlib
import fcntl
import os
import tempfile


class OncePerServer:
    """A piece of work, made in the master before the workers are forked.

        open    --begin--> in one worker's hands --done--> done, for as long as the server runs
                <--------- that worker ends without having done it

    Without a file that can be shared each worker does the work.
    """

    def __init__(self, folder: str | None) -> None:
        self._is_done_here = False
        self._file = -1
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
            self._file = os.dup(file.fileno())

    @property
    def is_done(self) -> bool:
        """True if a worker has done the work."""
        return self._is_done_here or (self._file >= 0 and os.fstat(self._file).st_size > 0)

    def begin(self) -> bool:
        """Return True if this process is the one to do the work, from now to its end."""
        if self._file < 0:
            return True
        # A lock of the process, not of the open file that all have inherited: it ends with the process.
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def done(self) -> None:
        """Note that the work is done."""
        self._is_done_here = True
        if self._file >= 0:
            os.write(self._file, b"1")
