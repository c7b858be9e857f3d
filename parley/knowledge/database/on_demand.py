"""Knowledge bases of which only some are in memory: for a database with more passages than a worker is to hold.

While all bases together fit into `KB_RESIDENT`, all of them are held, and this is `Bases`. If they do not fit:

    listed    --asked for-->        wanted    its name, size and settings are known; whoever asks waits for the load
    wanted    --loaded-->           held      searched in memory, or in the database if it is too large for that
    wanted    --the load fails-->   failed    told once; tried again after a pause, until which nobody waits for it
    held      --room is needed-->   listed    those that were not asked for longest go first; turns that run keep theirs
    held      --published anew-->   held      loaded anew; the old index serves until then

All loads are made by the greenlet that calls `attend`, one after the other, as `load_queue.py` orders them.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import gevent

from parley.concurrency import outcome_of, result_of
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.bases import Base, Bases, Builder, lexical
from parley.knowledge.database import measurements
from parley.knowledge.database.load_queue import LoadQueue
from parley.knowledge.documents import Passage
from parley.knowledge.sources import Outline, OutlinedSource, SourceFailed, State, Version
from parley.telemetry import metrics
from parley.telemetry.logs import log

SEARCH_REMEDY = "run `flask db init`, then `flask kb publish` of this release with this KB_RESIDENT"
"""The commands that make a base one that the database searches."""
TELL_SECONDS = 10.0
"""Least time in seconds between two log lines on bases that left the memory."""
MAX_NAMED = 20
"""Most bases that such a line names."""


class BasesOnDemand(Bases):
    """The bases of a source, of which at most `limit` passages are in memory.

    `prepare` is told the settings of the first base of each language and encoder, before any is loaded.
    """

    def __init__(
        self,
        source: OutlinedSource,
        build: Builder = lexical,
        breathe: Callable[[], None] = lambda: None,
        *,
        limit: int,
        prepare: Callable[[BaseSettings], None] = lambda _: None,
    ) -> None:
        super().__init__(source, build, breathe)
        self._outlined = source
        self._limit = limit
        self._prepare = prepare
        self._prepared: set[tuple[str, str]] = set()
        self._on_demand = False
        self._is_attended = False
        self._was_away = False
        # All bases as their source tells of them, and as they are shown: those in memory as what is in memory.
        self._versions: Mapping[str, Version] = {}
        self._outlines: dict[str, tuple[Version, Outline]] = {}
        self._listed: dict[str, Outline] = {}
        self._incomplete: set[str] = set()
        self._passages = 0
        # In the order in which they were last asked for.
        self._held: dict[str, Base] = {}
        self._queue = LoadQueue(self._size, limit)
        # Versions of which suspect passages were told: they are not told again with every load.
        self._examined: dict[str, Version] = {}
        self._evicted: list[str] = []
        self._told_at = -TELL_SECONDS

    @property
    def state(self) -> State:
        """The state of all bases together, those that are not in memory included."""
        if not self._on_demand:
            return super().state
        if not self._passages:
            return "empty"
        return "degraded" if self._incomplete else "ok"

    @property
    def listed(self) -> Mapping[str, Outline]:
        """All bases that can be asked for, by name."""
        return self._listed if self._on_demand else super().listed

    def get(self, name: str) -> Base:
        """Return the base of this name, loaded if need be. Raises NotFound, SourceFailed.

        The wait for a load may be interrupted; the load goes on.
        """
        if not self._on_demand:
            return super().get(name)
        self.require(name)
        if (base := self._held.pop(name, None)) is not None:
            # Behind all others: it goes last.
            self._held[name] = base
            return base
        if self._queue.is_pausing(name) or self._is_too_large(name):
            raise SourceFailed(self._fault(name))
        demand = self._queue.want(name)
        if not self._is_attended:
            # For a command nobody else loads anything.
            self._settle(name)
        demand.waiting += 1
        try:
            demand.settled.wait()
        finally:
            demand.waiting -= 1
        if demand.base is None:
            raise SourceFailed(self._fault(name) or "the base is gone")
        return demand.base

    def refresh(self) -> bool:
        """Learn which bases there are, and have the held ones that have changed loaded anew. Raises SourceFailed.

        Where all bases fit, all of them are loaded. Return True if anything has changed.
        """
        try:
            versions = self._look()
        except SourceFailed:
            self._was_away = True
            raise
        if self._was_away:
            self._was_away = False
            self._queue.end_pauses()
        changed = self._take_outlines(versions)
        passages = sum(outline.resident for _, outline in self._outlines.values())
        # Never from here back to loading all at once: whoever asks meanwhile would wait for all.
        if passages <= self._limit and not self._on_demand:
            is_changed = self._hold(versions)
            measurements.RESIDENT.set(sum(base.resident for base in self.serving.values()))
            return is_changed
        if not self._on_demand:
            log.info("knowledge_on_demand", bases=len(versions), passages=passages, most=self._limit)
            self._held = dict(self.serving)
            # What was held all the time has never been listed here.
            self._serving, self._on_demand, changed = self._held, True, {*versions, *self._listed}
        gone = self._held.keys() - versions.keys()
        for name in gone:
            del self._held[name]
        if gone:
            log.info("knowledge_gone", bases=sorted(gone))
        # Only now: until here loads go on by what was known before.
        self._versions = versions
        self._examined = {name: version for name, version in self._examined.items() if name in versions}
        self._prepare_for(changed)
        renewed = (name for name, base in self._held.items() if base.version != versions[name])
        self._queue.renew([name for name in renewed if not self._is_too_large(name)], self._source.spread)
        self._make_room(0)
        self._list(changed)
        if passages <= self._limit:
            self._fetch_the_rest()
        return bool(changed)

    def attend(self, seconds: float) -> None:
        """Load what is asked for, for so many seconds, or for ever with 0."""
        if not self._on_demand:
            return
        self._is_attended = True
        until = time.monotonic() + (seconds or math.inf)
        self._load_until(lambda: time.monotonic() >= until, until)

    def _look(self) -> Mapping[str, Version]:
        """Return all bases of the source. Loads go on meanwhile: a look at a database that is away takes seconds."""
        if not self._is_attended:
            return self._source.look(self.serving)
        looking = gevent.spawn(outcome_of, self._source.look, self.serving)
        looking.rawlink(lambda _: self._queue.wake())
        self._load_until(looking.ready, math.inf)
        versions: Mapping[str, Version] = result_of(looking.value)
        return versions

    def _load_until(self, is_over: Callable[[], bool], until: float) -> None:
        """Load what is asked for, until that is over; `until` is the time by which it is."""
        while not is_over():
            if (name := self._queue.next(time.monotonic())) is not None:
                self._settle(name)
            else:
                self._queue.wait(until)

    def _take_outlines(self, versions: Mapping[str, Version]) -> set[str]:
        """Take over what is known of each base. Return the names of those that are new, others by now, or gone."""
        gone = self._outlines.keys() - versions.keys()
        for name in gone:
            del self._outlines[name]
        known = {name: version for name, (version, _) in self._outlines.items()}
        changed = {name for name, version in versions.items() if name not in known or known[name] != version}
        for name in changed:
            self._breathe()
            outline = self._outlined.outline(name)
            self._outlines[name] = (versions[name], outline)
            if outline.resident > self._limit:
                told = {"passages": outline.passages, "most": self._limit, "hint": SEARCH_REMEDY}
                log.warning("knowledge_too_large", kb=name, **told)
        self._queue.forget(gone | changed)
        return gone | changed

    def _prepare_for(self, names: Iterable[str]) -> None:
        """Tell of the languages and encoders of these bases, before any of them is loaded."""
        outlines = (self._outlines[name][1] for name in names if name in self._outlines)
        for settings in [outline.settings for outline in outlines if outline.passages]:
            kind = (settings.encoder or "", settings.spoken_language.code)
            if kind not in self._prepared:
                self._prepared.add(kind)
                self._prepare(settings)

    def _fetch_the_rest(self) -> None:
        """Have all bases loaded, since they fit again; once all are there, everything is as if they always had."""
        missing = self._versions.keys() - self._held.keys()
        for name in missing:
            if not self._queue.fault(name):
                self._queue.want(name)
        self._on_demand = bool(missing) or not self._queue.is_empty

    def _size(self, name: str) -> int:
        """Return the passages that a base would hold in memory; 0 for one that is gone."""
        return self._outlines[name][1].resident if name in self._outlines else 0

    def _is_too_large(self, name: str) -> bool:
        return self._size(name) > self._limit

    def _fault(self, name: str) -> str:
        """Return why a base can't be served as it is published, or an empty text."""
        if self._is_too_large(name):
            held = f"its {self._size(name)} passages are more than a worker may hold (KB_RESIDENT={self._limit})"
            return f"{held}, and the database can't search it yet: {SEARCH_REMEDY}"
        return self._queue.fault(name)

    def _list(self, names: Iterable[str]) -> None:
        """Bring the list up to date for these bases: in memory or not, complete or with a fault."""
        # In order: pages show the bases as they stand here. One that is known keeps its position.
        for name in sorted(names):
            if (old := self._listed.get(name)) is not None:
                self._passages -= old.passages
                self._incomplete.discard(name)
            if name not in self._outlines:
                self._listed.pop(name, None)
                continue
            outline, fault = self._held.get(name) or self._outlines[name][1], self._fault(name)
            self._listed[name] = outline = replace(outline, fault=fault) if fault else outline
            self._passages += outline.passages
            if not outline.is_complete:
                self._incomplete.add(name)
        metrics.KB_PASSAGES.set(self._passages)
        measurements.RESIDENT.set(sum(base.resident for base in self._held.values()))

    def _settle(self, name: str) -> None:
        """Load a base, and tell those who wait for it. Raises nothing but what interrupts it."""
        version, base = self._versions.get(name), None
        passages: Sequence[Passage] = ()
        try:
            if version is not None and not self._is_too_large(name):
                self._make_room(self._size(name), besides=name)
                base, passages = self._load(name, version)
                # A held one keeps its position: nobody has asked for it.
                self._held[name] = base
        except Exception as error:  # noqa: BLE001 - the boundary: one base must not keep the others from being loaded
            self._fail(name, error)
        finally:
            self._queue.leave(name, base)
        if base is not None:
            self._make_room(base.resident, besides=name)
        self._list([name])
        if base is not None and self._examined.get(name) != version:
            self._examined[name] = version
            self._log_red_flags({name: passages})

    def _fail(self, name: str, error: Exception) -> None:
        """Note that a base does not load. One that is held serves on, and is tried again with the next refresh."""
        if name in self._held:
            metrics.KB_RELOAD_FAILURES.inc()
        else:
            fault = str(error) if isinstance(error, SourceFailed) else "its load failed; the log says why"
            if self._queue.fail(name, fault):
                log.warning("knowledge_not_loaded", kb=name, fault=fault)
            self._list(self._queue.excess())
        if not isinstance(error, SourceFailed):
            log.error("knowledge_reload_failed", kb=name, exc_info=error)

    def _make_room(self, passages: int, besides: str | None = None) -> None:
        """Let go of bases until so many passages fit in; the base `besides`, for which they are, is not counted."""
        sizes = {name: base.resident for name, base in self._held.items() if name != besides and base.resident}
        held = sum(sizes.values())
        for name, size in sizes.items():
            if held + passages <= self._limit:
                break
            held -= size
            del self._held[name]
            self._queue.forget([name])
            self._list([name])
            self._evicted.append(name)
            measurements.EVICTIONS.inc()
        now = time.monotonic()
        if self._evicted and now - self._told_at >= TELL_SECONDS:
            named = list(dict.fromkeys(self._evicted))[:MAX_NAMED]
            log.info("knowledge_evicted", bases=named, evictions=len(self._evicted), held=len(self._held))
            self._told_at, self._evicted = now, []
