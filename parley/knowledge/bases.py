"""The knowledge bases that are served, kept in step with where they come from.

Which there are, and whether they have changed, tells their source (`sources.py`), which is asked and never watched.
When to look again is decided in `retriever.py`.

    loading    before the first `refresh`
    empty      no base has a passage
    ok         everything in the files is served
    degraded   a file or an entry is broken: the rest is served, or what was served before
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from parley.errors import NotFound
from parley.knowledge import index
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.documents import Passage
from parley.knowledge.index import Index
from parley.knowledge.red_flags import red_flags
from parley.knowledge.sources import Outline, SearchedThere, Source, State, Version
from parley.knowledge.stored_vectors import StoredVectors
from parley.telemetry import metrics
from parley.telemetry.logs import log

MAX_LOGGED = 20
"""Most problems of one load that are logged one by one; `flask kb check` reports all."""

Builder = Callable[[Sequence[Passage], Callable[[], None], BaseSettings, StoredVectors | None], Index]


@dataclass(frozen=True, kw_only=True)
class Base(Outline):
    """A knowledge base as it is served: an index, and the problems of its files when they were last read.

    `broken_files` could not be read when the index was built.
    """

    index: Index
    broken_files: frozenset[str] = frozenset()
    version: Version = field(default=(), repr=False)


def lexical(
    passages: Sequence[Passage], breathe: Callable[[], None], settings: BaseSettings, _: StoredVectors | None
) -> Index:
    """Return an index by words alone."""
    return index.build(passages, breathe, settings)


class Bases:
    """All knowledge bases of a source. `refresh` brings them up to date; between two calls nothing changes."""

    def __init__(self, source: Source, build: Builder = lexical, breathe: Callable[[], None] = lambda: None) -> None:
        self._source = source
        self._build = build
        self._breathe = breathe
        self._serving: Mapping[str, Base] | None = None

    @property
    def state(self) -> State:
        """The state of all bases together, as the module's table gives it."""
        return "loading" if self._serving is None else state_of(self._serving)

    @property
    def serving(self) -> Mapping[str, Base]:
        """The bases in memory, by name."""
        return self._serving or {}

    @property
    def listed(self) -> Mapping[str, Outline]:
        """All bases that can be asked for, by name; once there are any, the one without a name is among them."""
        return self.serving

    def require(self, name: str) -> None:
        """Raise NotFound unless there is a base of this name."""
        if name not in self.listed:
            raise NotFound("there is no knowledge base of this name", code="unknown_knowledge_base", param="kb")

    def get(self, name: str) -> Base:
        """Return the base of this name. Raises NotFound."""
        self.require(name)
        return self.serving[name]

    def refresh(self) -> bool:
        """Load the bases that have changed since the last call. Return True if there were any. Raises SourceFailed.

        Each new index is built aside and replaces the old one by one assignment. If a file breaks, its base stays as it
        was.
        """
        return self._hold(self._source.look(self.serving))

    def attend(self, seconds: float) -> None:
        """Return at once: nothing that is asked for has to be loaded between two refreshes."""

    def _hold(self, versions: Mapping[str, Version]) -> bool:
        """Have all these bases in memory. Return True if anything had to be done for it."""
        serving = dict(self.serving)
        # A version is compared and never read: each source has its own.
        changed = [
            name for name, version in versions.items() if name not in serving or serving[name].version != version
        ]
        # A base whose last file was deleted is gone, and its name unknown.
        gone = serving.keys() - versions.keys()
        new_passages: dict[str, Sequence[Passage]] = {}
        if self._source.spread and not serving.keys().isdisjoint(changed):
            # Many machines see a change at the same moment.
            time.sleep(random.uniform(0, self._source.spread))
        for name in changed:
            serving[name], new_passages[name] = self._load(name, versions[name])
            # At first all bases appear at once: no name is unknown only because its turn has not come.
            if self._serving is not None:
                self._serving = dict(serving)
        if changed or gone:
            self._serving = {name: base for name, base in serving.items() if name in versions}
            metrics.KB_PASSAGES.set(sum(base.passages for base in self.serving.values()))
            # Last: the new passages are served before they are searched for red flags.
            self._log_red_flags(new_passages)
        if gone:
            log.info("knowledge_gone", bases=sorted(gone))
        return bool(changed or gone)

    def _load(self, name: str, version: Version) -> tuple[Base, Sequence[Passage]]:
        """Return the base to serve from now on, and its new passages: none if the old index stays."""
        started = time.monotonic()
        loaded = self._source.load(name, self._breathe)
        for problem in loaded.problems[:MAX_LOGGED]:
            log.warning("knowledge_fault", fault=str(problem))
        problems, broken = tuple(loaded.problems), loaded.broken_files
        old = self.serving.get(name)
        # A file that has never been readable keeps nobody from serving the others.
        if old is not None and old.passages and broken - old.broken_files:
            metrics.KB_RELOAD_FAILURES.inc()
            log.warning("knowledge_kept", kb=name, passages=old.passages, broken=sorted(broken)[:MAX_LOGGED])
            return replace(old, problems=problems, stale=True, version=version), ()
        if isinstance(loaded, SearchedThere):
            built, count = loaded.index, loaded.count
        else:
            built = self._build(loaded.passages, self._breathe, loaded.settings, loaded.vectors)
            count = len(loaded.passages)
        settings = replace(loaded.settings, language=built.language)
        if old is not None:
            metrics.KB_RELOADS.inc()
        write = log.info if count else log.warning
        write(
            "knowledge_loaded",
            kb=name,
            language=built.language.code,
            passages=count,
            faults=len(problems),
            invisible_characters=loaded.invisible,
            markup=sum(loaded.markup.values()),
            ms=round((time.monotonic() - started) * 1000, 1),
            **loaded.provenance,
        )
        base = Base(
            index=built,
            passages=count,
            problems=problems,
            broken_files=broken,
            stale=loaded.stale,
            settings=settings,
            version=version,
            is_searchable=isinstance(loaded, SearchedThere),
        )
        return base, loaded.passages

    def _log_red_flags(self, new_passages: Mapping[str, Sequence[Passage]]) -> None:
        logged = 0
        for name, passage in ((name, passage) for name, passages in new_passages.items() for passage in passages):
            self._breathe()
            for flag in red_flags(passage) if logged < MAX_LOGGED else ():
                logged += 1
                log.warning("knowledge_suspect", kb=name, file=passage.file, passage=passage.id, why=flag)


def state_of(bases: Mapping[str, Outline]) -> State:
    """Return the state of bases together, as the module's table gives it."""
    if not any(base.passages for base in bases.values()):
        return "empty"
    return "ok" if all(base.is_complete for base in bases.values()) else "degraded"
