"""Sources of knowledge bases: a source tells which there are, and loads them. `bases.py` serves what it gives.

A base is loaded anew when its version is no longer what it was. Nobody but its source reads a version.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from parley.knowledge import documents
from parley.knowledge.base_settings import NO_SETTINGS, BaseSettings
from parley.knowledge.documents import LoadResult, Problem
from parley.knowledge.folder_scan import FolderScan, scan_folder, scan_home
from parley.knowledge.index import Index

State = Literal["loading", "empty", "degraded", "ok"]
Version = Hashable
Scans = Mapping[str, FolderScan]


class SourceFailed(Exception):
    """A source can't be asked now: what is served stays served. The message says why; the source has logged it."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A knowledge base as far as it is known, whether it is in memory or not.

    `stale` is true if one of its files has broken since it was loaded, or if its source could not tell whether there is
    anything newer. `fault` is why it can't be served as it is now, if it can't. With `is_searchable` its source
    searches it: a worker holds none of its passages.
    The language in `settings` is that of the passages, if the base's own settings name none.
    """

    passages: int
    settings: BaseSettings = NO_SETTINGS
    problems: tuple[Problem, ...] = ()
    stale: bool = False
    fault: str = ""
    is_searchable: bool = False

    @property
    def resident(self) -> int:
        """The passages that a worker holds in memory where it has loaded the base."""
        return 0 if self.is_searchable else self.passages

    @property
    def is_complete(self) -> bool:
        """True if everything in the base's files can be served."""
        return not (self.stale or self.fault) and all(problem.lost == "nothing" for problem in self.problems)

    @property
    def state(self) -> State:
        """The state of this base alone, as the table of `bases.py` gives it."""
        # Also where all its files are broken: there is nothing that could be found in part.
        if not self.passages:
            return "empty"
        return "ok" if self.is_complete else "degraded"


@dataclass(frozen=True, kw_only=True)
class SearchedThere(LoadResult):
    """A base whose `count` passages stay where they are, and the index that searches them there."""

    index: Index
    count: int


class Source(Protocol):
    """Anything that has knowledge bases."""

    @property
    def spread(self) -> float:
        """Limit in seconds of the random pause before a base that is served is loaded anew."""
        ...

    def look(self, known: Iterable[str]) -> Mapping[str, Version]:
        """Return all bases by name, each with its version; `known` are those that are served. Raises SourceFailed."""
        ...

    def load(self, name: str, breathe: Callable[[], None]) -> LoadResult:
        """Return the contents of a base that the last look found; `breathe` is called at every step of the work.

        Raises SourceFailed.
        """
        ...


class OutlinedSource(Source, Protocol):
    """A source that tells of its bases before they are loaded."""

    def outline(self, name: str) -> Outline:
        """Return what is known of a base that the last look found."""
        ...


class FolderSource:
    """The bases of a folder: its own files are the base without a name, each subfolder with files is one of that name.

    `in_thread` runs the looks at the folder, which may take long, beside the event loop.
    """

    spread = 0.0

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
