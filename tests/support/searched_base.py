"""A base twice: searched in a database, and held in memory, to compare the two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from knowledge_folder import LetterEncoder, published

from parley.knowledge import documents
from parley.knowledge.database.connections import Connections
from parley.knowledge.database.index import DatabaseIndex
from parley.knowledge.database.searched_bases import SearchedBases
from parley.knowledge.documents import Passage
from parley.knowledge.encoders import Encoders, IndexFactory, make_ready
from parley.knowledge.index import Index, Query, Ranking
from parley.knowledge.sources import SearchedThere
from parley.knowledge.vector_cache import VectorCache

TIMEOUT = 20.0
"""Seconds of a search: nothing here is about time."""


@dataclass
class Both:
    """The two indexes of a folder's base; `publish` brings the one in the database up to date."""

    database: "psycopg.Connection[Any]"
    connections: Connections
    folder: Path
    encoder: LetterEncoder | None = None
    name: str = "shop"
    resident: int = 1
    factory: IndexFactory = field(init=False)

    def __post_init__(self) -> None:
        encoders = Encoders(self.encoder, self.encoder)
        self.factory = IndexFactory(encoders, VectorCache(None), min_coverage=0.33, min_evidence=None)

    def publish(self) -> "Both":
        published(self.database, self.folder, self.name, self.encoder, resident=self.resident)
        return self

    @property
    def searched(self) -> DatabaseIndex:
        self.connections.run("poll", lambda connection: connection.execute("SELECT 1"), TIMEOUT, probes=True)
        bases = SearchedBases(self.connections, self.resident, TIMEOUT, self.factory.tier_for)
        loaded = bases.load(self.name, lambda: None)
        assert isinstance(loaded, SearchedThere) and isinstance(loaded.index, DatabaseIndex)
        return loaded.index

    @property
    def held(self) -> Index:
        loaded = documents.load(self.folder)
        built = self.factory.build(loaded.passages, lambda: None, loaded.settings)
        make_ready(built)
        return built

    @property
    def passages(self) -> Sequence[Passage]:
        return documents.load(self.folder).passages


def told(ranking: Ranking) -> tuple[Any, ...]:
    """Return what two rankings must agree in: the hits in order with all that is known of them, and why."""
    hits = [(hit.passage.id, round(hit.score, 3), hit.passage.text, hit.passage.metadata) for hit in ranking.hits]
    figures = (ranking.measure, round(ranking.confidence, 3), ranking.threshold, ranking.small_talk is None)
    return (hits, *figures, ranking.query, bool(ranking.refusal))


def equal_share(one: Index, other: Index, queries: Sequence[Query], limit: int = 4) -> float:
    """Return the share of queries for which two indexes find the same passages in the same order."""
    found = [[[hit.passage.id for hit in index.rank(query, limit).hits] for query in queries] for index in (one, other)]
    return sum(a == b for a, b in zip(*found, strict=True)) / len(queries)
