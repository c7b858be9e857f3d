"""The index of a base that is too large to be held: the database finds candidates, the same code ranks them.

    question  ->  terms, vectors                               as in memory
              ->  candidates with their sums and cosines       first statement: by vectors, and by the rarest terms
              ->  terms of the best one                        for the coverage
              ->  rows of the best 64                          texts, vectors, windows
              ->  ranking                                      as in memory
              ->  texts around the hits that are parts         for excerpts

All statements of a search are one transaction that sees one state. A search that nobody waits for any more ends with
its statement, which the database ends by itself.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from parley.knowledge import terms
from parley.knowledge.database import statements
from parley.knowledge.database.connections import Connections, DatabaseFailed
from parley.knowledge.database.query_vectors import QueryVectors
from parley.knowledge.database.rows import Row, passage_of, storable
from parley.knowledge.database.sparse import GRAMS_FROM, Statistics
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, Query, Ranking, SearchFailed, ranking_by_words, shortened, top_positions
from parley.knowledge.lexical import QueryTerms, Scores, scores_of
from parley.knowledge.postings import Floats
from parley.knowledge.ranking import CANDIDATES, Candidates, rough_scores, turns_of
from parley.knowledge.semantic import Encoder, EncoderFailed, PassageVectors
from parley.knowledge.terms import Analyzer
from parley.knowledge.tiers import Tier
from parley.languages import Language

if TYPE_CHECKING:
    import psycopg

SPARE_SECONDS = 0.02
"""Time in seconds before the deadline at which the database ends a statement by itself."""


@dataclass(frozen=True)
class SearchedBase:
    """A base in the database, as it was when its statistics were read; `size` is that of its vectors, 0 without any."""

    id: int
    size: int
    language: Language
    statistics: Statistics


class DatabaseIndex:
    """A base that is searched in the database, whose part of a search takes `timeout` seconds at most."""

    passages: Sequence[Passage] = ()
    """None: they are not here."""

    def __init__(self, base: SearchedBase, tier: Tier, connections: Connections, timeout: float) -> None:
        self.language = base.language
        self._base = base
        self._tier = tier
        self._connections = connections
        self._timeout = timeout
        self._analyzer = Analyzer(base.language)

    @property
    def compared_by(self) -> Encoder | None:
        """The encoder by which meanings are compared, None for words alone."""
        return self._tier.encoder if self._base.size else None

    def without_floor(self) -> "DatabaseIndex":
        """Return an index of the same passages that finds the best of them, however little fits."""
        found = copy.copy(self)
        found._tier = self._tier.without_floor()
        return found

    def folded(self, query: Query) -> Query:
        """Return the query in the written forms of these passages."""
        return shortened(query, self._base.statistics.forms.fold)

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first. Raises SearchFailed."""
        return self.rank(query, limit).hits

    def rank(self, query: Query, limit: int) -> Ranking:
        """Like `search`, but return what decided, too."""
        query = self.folded(query)
        turns = turns_of(query, self._analyzer)
        if not any(terms.words(turn) for turn in turns):
            return Ranking([], query, "coverage", 0.0, self._tier.min_coverage)
        # The database can store no NUL: no passage has a value with one.
        if storable(query.filters) != query.filters:
            if self.compared_by is None:
                return Ranking([], query, "coverage", 0.0, self._tier.min_coverage)
            return Ranking([], query, "evidence", 0.0, self._tier.min_evidence)
        search = _Search(self._base, self._tier, self._analyzer, query, self._vectors(turns), limit, self._timeout)
        try:
            return self._connections.run("search", search.run, self._timeout, queues=True)
        except DatabaseFailed as failed:
            raise SearchFailed(str(failed)) from None
        finally:
            search.is_abandoned = True

    def _vectors(self, turns: Sequence[str]) -> Floats | None:
        """Return the vectors of a question's turns; None where only words can be compared."""
        encoder = self.compared_by
        if encoder is None:
            return None
        try:
            queries = encoder.query(turns)
            if queries.shape[1] != self._base.size:
                raise EncoderFailed(
                    f"a question's vector has {queries.shape[1]} dimensions, the published ones have {self._base.size}"
                )
        except EncoderFailed as failure:
            self._tier.failed(failure)
            return None
        self._tier.succeeded()
        return queries


class Abandoned(DatabaseFailed):
    """Nobody waits for a search any more."""


class WithoutTerms(DatabaseFailed):
    """The base is published without the terms that it was searched by: the next look tells."""


class _Search:
    """One search, run in a greenlet that its caller does not share."""

    def __init__(
        self,
        base: SearchedBase,
        tier: Tier,
        analyzer: Analyzer,
        query: Query,
        queries: Floats | None,
        limit: int,
        timeout: float,
    ) -> None:
        self.is_abandoned = False
        self._base, self._tier, self._query, self._queries = base, tier, query, queries
        self._limit = limit
        self._until = time.monotonic() + timeout - SPARE_SECONDS
        self._terms = QueryTerms.of(analyzer, query.text, query.before)
        self._wanted = QueryVectors.of(self._terms, base.statistics)

    def run(self, connection: "psycopg.Connection[Any]") -> Ranking:
        """Return the ranking, in one transaction. Raises psycopg.Error, Abandoned and WithoutTerms."""
        with connection.transaction(), connection.cursor(binary=True) as cursor:
            left = int(1000 * (self._until - time.monotonic()))
            if self.is_abandoned or left < 1:
                raise Abandoned("the search came too late", "busy")
            filtered = bool(self._query.filters)
            # For this transaction alone: a pooler hands the connection to somebody else behind it.
            connection.execute(statements.settings(left, self._base.statistics.passages, filtered))
            return self._rank(cursor)

    def _ask(self, cursor: "psycopg.Cursor[Any]", statement: str, parameters: Any) -> list[tuple[Any, ...]]:
        if self.is_abandoned:
            raise Abandoned("nobody waits for the search any more", "busy")
        return cursor.execute(statement, parameters).fetchall()

    def _rank(self, cursor: "psycopg.Cursor[Any]") -> Ranking:
        ids, words, cosines = self._candidates(cursor)
        if self._queries is None:

            def found(positions: list[int]) -> list[Passage]:
                return [passage_of(row) for row in self._rows(cursor, [ids[at] for at in positions])]

            ranking = ranking_by_words(self._query, words, found, self._limit, self._tier.min_coverage)
        else:
            positions = top_positions(rough_scores(words, cosines), max(self._limit, CANDIDATES))
            rows = self._rows(cursor, [ids[at] for at in positions])
            candidates = self._closer(rows, words.at(positions), self._queries)
            ranking = self._tier.floors.ranking(candidates, self._query, self._queries, self._limit)
        # Nothing is found in a base that has shrunk or is dropped: that must not pass for there being no answer.
        if not ranking.hits and self._ask(cursor, statements.is_whole(self._base.id), [terms.VERSION]) != [(True,)]:
            raise WithoutTerms("the base has no terms any more")
        return replace(ranking, hits=self._with_parts(cursor, ranking.hits))

    def _candidates(self, cursor: "psycopg.Cursor[Any]") -> tuple[list[str], Scores, Floats]:
        """Return the ids of the candidates, their scores by words, and their cosines, one turn a row."""
        vectors = [] if self._queries is None else list(self._queries)
        turns = len(self._terms.stems)
        filtered = bool(self._query.filters)
        shape = statements.Shape(self._base.id, self._base.size, turns, len(vectors), filtered)
        parameters: dict[str, Any] = {**self._wanted.parameters, "filter": Jsonb(dict(self._query.filters))}
        parameters |= {f"vector{at}": str(vector.tolist()) for at, vector in enumerate(vectors)}
        rows = self._ask(cursor, shape.candidates, parameters)
        # In the order of the passages, so that equals come out as in memory.
        ids = [row[0] for row in rows]
        # Whoever wrote a row without its terms or its vector has it found by the other.
        columns = np.array([[value or 0.0 for value in row[2:]] for row in rows], np.float32)
        columns = columns.reshape(len(rows), 2 * turns + 1 + len(vectors)).T.copy()
        sums = [np.cumsum(columns[first : first + turns], axis=0, dtype=np.float32) for first in (0, turns)]
        # Asked for only of the best one, which is not known before.
        held = [
            _Held(weights, total, lambda at: self._terms_of(cursor, ids[at]))
            for weights, total in zip(self._wanted.gram_weights, self._wanted.gram_totals, strict=True)
        ]
        words = scores_of(self._terms, list(sums[0]), list(sums[1]), columns[2 * turns], held)
        return ids, words, columns[2 * turns + 1 :]

    def _terms_of(self, cursor: "psycopg.Cursor[Any]", id_: str) -> NDArray[np.int64]:
        rows = self._ask(cursor, statements.terms_of(self._base.id), [id_])
        return np.array(rows[0][0] if rows else [], np.int64) - GRAMS_FROM

    def _rows(self, cursor: "psycopg.Cursor[Any]", ids: list[str]) -> list[Row]:
        """Return the rows of passages, in the order of their ids."""
        # All are there: both statements see one state.
        rows = {row[0]: Row(*row) for row in self._ask(cursor, statements.columns_of(self._base.id), [ids])}
        return [rows[id_] for id_ in ids]

    def _closer(self, rows: Sequence[Row], words: Scores, queries: Floats) -> Candidates:
        nothing = np.zeros((1, self._base.size), np.float32)
        encoded = []
        for row in rows:
            own_rows = row.vectors()
            encoded.append(nothing if own_rows is None or own_rows.shape[1] != self._base.size else own_rows)
        if not encoded:
            return Candidates([], words, np.zeros((len(queries), 0), np.float32), nothing[:0])
        # By the question's own vector: in the database it has half the digits.
        vectors = PassageVectors.arrange(encoded)
        own = np.stack([np.vecdot(vectors.passages, query) for query in queries])
        cosines = vectors.cosines(np.arange(len(rows)), queries, own)
        return Candidates([passage_of(row) for row in rows], words, cosines, vectors.passages)

    def _with_parts(self, cursor: "psycopg.Cursor[Any]", hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits; those of one document know the texts around all of them."""
        # By their ids, which the primary key finds: the parts of a document are numbered from 1.
        around = {
            f"{hit.passage.document}#{number + 1}": hit.passage.document
            for hit in hits
            if hit.passage.parts
            for number in range(max(0, hit.passage.part - 1), hit.passage.part + 2)
        }
        if not around:
            return list(hits)
        known: dict[str, dict[int, str]] = {}
        for id_, part, body in self._ask(cursor, statements.texts_of(self._base.id), [list(around)]):
            known.setdefault(around[id_], {})[part] = body
        # Texts that are farther away are never looked at.
        parts = {
            document: tuple(texts.get(at, "") for at in range(max(texts) + 1)) for document, texts in known.items()
        }
        return [
            replace(hit, passage=replace(hit.passage, parts=parts.get(hit.passage.document, hit.passage.parts)))
            for hit in hits
        ]


class _Held:
    """The weight of a turn's grams, all of them and those that a candidate holds."""

    def __init__(
        self, weights: tuple[NDArray[np.int64], Floats], total: float, held: Callable[[int], NDArray[np.int64]]
    ) -> None:
        self.total = total
        self._numbers, self._weights = weights
        self._held = held

    def weight_in(self, passage: int) -> float:
        """Return the sum of the weights of the grams that a candidate holds."""
        if not len(self._numbers):
            return 0.0
        return float(self._weights[np.isin(self._numbers, self._held(passage))].sum())
