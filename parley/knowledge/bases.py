"""The knowledge bases of a folder, kept in step with its files.

The folder's own files are the base without a name; each subfolder with files is a base of that name. Files are compared
by their status, never watched through the operating system. When to look again is decided in `retriever.py`.

    loading    before the first `refresh`
    empty      no base has a passage
    ok         everything in the files is served
    degraded   a file or an entry is broken: the rest is served, or what was served before
"""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from parley.errors import NotFound
from parley.knowledge import documents, index
from parley.knowledge.documents import Passage, Problem
from parley.knowledge.index import Index
from parley.knowledge.red_flags import red_flags
from parley.telemetry import metrics
from parley.telemetry.logs import log

MAX_LOGGED = 20
"""Most problems of one load that are logged one by one; `flask kb check` reports all."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of each file: differs wherever the contents may differ."""
State = Literal["loading", "empty", "degraded", "ok"]
Builder = Callable[[Sequence[Passage], Callable[[], None]], Index]


@dataclass(frozen=True)
class Base:
    """A knowledge base as it is served: an index, and the problems of its files when they were last read.

    `broken_files` could not be read when the index was built. `stale` is true if one of its files has broken since.
    """

    index: Index
    passages: int
    problems: tuple[Problem, ...] = ()
    broken_files: frozenset[str] = frozenset()
    stale: bool = False
    fingerprint: Fingerprint = field(default=(), repr=False)

    @property
    def is_complete(self) -> bool:
        """True if everything in the base's files is served."""
        return not self.stale and all(problem.lost == "nothing" for problem in self.problems)


class Bases:
    """All knowledge bases of a folder. `refresh` brings them up to date; between two calls nothing changes."""

    def __init__(self, folder: Path, build: Builder = index.build, breathe: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._build = build
        self._breathe = breathe
        self._serving: Mapping[str, Base] | None = None

    @property
    def state(self) -> State:
        """The state of all bases together, as the module's table gives it."""
        if self._serving is None:
            return "loading"
        if not any(base.passages for base in self._serving.values()):
            return "empty"
        return "ok" if all(base.is_complete for base in self._serving.values()) else "degraded"

    @property
    def serving(self) -> Mapping[str, Base]:
        """The bases by name; once anything has been loaded, the one without a name is always among them."""
        return self._serving or {}

    def get(self, name: str) -> Base:
        """Return the base of this name. Raises NotFound."""
        try:
            return self.serving[name]
        except KeyError:
            message = "there is no knowledge base of this name"
            raise NotFound(message, code="unknown_knowledge_base", param="kb") from None

    def refresh(self) -> bool:
        """Read the files that have changed since the last call. Return True if there were any.

        Each new index is built aside and replaces the old one by one assignment. If a file breaks, its base stays as it
        was.
        """
        try:
            folders = folders_of(self._folder)
        except OSError:
            # The folder is gone or unreadable: everything stays served, each base with its fault.
            folders = {name: self._folder / name for name in {"", *self.serving}}
        fingerprints = {name: _fingerprint(folder, self._breathe) for name, folder in folders.items()}
        serving = dict(self.serving)
        changed = [
            name
            for name, fingerprint in fingerprints.items()
            if name not in serving or serving[name].fingerprint != fingerprint
        ]
        gone = serving.keys() - fingerprints.keys()
        new_passages: dict[str, Sequence[Passage]] = {}
        for name in changed:
            serving[name], new_passages[name] = self._load(name, fingerprints[name])
            # At first all bases appear at once: no name is unknown only because its turn has not come.
            if self._serving is not None:
                self._serving = dict(serving)
        if changed or gone:
            self._serving = {name: base for name, base in serving.items() if name in fingerprints}
            metrics.KB_PASSAGES.set(sum(base.passages for base in self.serving.values()))
            # Last: the new passages are served before they are searched for red flags.
            self._log_red_flags(new_passages)
        if gone:
            log.info("knowledge_gone", bases=sorted(gone))
        return bool(changed or gone)

    def _load(self, name: str, fingerprint: Fingerprint) -> tuple[Base, Sequence[Passage]]:
        """Return the base to serve from now on, and its new passages: none if the old index stays."""
        started = time.monotonic()
        loaded = documents.load(self._folder / name, self._folder, self._breathe)
        for problem in loaded.problems[:MAX_LOGGED]:
            log.warning("knowledge_fault", fault=str(problem))
        problems, broken = tuple(loaded.problems), loaded.broken_files
        old = self.serving.get(name)
        # A file that has never been readable keeps nobody from serving the others.
        if old is not None and old.passages and broken - old.broken_files:
            metrics.KB_RELOAD_FAILURES.inc()
            log.warning("knowledge_kept", kb=name, passages=old.passages, broken=sorted(broken)[:MAX_LOGGED])
            return replace(old, problems=problems, stale=True, fingerprint=fingerprint), ()
        built = self._build(loaded.passages, self._breathe)
        if old is not None:
            metrics.KB_RELOADS.inc()
        write = log.info if loaded.passages else log.warning
        write(
            "knowledge_loaded",
            kb=name,
            passages=len(loaded.passages),
            faults=len(problems),
            invisible_characters=loaded.invisible,
            ms=round((time.monotonic() - started) * 1000, 1),
        )
        return Base(built, len(loaded.passages), problems, broken, fingerprint=fingerprint), loaded.passages

    def _log_red_flags(self, new_passages: Mapping[str, Sequence[Passage]]) -> None:
        logged = 0
        for name, passage in ((name, passage) for name, passages in new_passages.items() for passage in passages):
            self._breathe()
            for flag in red_flags(passage) if logged < MAX_LOGGED else ():
                logged += 1
                log.warning("knowledge_suspect", kb=name, file=passage.file, passage=passage.id, why=flag)


def folders_of(home: Path) -> dict[str, Path]:
    """Return the folders of the knowledge bases by name, first `home` itself, whose name is empty. Raises OSError."""
    folders = {"": home}
    for path in sorted(home.iterdir()):
        # A link that leads out of the folder is no base: it could serve any file of the machine.
        if is_base_name(path.name) and path.is_dir() and path.resolve().is_relative_to(home.resolve()):
            try:
                has_files = bool(documents.knowledge_files(path))
            except OSError:
                # A base all the same, so that loading it reports the fault.
                has_files = True
            if has_files:
                folders[path.name] = path
    return folders


def is_base_name(name: str) -> bool:
    """Return True if a folder of this name may be a knowledge base."""
    return bool(_NAME.fullmatch(name)) and not name.lower().endswith(".json")


def _fingerprint(folder: Path, breathe: Callable[[], None]) -> Fingerprint:
    """Return the fingerprint of a folder's files; a folder or a file that can't be looked at has one, too."""
    try:
        files = documents.knowledge_files(folder)
    except OSError:
        return (("", 0, 0, 0),)
    fingerprint = []
    for file in files:
        breathe()
        try:
            status = os.stat(file)
        except OSError:
            fingerprint.append((file.name, 0, 0, 0))
        else:
            # Either time may stay behind: writing can restore the one, renaming changes only the other.
            changed = max(status.st_mtime_ns, status.st_ctime_ns)
            fingerprint.append((file.name, status.st_ino, status.st_size, changed))
    return tuple(fingerprint)
