"""The semantic tier: passages ranked by their meaning, fused with the words that they share with the query.

A passage has one vector for all of it and, if it is longer, one for each window of a few sentences: a question
resembles the sentence that answers it more than everything around that sentence.

    filling    vectors come from an `Encoder`, in the background: the lexical tier answers
    ready      both tiers answer; the lexical one alone whenever a query's vector is not available in time
    outdated   a query's vector has other dimensions than the passages': the encoder has changed; filling begins anew

The candidates' ranking lives in `ranking.py`, the lexical scores in `lexical.py`, the encoders in `encoders.py`.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from gevent.lock import BoundedSemaphore
from numpy.typing import NDArray

from parley.knowledge import terms
from parley.knowledge.chunking import windows
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, LexicalIndex, Query, Ranking, top_positions
from parley.knowledge.postings import Floats
from parley.knowledge.quoting import MIN_COSINE, SURE_COSINE
from parley.knowledge.ranking import CANDIDATES, Candidates, Floors, rough_scores, turns_of
from parley.knowledge.vector_cache import Vectors, content_key
from parley.languages import Language
from parley.languages.english import SMALL_TALK_EXAMPLES

WINDOW_WORDS = 50
"""Most words in a window: two or three sentences."""

REFILL_SECONDS = 30.0
"""Shortest time in seconds between two times that all vectors are made anew."""

EXAMPLES = [Passage(text, "", text, "", {}) for text in SMALL_TALK_EXAMPLES]
"""The examples of small talk as passages: their vectors come from the cache, as those do."""

Result = TypeVar("Result")

STEPS = np.float32(127)
"""Steps between 0 and 1 in a window's vector, which is stored in eight bits."""


class EncoderFailed(Exception):
    """An encoder gave no vectors, or not in time; the message says why."""


@dataclass(frozen=True)
class Calibration:
    """The figures of an encoder by which a search finds nothing (docs/retrieval.md).

    The evidence for an answer is the best passage's cosine plus `coverage_weight` times the coverage of the question;
    below `min_evidence` there is none, or below the figure in `min_evidence_by_language`: texts in scripts without
    spaces are nearer to each other, whatever they say. From a cosine of `min_small_talk` to an example on, a turn is
    small talk unless a passage is nearer; None if nobody has measured it. From a cosine of `min_quoted` to the question
    on a sentence may be quoted, from `sure_quoted` on without a doubt.
    """

    coverage_weight: float
    min_evidence: float
    min_small_talk: float | None = None
    min_quoted: float = MIN_COSINE
    sure_quoted: float = SURE_COSINE
    min_evidence_by_language: Mapping[str, float] = field(default_factory=dict)

    def min_evidence_for(self, language: Language) -> float:
        """Return the evidence below which passages of this language hold no answer."""
        return self.min_evidence_by_language.get(language.code, self.min_evidence)


class Encoder(Protocol):
    """Turns texts into vectors. Its methods may wait, and let other greenlets run meanwhile."""

    name: str
    """Name of the vectors: vectors of different names can't be compared."""
    batch: int
    """Passages to encode with one call."""
    calibration: Calibration

    def passages(self, texts: Sequence[str]) -> Floats:
        """Return a vector of length 1 for each text, as rows. Raises EncoderFailed."""
        ...

    def query(self, texts: Sequence[str]) -> Floats:
        """Like `passages`, but raise EncoderFailed after the deadline of a query, for which a caller waits."""
        ...

    def run_in_thread(self, work: Callable[[], Result]) -> Result:
        """Return the result of some milliseconds of numerical work, done off the event loop."""
        ...


@dataclass(frozen=True)
class PassageVectors:
    """The passages' vectors; the windows of passage `p` are `windows[bounds[p]:bounds[p + 1]]`, in steps of 1/127."""

    passages: Floats
    windows: NDArray[np.int8]
    bounds: NDArray[np.int64]

    @classmethod
    def arrange(cls, encoded: Sequence[Floats]) -> "PassageVectors":
        """Return the vectors of all passages, given as rows for each passage: its own, then its windows'."""
        counts = np.array([len(rows) - 1 for rows in encoded], np.int64)
        return cls(
            np.stack([rows[0] for rows in encoded]),
            np.concatenate([np.rint(rows[1:] * STEPS).astype(np.int8) for rows in encoded]),
            np.concatenate([[0], np.cumsum(counts)]),
        )

    def cosines(self, positions: NDArray[np.int64], queries: Floats, own: Floats) -> Floats:
        """Return the cosines of passages, one query a row: the mean of its `own` one and of its best window's."""
        return (own + self.best_windows(positions, queries, own)) / np.float32(2)

    def best_windows(self, positions: NDArray[np.int64], queries: Floats, own: Floats) -> Floats:
        """Return the cosine of each passage's best window, one query a row; `own` cosines for those without windows."""
        starts = self.bounds[positions]
        counts = self.bounds[positions + 1] - starts
        best = own.copy()
        has_windows = counts > 0
        if not has_windows.any():
            return best
        # The windows of all passages in one array; `firsts` are the positions in it where a passage's windows begin.
        starts, counts = starts[has_windows], counts[has_windows]
        firsts = np.cumsum(counts) - counts
        rows = np.repeat(starts - firsts, counts) + np.arange(counts.sum())
        vectors = self.windows[rows].astype(np.float32)
        products = np.stack([np.vecdot(vectors, query) for query in queries])
        best[:, has_windows] = np.maximum.reduceat(products, firsts, axis=1) / STEPS
        return best


class SemanticIndex:
    """A lexical index, with the vectors of its passages once `fill` has been called often enough."""

    def __init__(
        self,
        lexical: LexicalIndex,
        encoder: Encoder,
        cache: Vectors,
        min_evidence: float | None = None,
        gated: bool = True,
        on_failure: Callable[[EncoderFailed], None] = lambda _: None,
        on_success: Callable[[], None] = lambda: None,
        on_outdated: Callable[["SemanticIndex"], None] = lambda _: None,
    ) -> None:
        self._lexical = lexical
        self.language = lexical.language
        self.encoder = encoder
        self._cache = cache
        self._min_evidence = (
            encoder.calibration.min_evidence_for(lexical.language) if min_evidence is None else min_evidence
        )
        # Without the gate, nothing is small talk.
        self._gated = gated
        self._on_failure = on_failure
        self._on_success = on_success
        self._on_outdated = on_outdated
        # The dimensions of the encoder's last answer, which decide over what the cache holds; None before the first.
        self._dimensions: int | None = None
        self._outdated_at = -math.inf
        self._encoded: list[Floats] = []
        self._vectors: PassageVectors | None = None
        self._small_talk: Floats | None = None
        self._filling = BoundedSemaphore(1)

    @property
    def ready(self) -> bool:
        """True if all passages have their vectors."""
        return self._vectors is not None or not self._lexical.passages

    def fill(self) -> None:
        """Get the vectors of the next few passages, from the cache or else from the encoder. Raises EncoderFailed.

        With the last of them the index is `ready`. One greenlet fills at a time, the others wait: two that encode the
        same passages would both add their vectors, and every later passage would get another one's.
        """
        with self._filling:
            if self.ready:
                return
            passages = self._lexical.passages
            at = len(self._encoded)
            self._encoded += self._encode(passages[at : at + self.encoder.batch])
            if len({rows.shape[1] for rows in self._encoded[max(0, at - 1) :]}) > 1:
                self._encoded = []
                raise EncoderFailed("the vectors have other dimensions than those before; all are made anew")
            if len(self._encoded) == len(passages):
                # perf: saves the event loop 0.3 s (copying and rounding the windows of 20 000 passages)
                vectors = self.encoder.run_in_thread(lambda: PassageVectors.arrange(self._encoded))
                if self._gated and self.encoder.calibration.min_small_talk is not None:
                    self._small_talk = np.concatenate(self._encode(EXAMPLES))
                self._cache.close()
                self._vectors, self._encoded = vectors, []

    @property
    def passages(self) -> Sequence[Passage]:
        """The passages, in the order of their files."""
        return self._lexical.passages

    @property
    def compared_by(self) -> Encoder | None:
        """The encoder by which meanings are compared, None until all vectors are there."""
        return self.encoder if self.ready else None

    def without_floor(self) -> "SemanticIndex":
        """Return an index of the same passages and vectors that finds the best of them, however little fits."""
        found = copy.copy(self)
        found._lexical, found._min_evidence, found._small_talk = self._lexical.without_floor(), 0.0, None
        return found

    def folded(self, query: Query) -> Query:
        """Return the query in the written forms of these passages."""
        return self._lexical.folded(query)

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first; none if the evidence is too weak, or if it is small talk."""
        return self.rank(query, limit).hits

    def rank(self, query: Query, limit: int) -> Ranking:
        """Like `search`, but return what decided, too."""
        # Taken once: another greenlet may finish filling while this one waits for the encoder.
        vectors = self._vectors
        folded = self._lexical.folded(query)
        turns = turns_of(folded, self._lexical.analyzer)
        if vectors is None or not any(terms.words(turn) for turn in turns):
            return self._lexical.rank(query, limit)
        try:
            queries = self.encoder.query(turns)
            self._check_dimensions(vectors, queries)
        except EncoderFailed as exc:
            self._on_failure(exc)
            return self._lexical.rank(query, limit)
        self._on_success()
        return self.encoder.run_in_thread(lambda: self._rank(vectors, queries, folded, limit))

    def _check_dimensions(self, vectors: PassageVectors, queries: Floats) -> None:
        """Raise EncoderFailed if a query's vectors can't be compared with the passages', which are then made anew."""
        of_passages, of_query = vectors.passages.shape[1], queries.shape[1]
        if of_query == of_passages:
            return
        now = time.monotonic()
        # An encoder that changes back and forth would otherwise be asked for all passages at every question.
        if self._vectors is vectors and now - self._outdated_at >= REFILL_SECONDS:
            self._outdated_at, self._dimensions = now, of_query
            self._vectors, self._encoded = None, []
            self._on_outdated(self)
        raise EncoderFailed(f"a question's vector has {of_query} dimensions, the passages' have {of_passages}")

    def _rank(self, vectors: PassageVectors, queries: Floats, query: Query, limit: int) -> Ranking:
        """Return the ranking for a query's vectors. Runs in a thread."""
        # Row by row: a product of matrices would use BLAS's own threads, which wait for each other on a busy machine.
        similar = np.stack([np.vecdot(vectors.passages, turn) for turn in queries])
        mask = self._lexical.filters.mask(query.filters)
        if mask is not None:
            similar *= mask
        words = self._lexical.score(query)
        positions = top_positions(rough_scores(words, similar), max(limit, CANDIDATES))
        cosines = vectors.cosines(np.array(positions, np.int64), queries, similar[:, positions])
        passages = [self._lexical.passages[position] for position in positions]
        # What follows is the same wherever candidates come from.
        candidates = Candidates(passages, words.at(positions), cosines, vectors.passages[positions])
        return self._floors.ranking(candidates, query, queries, limit)

    @property
    def _floors(self) -> Floors:
        """The figures of this base and its encoder below which a search finds nothing."""
        figures = self.encoder.calibration
        return Floors(figures.coverage_weight, self._min_evidence, figures.min_small_talk, self._small_talk)

    def _encode(self, passages: Sequence[Passage]) -> list[Floats]:
        """Return for each passage the rows of its vectors: its own, then its windows'. Raises EncoderFailed."""
        keys = [content_key(self.encoder.name, passage.title, passage.text) for passage in passages]
        vectors = self._cache.get(keys)
        if vectors:
            # Of different dimensions those of the encoder count; before its first answer, those that came first.
            known = self._encoded[0].shape[1] if self._encoded else next(iter(vectors.values())).shape[1]
            wanted = self._dimensions or known
            vectors = {key: rows for key, rows in vectors.items() if rows.shape[1] == wanted}
        missing = [at for at, key in enumerate(keys) if key not in vectors]
        if missing:
            new = encode(self.encoder, [passages[at] for at in missing])
            self._dimensions = new[0].shape[1]
            added = {keys[at]: own_rows for at, own_rows in zip(missing, new, strict=True)}
            self._cache.put(added)
            vectors = {**vectors, **added}
        return [vectors[key] for key in keys]


def encode(encoder: Encoder, passages: Sequence[Passage]) -> list[Floats]:
    """Return for each passage the rows of its vectors: its own, then its windows'. Raises EncoderFailed."""
    texts = []
    for passage in passages:
        cut = windows(passage.text, WINDOW_WORDS)
        # Every window bears the title: without it, a sentence often does not say what it is about.
        heading = f"{passage.title}. " if passage.title else ""
        texts.append([heading + text for text in ([passage.text, *cut] if len(cut) > 1 else [passage.text])])
    rows = encoder.passages([text for each in texts for text in each])
    return list(np.split(rows, np.cumsum([len(each) for each in texts])[:-1]))
