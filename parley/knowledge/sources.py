"""Sources of knowledge bases: a source tells which there are, and loads them. `bases.py` serves what it gives.

A base is loaded anew when its version is no longer what it was. Nobody but its source reads a version.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parley.knowledge import documents
from parley.knowledge.documents import LoadResult
from parley.knowledge.folder_scan import FolderScan, scan_folder, scan_home
from parley.knowledge.index import Index

Version = Hashable
Scans = Mapping[str, FolderScan]


class SourceFailed(Exception):
    """A source can't be asked now: what is served stays served. The message says why; the source has logged it."""


@dataclass(frozen=True, kw_only=True)
class SearchedThere(LoadResult):
    """A base whose `count` passages stay where they are, and the index that searches them there."""

    index: Index
    count: int


class Source(Protocol):
    """Anything that has knowledge bases."""

    def look(self, known: Iterable[str]) -> Mapping[str, Version]:
        """Return all bases by name, each with its version; `known` are those that are served. Raises SourceFailed."""
        ...

    def load(self, name: str, breathe: Callable[[], None]) -> LoadResult:
        """Return the contents of a base that the last look found; `breathe` is called at every step of the work.

        Raises SourceFailed.
        """
        ...


class FolderSource:
    """The bases of a folder: its own files are the base without a name, each subfolder with files is one of that name.

    `in_thread` runs the looks at the folder, which may take long, beside the event loop.
    """

    def __init__(self, folder: Path, in_thread: Callable[[Callable[[], Scans]], Scans] = lambda work: work()) -> None:
        self._folder = folder
        self._in_thread = in_thread
        self._scans: Scans = {}

    def look(self, known: Iterable[str]) -> Mapping[str, Version]:
        """Return all bases by name, each with the status of its files."""
        # Taken here: the thread must not look at what the event loop changes.
        names = {"", *known}
        self._scans = self._in_thread(lambda: self._scan(names))
        return {name: scan.fingerprint for name, scan in self._scans.items()}

    def load(self, name: str, breathe: Callable[[], None]) -> LoadResult:
        """Return the contents of a base's files."""
        scan = self._scans[name]
        return documents.load(scan.folder, self._folder, breathe, scan)

    def _scan(self, known: Iterable[str]) -> Scans:
        """Return the scans of all bases. Runs in a thread."""
        try:
            return scan_home(self._folder)
        except OSError:
            # The folder is gone or unreadable: everything stays served, each base with its fault.
            return {name: scan_folder(self._folder / name) for name in known}
