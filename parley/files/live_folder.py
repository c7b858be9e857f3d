"""The files of a folder, loaded as a whole at the start and kept in step with the folder.

    new        nothing is read before `warm`, or before what the files hold is asked for
    absent     there is no such folder: nothing is loaded, and nothing looks for it again
    loaded     no file has a fault
    kept       a file has changed and is faulty: what was loaded last serves on, until all files are whole again

The meaning of the files lies with the subclasses, and so do the log lines.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gevent

from parley.files.folder import Fingerprint, fingerprint_of

UNREADABLE: Fingerprint = (("", 0, 0, 0),)
"""The fingerprint of a folder that can't be read, which differs from all others."""


class FaultyFiles(Exception):
    """The files of a folder have faults, one in each line of the message."""


class LiveFolder:
    """A folder that is looked at every `poll` seconds (0: never) by `look`, which runs a look in a thread."""

    def __init__(
        self,
        folder: Path,
        *,
        poll: float = 0.0,
        look: Callable[[Callable[[], Fingerprint]], Fingerprint] = lambda work: work(),
    ) -> None:
        self.checked: Mapping[str, bytes] = {}
        """The files as the master checked them, for a worker that starts while one of them is being edited."""
        self._folder = folder
        self._poll = poll
        self._look = look
        # None before the first load, and without the folder.
        self._fingerprint: Fingerprint | None = None
        self._is_new = True
        self._keeper: gevent.Greenlet[[], None] | None = None

    def names(self) -> list[str]:
        """Return the names of the files that are read, in order. Raises OSError."""
        raise NotImplementedError

    def take(self, contents: Mapping[str, bytes | None]) -> list[str]:
        """Load these files, whose contents are read unless they are given.

        Return their faults, in which case nothing may have changed.
        """
        raise NotImplementedError

    def tell_faults(self, faults: Sequence[str]) -> None:
        """Log the faults of files that nobody has checked before they were asked for."""
        raise NotImplementedError

    def tell_kept(self, faults: Sequence[str]) -> None:
        """Log that what was loaded last serves on."""
        raise NotImplementedError

    def tell_failed(self) -> None:
        """Log the exception because of which a reload failed."""
        raise NotImplementedError

    def before_reload(self, found: Fingerprint) -> None:
        """Take notice of a changed folder before it is loaded again."""

    def names_again(self) -> list[str]:
        """Return the names of the files that are read when the folder has changed. Raises OSError."""
        return self.names()

    def load_once(self) -> None:
        """Load the files if nothing has: not warmed are a command, a test, a server without gunicorn's hooks."""
        if self._is_new and (faults := self.load()):
            self.tell_faults(faults)

    def warm(self) -> None:
        """Load the files, and keep what they hold in step with the folder. Raises FaultyFiles."""
        if faults := self.load():
            # A worker takes the place of one that ended: without it the server would end because of a slip of the pen.
            if not self.checked or self.take(self.checked):
                raise FaultyFiles("\n".join(faults))
            self.tell_kept(faults)
        if self._fingerprint is not None and self._poll:
            self._keeper = gevent.spawn(self._keep_fresh)

    def load(self) -> list[str]:
        """Load all files. Return their faults, in which case nothing has changed."""
        is_first, self._is_new = self._is_new, False
        if is_first and not self._folder.is_dir():
            return []
        try:
            names = self.names() if is_first else self.names_again()
            # Before the files are read: a change while that is done shows the next time.
            self._fingerprint = fingerprint_of(self._folder, self.names())
        except OSError as exc:
            # So that it is told once, not at each look.
            self._fingerprint = UNREADABLE
            return [f"{self._folder}: can't be read: {exc.strerror}"]
        return self.take(dict.fromkeys(names))

    def close(self) -> None:
        """End the work in the background."""
        if self._keeper is not None:
            self._keeper.kill(block=False)

    def look_at(self) -> Fingerprint:
        """Return the fingerprint of the files, UNREADABLE where the folder can't be read."""
        try:
            return fingerprint_of(self._folder, self.names())
        except OSError:
            return UNREADABLE

    def _keep_fresh(self) -> None:
        """Load the files again whenever one of them has changed, for ever."""
        while True:
            gevent.sleep(self._poll)
            try:
                found = self._look(self.look_at)
                if found == self._fingerprint:
                    continue
                self.before_reload(found)
                if faults := self.load():
                    self.tell_kept(faults)
            except Exception:  # noqa: BLE001 - the boundary: what is loaded serves on
                self.tell_failed()
