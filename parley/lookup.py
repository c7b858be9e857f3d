"""Looking a question up: within a deadline, in knowledge that is kept up to date beside the streams.

Whatever goes wrong here costs the answer its context, never the answer.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass

import gevent
from gevent.event import Event

from parley import observe
from parley.knowledge.bases import Bases
from parley.knowledge.index import Hit, Query
from parley.logs import log
from parley.trail import Trail


@dataclass(frozen=True)
class Found:
    """What a search gave, best first; `degraded` where it failed, so that nobody knows what there is."""

    hits: list[Hit]
    degraded: bool = False


class Lookup:
    """The knowledge as the answers see it."""

    def __init__(self, bases: Bases, timeout: float, poll: float) -> None:
        self.bases = bases
        self._timeout = timeout
        self._poll = poll
        self._loaded = Event()
        self._lives = False

    def warm(self) -> None:
        """Read the knowledge beside whatever else is done, and look for changes from then on."""
        self._lives = True
        gevent.spawn(self._live)

    @property
    def loading(self) -> bool:
        """Whether the first reading is under way."""
        return self._lives and not self._loaded.is_set()

    def require(self, kb: str) -> None:
        """Raises NotFound where there is no knowledge base of this name."""
        if self._lives:
            self._loaded.wait(self._timeout)
        elif self.bases.state == "loading":
            self.bases.refresh()  # nobody has warmed it: a command, or a test
        if self.bases.state != "loading":
            self.bases.get(kb)

    def search(self, kb: str, query: Query, limit: int, trail: Trail) -> Found:
        """At most `limit` passages of a base; never raises for what goes wrong with the search."""
        started = time.monotonic()
        hits: list[Hit] | None = None
        with gevent.Timeout(self._timeout, False):
            hits = self._hits(kb, query, limit, trail)
        seconds = time.monotonic() - started
        trail.lookup_ms = round(seconds * 1000, 1)
        observe.LOOKUP.observe(seconds)
        if hits is None:
            observe.series(observe.LOOKUPS, "degraded").inc()
            log.warning("rag_degraded", id=trail.id, ms=trail.lookup_ms)
            return Found([], degraded=True)
        observe.series(observe.LOOKUPS, "found" if hits else "nothing").inc()
        return Found(hits)

    def search_telling(
        self, kb: str, query: Query, limit: int, trail: Trail, patience: float
    ) -> Generator[list[bytes], None, Found]:
        """The same; where it takes longer than `patience` seconds, an empty batch says so at that moment."""
        searching = gevent.spawn(self.search, kb, query, limit, trail)
        try:
            searching.join(patience)
            if not searching.ready():
                yield []
            found: Found = searching.get()
            return found
        finally:
            searching.kill(block=False)

    def _hits(self, kb: str, query: Query, limit: int, trail: Trail) -> list[Hit] | None:
        if self._lives:
            self._loaded.wait()
        try:
            return self.bases.get(kb).index.search(query, limit)
        except Exception:  # noqa: BLE001 - the boundary: a caller gets an answer, if one without context
            log.exception("rag_failed", id=trail.id)
            return None

    def _live(self) -> None:
        while True:
            try:
                self.bases.refresh()
            except Exception:  # noqa: BLE001 - the boundary: what was served is served on
                observe.KB_RELOAD_FAILURES.inc()
                log.exception("knowledge_reload_failed")
            self._loaded.set()
            if not self._poll:
                return
            gevent.sleep(self._poll)
