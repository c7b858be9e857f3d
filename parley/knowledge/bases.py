"""The knowledge bases of a folder, kept in step with its files: what is served, and what a changed file does to it.

The folder's own files are the base without a name; each subfolder with files is a base by its name. Files are
compared by their status, never watched by the operating system. Who looks again, and when, is not decided here.
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
from parley.knowledge.documents import LoadResult, Passage, Problem
from parley.knowledge.index import Index
from parley.knowledge.red_flags import red_flags
from parley.telemetry import metrics
from parley.telemetry.logs import log

MOST_LOGGED = 20
"""Faults of one load that are logged one by one; `flask kb check` tells all."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Of each file its name, inode, size and time of change: differs where any content may differ."""
State = Literal["loading", "empty", "degraded", "ok"]
Builder = Callable[[Sequence[Passage], Callable[[], None]], Index]


@dataclass(frozen=True)
class Base:
    """A knowledge base as it is served: an index, and what was wrong with its files when they were last read.

    `broken_files` could not be read when the index was built; `stale` once a file that is in it broke since.
    """

    index: Index
    passages: int
    problems: tuple[Problem, ...] = ()
    broken_files: frozenset[str] = frozenset()
    stale: bool = False
    fingerprint: Fingerprint = field(default=(), repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether nothing that its files hold is missing."""
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
        """How the knowledge is: `degraded` where something that the files hold is not served as it stands there."""
        if self._serving is None:
            return "loading"
        if not any(base.passages for base in self._serving.values()):
            return "empty"
        return "ok" if all(base.is_whole for base in self._serving.values()) else "degraded"

    @property
    def serving(self) -> Mapping[str, Base]:
        """The bases by name; the one without a name is always among them once anything has been loaded."""
        return self._serving or {}

    def get(self, name: str) -> Base:
        """The base of this name. Raises NotFound."""
        try:
            return self.serving[name]
        except KeyError:
            message = "there is no knowledge base of this name"
            raise NotFound(message, code="unknown_knowledge_base", param="kb") from None

    def refresh(self) -> bool:
        """Read what has changed since the last call; whether anything had.

        Each new index is built aside and takes the old one's place by one assignment. A file that breaks leaves
        its base as it was.
        """
        found = {name: _fingerprint(folder, self._breathe) for name, folder in self._folders().items()}
        serving = dict(self.serving)
        changed = [name for name in found if name not in serving or serving[name].fingerprint != found[name]]
        gone = serving.keys() - found.keys()
        read: dict[str, Sequence[Passage]] = {}
        for name in changed:
            serving[name], read[name] = self._refreshed(name, found[name])
            if self._serving is not None:  # at first all appear at once: no name is unknown because it is late
                self._serving = dict(serving)
        if changed or gone:
            self._serving = {name: base for name, base in serving.items() if name in found}
            metrics.KB_PASSAGES.set(sum(base.passages for base in self.serving.values()))
            self._log_red_flags(read)
        if gone:
            log.info("knowledge_gone", bases=sorted(gone))
        return bool(changed or gone)

    def _folders(self) -> dict[str, Path]:
        try:
            return folders_of(self._folder)
        except OSError:
            return {name: self._folder / name for name in {"", *self.serving}}  # what is served stays

    def _refreshed(self, name: str, fingerprint: Fingerprint) -> tuple[Base, Sequence[Passage]]:
        """The base as it is to be served now, and the passages that are new in it."""
        started = time.monotonic()
        loaded = documents.load(self._folder / name, self._folder, self._breathe)
        _log_problems(loaded.problems)
        old = self.serving.get(name)
        if old is not None and old.passages and loaded.broken_files - old.broken_files:
            metrics.KB_RELOAD_FAILURES.inc()
            log.warning(
                "knowledge_kept", kb=name, passages=old.passages, broken=sorted(loaded.broken_files)[:MOST_LOGGED]
            )
            return replace(old, problems=tuple(loaded.problems), stale=True, fingerprint=fingerprint), ()
        built = self._build(loaded.passages, self._breathe)
        if old is not None:
            metrics.KB_RELOADS.inc()
        _log_loaded(name, loaded, started)
        problems, broken = tuple(loaded.problems), loaded.broken_files
        return Base(built, len(loaded.passages), problems, broken, fingerprint=fingerprint), loaded.passages

    def _log_red_flags(self, read: Mapping[str, Sequence[Passage]]) -> None:
        told = 0
        for name, passage in ((name, passage) for name, passages in read.items() for passage in passages):
            self._breathe()
            for flag in red_flags(passage) if told < MOST_LOGGED else ():
                told += 1
                log.warning("knowledge_suspect", kb=name, file=passage.file, passage=passage.id, why=flag)


def folders_of(home: Path) -> dict[str, Path]:
    """The folders of the knowledge bases by their names, `home` itself first, by the empty one. Raises OSError."""
    named = [path for path in sorted(home.iterdir()) if is_base_name(path.name)]
    inside = [path for path in named if path.is_dir() and path.resolve().is_relative_to(home.resolve())]
    return {"": home, **{path.name: path for path in inside if _holds_files(path)}}


def is_base_name(name: str) -> bool:
    """Whether a folder may be a knowledge base by this name."""
    return bool(_NAME.fullmatch(name)) and not name.lower().endswith(".json")


def _fingerprint(folder: Path, breathe: Callable[[], None]) -> Fingerprint:
    try:
        files = documents.knowledge_files(folder)
    except OSError:
        return (("", 0, 0, 0),)
    found = []
    for file in files:
        breathe()
        try:
            status = os.stat(file)
        except OSError:
            found.append((file.name, 0, 0, 0))
        else:
            found.append((file.name, status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)))
    return tuple(found)


def _holds_files(folder: Path) -> bool:
    try:
        return bool(documents.knowledge_files(folder))
    except OSError:
        return True  # so that the fault is told


def _log_problems(problems: Sequence[Problem]) -> None:
    for problem in problems[:MOST_LOGGED]:
        log.warning("knowledge_fault", fault=str(problem))


def _log_loaded(name: str, loaded: LoadResult, started: float) -> None:
    write = log.info if loaded.passages else log.warning
    write(
        "knowledge_loaded",
        kb=name,
        passages=len(loaded.passages),
        faults=len(loaded.problems),
        invisible_characters=loaded.invisible,
        ms=round((time.monotonic() - started) * 1000, 1),
    )
