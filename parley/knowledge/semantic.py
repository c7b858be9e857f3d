"""The semantic tier: passages ranked by what they mean, fused with the words that they share with the query.

Each passage is held as one vector, and one for each window of some sentences where it is longer: a question is
like the sentence that answers it more than like all that stands around. The parts are weighed by how far their best
stand out, and passages that are alike draw each other's scores together. Vectors come from an `Encoder`, in the
background; until they are there, and whenever a query's vector is not to be had, the lexical tier answers alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from gevent.lock import BoundedSemaphore
from numpy.typing import NDArray

from parley.knowledge import terms
from parley.knowledge.chunking import windows
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, LexicalIndex, Query, best
from parley.knowledge.lexical import LAST_SHARE, MAX_QUERY_CHARACTERS
from parley.knowledge.postings import Floats
from parley.knowledge.vector_cache import VectorCache, content_key

WINDOW_WORDS = 50
"""Words in a window: two or three sentences."""

MEANING_SHARE = 0.65
"""Share of the meaning in the score where both parts stand out alike; the words have the rest."""

RIVALS = 9
"""Passages behind the best that it has to stand out from."""

CLUSTER = 16
"""Passages, the best, whose scores are smoothed over those that say the like."""

NEIGHBOURS = 3
NEIGHBOURS_SHARE = 0.1
"""Share of its nearest neighbours among the best in a passage's score."""

MIN_COSINE = 0.28
"""Cosine of the best passage below which nothing was found (docs/retrieval.md)."""

CANDIDATES = 64
"""Passages whose windows are looked at: more change no collection's figures."""

Result = TypeVar("Result")

_STEPS = np.float32(127)


class EncoderFailed(Exception):
    """No vectors, or not in time; the message says why."""


class Encoder(Protocol):
    """What turns texts into vectors. Its methods may wait, and let other work go on meanwhile."""

    name: str
    """Names the vectors: those of another name can't be compared with these."""
    batch: int
    """Passages to ask for at once."""

    def passages(self, texts: Sequence[str]) -> Floats:
        """A vector of length 1 for each text, as rows. Raises EncoderFailed."""
        ...

    def query(self, texts: Sequence[str]) -> Floats:
        """The same for what somebody waits for. Raises EncoderFailed, soon."""
        ...

    def aside(self, work: Callable[[], Result]) -> Result:
        """What numerical work of some milliseconds gives, done off the event loop."""
        ...


@dataclass(frozen=True)
class _Vectors:
    """The passages' vectors; the windows of passage `p` are `windows[bounds[p]:bounds[p + 1]]`, in steps of 1/127."""

    passages: Floats
    windows: NDArray[np.int8]
    bounds: NDArray[np.int64]


class SemanticIndex:
    """A lexical index, and the vectors of its passages once `fill` has been called."""

    def __init__(
        self,
        lexical: LexicalIndex,
        encoder: Encoder,
        cache: VectorCache,
        min_cosine: float = MIN_COSINE,
        told: Callable[[EncoderFailed], None] = lambda _: None,
    ) -> None:
        self._lexical = lexical
        self.encoder = encoder
        self._cache = cache
        self._min_cosine = min_cosine
        self._told = told
        self._held: list[Floats] = []
        self._vectors: _Vectors | None = None
        self._filling = BoundedSemaphore(1)

    @property
    def ready(self) -> bool:
        """Whether all the vectors are there that will be."""
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
            at = len(self._held)
            self._held += self._encoded(passages[at : at + self.encoder.batch])
            if len(self._held) == len(passages):
                # perf: saves the event loop 0.3 s (copying and rounding the windows of 20 000 passages)
                arranged = self.encoder.aside(lambda: _arranged(self._held))
                self._cache.close()
                self._vectors, self._held = arranged, []

    def search(self, query: Query, limit: int) -> list[Hit]:
        """At most `limit` passages, best first; none where the best is too far from the query."""
        vectors = self._vectors
        turns = _turns(query)
        if vectors is None or not any(terms.words(turn) for turn in turns):
            return self._lexical.search(query, limit)
        try:
            queries = self.encoder.query(turns)
        except EncoderFailed as exc:
            self._told(exc)
            return self._lexical.search(query, limit)
        return self.encoder.aside(lambda: self._ranked(vectors, queries, query, limit))

    def _ranked(self, vectors: _Vectors, queries: Floats, query: Query, limit: int) -> list[Hit]:
        # Row by row: a product of matrices would take threads of BLAS's own, which wait for a busy machine.
        similar = np.stack([np.vecdot(vectors.passages, turn) for turn in queries])
        mask = self._lexical.filters.mask(query.filters)
        if mask is not None:
            similar *= mask
        words = self._lexical.score(query)
        positions = best((1 - MEANING_SHARE) * words.fused + MEANING_SHARE * _mixed(similar), max(limit, CANDIDATES))
        # Each candidate: the mean of what it is like as a whole, and what its best window is like.
        whole = similar[:, positions]
        cosines = (whole + _closest(vectors, np.array(positions, np.int64), queries, whole)) / np.float32(2)
        if cosines.max(initial=0) < self._min_cosine:
            return []
        meaning = _mixed(cosines)
        scores = _fused(words.fused[positions], meaning)
        cluster = best(scores, max(limit, CLUSTER))
        scores[cluster] = _smoothed(scores[cluster], vectors.passages[[positions[at] for at in cluster]])
        return [
            Hit(
                self._lexical.passages[positions[at]],
                float(scores[at]),
                {
                    "stems": float(words.stems[positions[at]]),
                    "grams": float(words.grams[positions[at]]),
                    "meaning": float(meaning[at]),
                    "cosine": float(cosines[:, at].max()),
                    "coverage": words.coverage,
                },
            )
            for at in best(scores, limit)
        ]

    def _encoded(self, passages: Sequence[Passage]) -> list[Floats]:
        """For each passage the rows of its vectors: its own, then its windows'."""
        keys = [content_key(self.encoder.name, passage.title, passage.text) for passage in passages]
        held = self._cache.get(keys)
        missing = [at for at, key in enumerate(keys) if key not in held]
        texts = [_texts(passages[at]) for at in missing]
        if texts:
            rows = self.encoder.passages([text for each in texts for text in each])
            new = np.split(rows, np.cumsum([len(each) for each in texts])[:-1])
            added = {keys[at]: vectors for at, vectors in zip(missing, new, strict=True)}
            self._cache.put(added)
            held = {**held, **added}
        return [held[key] for key in keys]


def _texts(passage: Passage) -> list[str]:
    cut = windows(passage.text, WINDOW_WORDS)
    heading = f"{passage.title}. " if passage.title else ""
    return [heading + text for text in ([passage.text, *cut] if len(cut) > 1 else [passage.text])]


def _turns(query: Query) -> list[str]:
    """What is encoded: the last turn where it says anything by itself, and the one before it with the last."""
    last, before = query.text[-MAX_QUERY_CHARACTERS:].strip(), query.before[-MAX_QUERY_CHARACTERS:].strip()
    if not before:
        return [last]
    both = f"{before} {last}"
    return [last, both] if terms.content(terms.words(last)) else [both]


def _arranged(held: Sequence[Floats]) -> _Vectors:
    counts = np.array([len(each) - 1 for each in held], np.int64)
    return _Vectors(
        np.stack([each[0] for each in held]),
        np.concatenate([np.rint(each[1:] * _STEPS).astype(np.int8) for each in held]),
        np.concatenate([[0], np.cumsum(counts)]),
    )


def _closest(vectors: _Vectors, positions: NDArray[np.int64], queries: Floats, whole: Floats) -> Floats:
    """For each turn, and each of these passages, the cosine of its best window; the `whole`'s where it has none."""
    starts = vectors.bounds[positions]
    counts = vectors.bounds[positions + 1] - starts
    closest = whole.copy()
    cut = counts > 0
    if not cut.any():
        return closest
    starts, counts = starts[cut], counts[cut]
    firsts = np.cumsum(counts) - counts
    rows = np.repeat(starts - firsts, counts) + np.arange(counts.sum())
    near = vectors.windows[rows].astype(np.float32)
    products = np.stack([np.vecdot(near, query) for query in queries])
    closest[:, cut] = np.maximum.reduceat(products, firsts, axis=1) / _STEPS
    return closest


def _mixed(cosines: Floats) -> Floats:
    """The turns' cosines, each divided by its best and none below 0, in one row."""
    tops = cosines.max(axis=1, initial=0, keepdims=True)
    scaled = np.maximum(cosines, 0) / np.where(tops > 0, tops, 1)
    if len(scaled) == 1:
        return np.asarray(scaled[0], np.float32)
    return np.asarray(LAST_SHARE * scaled[0] + (1 - LAST_SHARE) * scaled[1], np.float32)


def _fused(words: Floats, meaning: Floats) -> Floats:
    """Both parts in one; the one whose best stands out more from its rivals counts for more."""
    words = words / (words.max(initial=0) or 1)
    for_words = (1 - MEANING_SHARE) * _standing_out(words)
    for_meaning = MEANING_SHARE * _standing_out(meaning)
    return np.asarray((for_words * words + for_meaning * meaning) / (for_words + for_meaning), np.float32)


def _standing_out(scores: Floats) -> float:
    """From 0 to 1, without the ends: 0 where the best's rivals are as good, 1 where they have nothing."""
    ordered = np.sort(scores)[::-1]
    top, rivals = ordered[:1].sum(), ordered[1 : 1 + RIVALS].sum() / RIVALS
    return max(0.001, 1 - float(rivals / top)) if top > 0 else 0.001


def _smoothed(scores: Floats, vectors: Floats) -> Floats:
    """The scores, each drawn a little towards those of the passages that are most alike."""
    if len(scores) <= NEIGHBOURS:
        return scores
    alike = np.maximum(np.vecdot(vectors[:, None], vectors), 0)
    np.fill_diagonal(alike, 0)
    alike[alike < np.partition(alike, -NEIGHBOURS, axis=1)[:, [-NEIGHBOURS]]] = 0
    near = (alike * scores).sum(axis=1) / np.maximum(alike.sum(axis=1), 1e-9)
    drawn = (1 - NEIGHBOURS_SHARE) * scores + NEIGHBOURS_SHARE * near
    return np.where(alike.any(axis=1), drawn, scores)
