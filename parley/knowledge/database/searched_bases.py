"""Bases that are too large to be held: what a server reads of them to search them in the database.

A base is searchable once both its indexes are valid, and if its terms are of its newest revision and of this release.
Until then what was served stays served.
"""

from collections.abc import Callable
from typing import Any

from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.database.connections import Connections, DatabaseFailed
from parley.knowledge.database.index import DatabaseIndex, SearchedBase
from parley.knowledge.database.rows import settings_of
from parley.knowledge.database.search_indexes import MAX_SIZE, SEARCHABLE
from parley.knowledge.database.sparse import Statistics
from parley.knowledge.documents import LoadResult, Problem
from parley.knowledge.sources import SearchedThere
from parley.knowledge.tiers import Tier
from parley.languages import ENGLISH, Language

READ_SECONDS = 20.0
"""Longest time in seconds for the statistics of a base: some megabytes for a million passages."""
_BASE = f"""
SELECT id, revision, passages, coalesce(encoder, ''), coalesce(language, ''), settings, coalesce(size, 0), statistics
FROM parley.base WHERE name = %s AND NOT removed AND {SEARCHABLE}
"""
TierFor = Callable[[BaseSettings, Language, str], Tier]


class SearchedBases:
    """Makes the indexes of bases with more than `resident` passages; a search may take `timeout` seconds there."""

    def __init__(self, connections: Connections, resident: int, timeout: float, tier_for: TierFor) -> None:
        self.resident = resident
        self._connections = connections
        self._timeout = timeout
        self._tier_for = tier_for

    def load(self, name: str, breathe: Callable[[], None], *, probes: bool = False) -> LoadResult:
        """Return a base with the index that searches it, or the fault that keeps it from that.

        Only one who `probes` asks a database that is down. Raises DatabaseFailed.
        """
        row: tuple[Any, ...] | None = self._connections.run(
            "load", lambda connection: connection.execute(_BASE, [name]).fetchone(), READ_SECONDS, probes=probes
        )
        if row is None:
            # Dropped since the last look, or published anew; the next one tells.
            raise DatabaseFailed("it has changed")
        base_id, revision, passages, encoder, language, published, size, statistics = row
        settings = settings_of(name, published, language)
        language_of = settings.language or ENGLISH
        try:
            known = Statistics.unpack(statistics, language_of, breathe)
        except ValueError as exc:
            # As a file that is broken: the base stays as it was.
            return LoadResult([], [Problem(name or "default base", "", f"{exc}: run `flask kb publish`", "file")])
        # Vectors of more numbers have no index: words alone find.
        base = SearchedBase(base_id, size if size <= MAX_SIZE else 0, language_of, known)
        index = DatabaseIndex(base, self._tier_for(settings, language_of, encoder), self._connections, self._timeout)
        provenance = {"source": "database", "revision": revision, "searched": "in the database"}
        return SearchedThere([], [], settings=settings, provenance=provenance, index=index, count=passages)
