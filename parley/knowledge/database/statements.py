"""The statements of a search in the database: candidates with their scores, their rows, and the parts around hits.

Numbers of bases and sizes of vectors stand in the text, so that the partial indexes of a base are found; everything
else is a parameter. Of 100 000 passages the first statement reads at most:

    near     100 by the index of the vectors                       Index Scan using search_7_vector_384, 2.5 ms
    holding  3 000 by the index of the terms, the best 100 of them Bitmap Index Scan on search_7_terms, 3 to 8 ms
    both     200 by the primary key, for their scores              Index Scan using passage_pkey, 2 ms
"""

from dataclasses import dataclass

from parley.knowledge.database.rows import COLUMNS
from parley.knowledge.database.search_indexes import rows_of

NEAREST = 100
"""Passages of each turn whose vectors are nearest."""
SHARING = 100
"""Passages of each turn that share most by their terms."""
HELD = 3_000
"""Most passages with a term of a turn that are looked at: of more, the database takes any."""
SEARCHED, SEARCHED_OF_MANY, MANY = 200, 400, 300_000
"""Neighbours that the index of the vectors keeps in sight, in a base of so many passages or more the second number."""


@dataclass(frozen=True)
class Shape:
    """The form of a first statement: the base, its vectors, and how many turns there are of which kind.

    Without vectors grams choose passages, too: a word that was misheard has no other way.
    """

    base_id: int
    size: int
    turns: int
    vectors: int
    filtered: bool

    @property
    def _rows(self) -> str:
        return rows_of(self.base_id) + (" AND metadata @> %(filter)s" if self.filtered else "")

    @property
    def _sets(self) -> list[str]:
        """The choices of candidates, one a turn and kind."""
        sets = [
            f"(SELECT id FROM parley.passage WHERE {self._rows} AND vector_dims(vector) = {self.size}"
            f" ORDER BY vector::halfvec({self.size}) <=> {self._vector(turn)} LIMIT {NEAREST})"
            for turn in range(self.vectors)
        ]
        for kind in ("words",) if self.vectors else ("words", "grams"):
            for turn in range(self.turns):
                # The terms of both turns are those of the last one and those that are added to it.
                product = " + ".join(f"({kind} <#> %({kind}{at})s::sparsevec)" for at in range(turn + 1))
                sets.append(
                    f"(SELECT id FROM (SELECT id, {kind} FROM parley.passage WHERE {self._rows}"
                    f" AND terms && %({kind}_of{turn})s::int4[] LIMIT {HELD}) AS holding"
                    f" ORDER BY {product} LIMIT {SHARING})"
                )
        return sets

    def _vector(self, turn: int) -> str:
        return f"%(vector{turn})s::halfvec({self.size})"

    @property
    def candidates(self) -> str:
        """The statement for the candidates: id, position, sums by words and by grams, and cosines."""
        scores = [f"-(words <#> %(words{turn})s::sparsevec)" for turn in range(self.turns)]
        scores += [f"-(grams <#> %(grams{turn})s::sparsevec)" for turn in range(self.turns)]
        scores.append("-(grams <#> %(stop)s::sparsevec)")
        scores += [
            f"CASE WHEN vector_dims(vector) = {self.size}"
            f" THEN 1 - (vector::halfvec({self.size}) <=> {self._vector(turn)}) END"
            for turn in range(self.vectors)
        ]
        return (
            f"WITH chosen AS MATERIALIZED ({' UNION '.join(self._sets)})"
            f" SELECT id, ord, {', '.join(scores)} FROM chosen JOIN parley.passage USING (id)"
            f" WHERE base_id = {self.base_id} ORDER BY ord"
        )


def settings(milliseconds: int, passages: int, filtered: bool) -> str:
    """Return what holds for the transaction of a search, and for nobody behind it."""
    searched = SEARCHED_OF_MANY if passages >= MANY else SEARCHED
    # What is filtered out must not make the answer short.
    iterative = "; SET LOCAL hnsw.iterative_scan = strict_order" if filtered else ""
    # All that is asked has an index; of a small base the planner would rather read all, with the terms of each row.
    return (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL enable_seqscan = off"
        f"; SET LOCAL statement_timeout = {milliseconds}; SET LOCAL hnsw.ef_search = {searched}{iterative}"
    )


def is_whole(base_id: int) -> str:
    """Return the statement for whether a base has terms, those of one release."""
    return f"SELECT average_length IS NOT NULL AND terms_version = %s FROM parley.base WHERE id = {base_id}"


def terms_of(base_id: int) -> str:
    """Return the statement for the terms that one passage holds."""
    return f"SELECT terms FROM parley.passage WHERE base_id = {base_id} AND id = %s"


def columns_of(base_id: int) -> str:
    """Return the statement for the columns of some passages."""
    return f"SELECT {COLUMNS} FROM parley.passage WHERE base_id = {base_id} AND gone IS NULL AND id = ANY(%s)"


def texts_of(base_id: int) -> str:
    """Return the statement for the texts of some parts of documents."""
    return f"SELECT id, part, body FROM parley.passage WHERE base_id = {base_id} AND gone IS NULL AND id = ANY(%s)"
