"""The retriever: searches within a deadline, in knowledge bases that are kept up to date beside the streams.

A failure here costs the answer its context, never the answer.

    idle       `warm` has not been called (a command, a test): `require` loads the bases
    loading    `warm` has been called: searches wait for the first load, up to the deadline
    loaded     the bases are refreshed every `poll` seconds; between two refreshes those are loaded that are asked for
"""

import contextlib
import functools
import random
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import Event

from parley.concurrency import SILENCE, Silence, checkpoint
from parley.errors import WarmingUp
from parley.knowledge.base_settings import NO_SETTINGS, BaseSettings
from parley.knowledge.bases import Base, Bases
from parley.knowledge.index import Hit, Query, Ranking, SearchFailed
from parley.knowledge.prompt import MORE_THAN_WANTED, Excerpt, select_excerpts
from parley.knowledge.quoting import Quote, VectorMemory, quote
from parley.knowledge.semantic import EncoderFailed
from parley.knowledge.sources import SourceFailed
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.turn_record import TurnRecord

OPERATOR_SECONDS = 10.0
"""Longest time in seconds that an operator's page waits for a base to be loaded."""
AWAIT_SECONDS = 1.0
"""Pause in seconds before the source of the knowledge is asked again for the first load."""
SPREAD = 0.2
"""Share by which pauses vary at random where many workers ask one server, so that they do not ask together."""


@dataclass(frozen=True)
class SearchResult:
    """The hits of a search, best first. `degraded` is true if it failed or was late: then nothing is known.

    `is_small_talk` is true if the encoder took the turn for small talk, which the phrases of the gate had not told.
    `base` is the one that was searched, as it was then: it may have left the memory since.
    """

    hits: list[Hit]
    degraded: bool = False
    is_small_talk: bool = False
    base: Base | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Grounding:
    """Everything that an answer says of the knowledge base: the hits, the excerpts shown to the model, the citations.

    Citations are those of the hits in the excerpts, best first, as the caller gets them. All three are empty if nothing
    was found. They are empty, too, if the model is told nothing: because the search is `degraded`, or because nothing
    was asked (`is_small_talk`).
    """

    hits: tuple[Hit, ...]
    excerpts: tuple[Excerpt, ...]
    citations: tuple[dict[str, Any], ...]
    degraded: bool = False
    is_small_talk: bool = False
    base: Base | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, result: SearchResult, most_excerpts: int) -> "Grounding":
        """Return the grounding by the hits of a search, in at most `most_excerpts` excerpts."""
        excerpts = tuple(select_excerpts(result.hits, most_excerpts))
        shown = sorted((hit for excerpt in excerpts for hit in excerpt.hits), key=lambda hit: -hit.score)
        citations = tuple(
            {
                "id": hit.passage.id,
                "title": hit.passage.title,
                "score": round(hit.score, 4),
                "file": hit.passage.file,
            }
            for hit in shown
        )
        return cls(tuple(result.hits), excerpts, citations, result.degraded, result.is_small_talk, result.base)


class Retriever:
    """The knowledge bases as the answers use them. `timeout` and `poll` are in seconds; 0 as `poll` means never.

    `spread` is the share by which the pauses between two looks at the bases' source vary.
    """

    def __init__(self, bases: Bases, timeout: float, poll: float, spread: float = 0.0) -> None:
        self.bases = bases
        self._timeout = timeout
        self._poll = poll
        self._spread = spread
        self._loaded = Event()
        self._is_warmed = False
        self._is_awaiting = False
        self._sentences = VectorMemory()

    def warm(self) -> None:
        """Load the bases in a greenlet of their own, and refresh them from then on."""
        self._is_warmed = True
        gevent.spawn(self._keep_fresh)

    @property
    def loading(self) -> bool:
        """True while the first load runs."""
        return self._is_warmed and not self._loaded.is_set()

    def require(self, kb: str) -> None:
        """Raise NotFound if there is no knowledge base of this name. Without a list in time nothing is raised."""
        if self._is_warmed:
            self._loaded.wait(self._timeout)
        elif self.bases.state == "loading":
            self.bases.refresh()
        if self.bases.state != "loading":
            self.bases.require(kb)

    def base(self, kb: str) -> Base:
        """Return a knowledge base for an operator, loaded if need be. Raises NotFound, WarmingUp."""
        # Longer than a caller waits, who hears an answer without context in the end.
        with gevent.Timeout(OPERATOR_SECONDS, WarmingUp("the knowledge base is still loading")):
            try:
                return self.bases.get(kb)
            except SourceFailed as failed:
                raise WarmingUp(f"the knowledge base can't be loaded now: {failed}") from None

    def settings_of(self, kb: str) -> BaseSettings:
        """Return the settings of a knowledge base; those of a base without any where nothing is known of it."""
        base = self.bases.listed.get(kb)
        return base.settings if base else NO_SETTINGS

    def ground(self, kb: str, query: Query, most_excerpts: int, record: TurnRecord) -> Grounding:
        """Return the grounding of an answer to this query, in at most `most_excerpts` excerpts. Never raises."""
        # More hits than excerpts: some may say the same.
        result = self.search(kb, query, most_excerpts * MORE_THAN_WANTED, record)
        return Grounding.of(result, most_excerpts)

    def ground_notifying(
        self, kb: str, query: Query, most_excerpts: int, record: TurnRecord, notify_after: float | None
    ) -> Generator[Silence, None, Grounding]:
        """Like `ground`, but yield one SILENCE if the search still runs after `notify_after` seconds (None: never)."""
        if notify_after is None:
            return self.ground(kb, query, most_excerpts, record)
        limit = most_excerpts * MORE_THAN_WANTED
        result = yield from self.search_telling(kb, query, limit, record, notify_after)
        return Grounding.of(result, most_excerpts)

    def quote(self, base: Base, query: Query, hits: Sequence[Hit]) -> Quote | None:
        """Return the sentences of a search's hits that answer its query, or None. Never raises."""
        # Within the time of a search: a quote is what is said because nothing else can be.
        with gevent.Timeout(self._timeout, False):
            try:
                built = base.index
                asked = built.folded(query)
                find = functools.partial(quote, asked, hits, language=built.language, breathe=checkpoint)
                if (encoder := built.compared_by) is not None:
                    floors = encoder.calibration
                    encode = encoder.query
                    remembered = self._sentences.through(encode, encoder.name)
                    with contextlib.suppress(EncoderFailed):
                        return find(
                            encode, encode_sentences=remembered, least=floors.min_quoted, sure=floors.sure_quoted
                        )
                return find()
            except Exception:  # noqa: BLE001 - the boundary: the caller gets an answer, if one without a quote
                log.exception("quote_failed")
                self._sentences.clear()
        return None

    def search(self, kb: str, query: Query, limit: int, record: TurnRecord) -> SearchResult:
        """Return at most `limit` hits of a base. A failed or late search is a degraded result, not an exception."""
        started = time.monotonic()
        base: Base | None = None
        ranking: Ranking | None = None
        # All that the caller waits for counts: the list of the bases, the load of this one, the search.
        with gevent.Timeout(self._timeout, False):
            if self._is_warmed:
                self._loaded.wait()
            try:
                base = self.bases.get(kb)
                ranking = base.index.rank(query, limit)
            except (SourceFailed, SearchFailed):
                # Told when the base was loaded in vain, or the database went away, and not with every question.
                pass
            except Exception:  # noqa: BLE001 - the boundary: the caller gets an answer, if one without context
                log.exception("rag_failed", id=record.id)
        seconds = time.monotonic() - started
        record.lookup_ms = round(seconds * 1000, 1)
        metrics.LOOKUP.observe(seconds)
        if ranking is None:
            metrics.series(metrics.LOOKUPS, "degraded").inc()
            log.warning("rag_degraded", id=record.id, ms=record.lookup_ms)
            return SearchResult([], degraded=True)
        metrics.series(metrics.LOOKUPS, "found" if ranking.hits else "nothing").inc()
        return SearchResult(ranking.hits, is_small_talk=ranking.small_talk is not None, base=base)

    def search_telling(
        self, kb: str, query: Query, limit: int, record: TurnRecord, notify_after: float
    ) -> Generator[Silence, None, SearchResult]:
        """Like `search`, but yield one SILENCE if the search still runs after `notify_after` seconds."""
        searching = gevent.spawn(self.search, kb, query, limit, record)
        try:
            searching.join(notify_after)
            if not searching.ready():
                yield SILENCE
            result: SearchResult = searching.get()
            return result
        finally:
            # The caller may leave while the search runs: its greenlet would go on for nobody.
            searching.kill(block=False)

    def _await(self, failed: SourceFailed) -> None:
        """Pause until the source is asked again for the first load: until then /ready says no."""
        if not self._is_awaiting:
            self._is_awaiting = True
            log.warning("knowledge_awaited", fault=str(failed))
        gevent.sleep(self._varied(AWAIT_SECONDS))

    def _varied(self, seconds: float) -> float:
        return seconds * random.uniform(1 - self._spread, 1 + self._spread)

    def _keep_fresh(self) -> None:
        while True:
            try:
                self.bases.refresh()
            except SourceFailed as failed:
                if self.bases.state == "loading":
                    self._await(failed)
                    continue
            except Exception:  # noqa: BLE001 - the boundary: the old indexes stay in service
                metrics.KB_RELOAD_FAILURES.inc()
                log.exception("knowledge_reload_failed")
            # After a failure as well: a search then finds no base and says so, rather than wait for its deadline.
            self._loaded.set()
            # Until the next look, what is asked for is loaded by this very greenlet: one load at a time.
            pause = self._varied(self._poll)
            until = time.monotonic() + pause
            self.bases.attend(pause)
            if not self._poll:
                return
            # Nothing is left of the pause where loads have taken it.
            gevent.sleep(max(0.0, until - time.monotonic()))
