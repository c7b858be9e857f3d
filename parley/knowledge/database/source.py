"""The bases of a database: asked for their revisions every few seconds, loaded by the rows that are new.

    look    the database answers       ->  bases and revisions; asked whole only when something was published
            never yet, and it is away  ->  the bases of the snapshots, to be loaded anew once it is there
            it is away                 ->  SourceFailed: everything stays served
    load    snapshot of this revision  ->  no query: another worker of this machine has fetched it
            an older one               ->  and the rows that have changed since
            none, or one that is wrong ->  all rows
            too large to be held       ->  what is needed to search it in the database (`searched_bases.py`)

All of it runs in the greenlet of the retriever that keeps the knowledge fresh, never for a caller.
"""

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
import psycopg

from parley.concurrency import checkpoint
from parley.knowledge.database import measurements, schema
from parley.knowledge.database.address import DatabaseAddress
from parley.knowledge.database.connections import Connections, DatabaseFailed
from parley.knowledge.database.rows import COLUMNS, TYPES, Row, passages_of, settings_of
from parley.knowledge.database.search_indexes import SEARCHABLE
from parley.knowledge.database.searched_bases import SearchedBases
from parley.knowledge.database.snapshots import FORMAT, Header, Snapshot, Snapshots
from parley.knowledge.documents import LoadResult
from parley.knowledge.sources import Outline, SourceFailed, Version
from parley.knowledge.stored_vectors import StoredVectors, in_steps
from parley.telemetry.logs import log

POLL_SECONDS = 2.0
"""Longest time in seconds for the question whether anything is new."""
LOAD_SECONDS = 10.0
"""Longest time in seconds for the rows of a small base; nothing else is loaded meanwhile."""
LOAD_SECONDS_A_PASSAGE = 0.0011
"""Further seconds for each passage: two minutes for 100 000."""
UNWATCHED_SECONDS = 10.0
"""Seconds since the last look after which a load finds out by itself whether the database is back."""
SPREAD_SECONDS = 1.0
"""Random pauses before a changed base is fetched are shorter, in seconds: many machines see a change together."""
DELTA_SECONDS = 6 * 86_400
"""Age in seconds up to which a snapshot is completed: tombstones are deleted after seven days."""

_REVISIONS = """
SELECT (SELECT id::text FROM parley.origin), extract(epoch FROM now())::float8,
       (SELECT coalesce(sum(revision), 0)::text || ' ' || count(*) FROM parley.base)
"""
"""A publish that commits late has a revision below the newest: their sum changes with each of them."""
_BASES = """
SELECT name, id, revision, passages, settings, coalesce(language, ''), {} FROM parley.base WHERE NOT removed
"""
_BASE = """
SELECT id, revision, passages, coalesce(encoder, ''), coalesce(language, ''), settings, terms_version,
       (SELECT id::text FROM parley.origin), extract(epoch FROM now())::float8
FROM parley.base WHERE name = %s AND NOT removed
"""
_ROWS = f"COPY (SELECT {COLUMNS} FROM parley.passage WHERE base_id = %s AND revision > %s) TO STDOUT (FORMAT BINARY)"
NO_RIGHTS = "the role may not read the tables: grant it USAGE on the schema parley and SELECT on its tables"
EMPTY = "empty"
"""Version of the base without a name where it is not published."""


class DatabaseSource:
    """The bases of the database behind `connections`, with copies of their rows in `snapshots`."""

    def __init__(self, connections: Connections, snapshots: Snapshots, searched: SearchedBases | None = None) -> None:
        self._connections = connections
        self._snapshots = snapshots
        self._searched = searched
        self._origin = ""
        self._seen = ""
        self._versions: dict[str, Version] = {}
        # Passages, settings and language by name, as they are published, and whether they can be searched there.
        self._published: dict[str, tuple[int, dict[str, Any], str, bool]] = {}
        self._looked_at = -UNWATCHED_SECONDS
        self._has_answered = False
        self._confirmed_at = time.monotonic()
        self._told = ""

    @property
    def spread(self) -> float:
        """Limit in seconds of the random pause before a base that is served is loaded anew."""
        return SPREAD_SECONDS

    def look(self, known: Iterable[str]) -> Mapping[str, Version]:
        """Return all bases by name, each with its revision. Raises SourceFailed."""
        seen, self._looked_at = self._seen, time.monotonic()
        try:
            self._connections.run("poll", self._look, POLL_SECONDS, probes=True)
        except DatabaseFailed as failed:
            measurements.REVISION_AGE.set(time.monotonic() - self._confirmed_at)
            self._tell(failed)
            if not self._has_answered and (kept := self._kept()):
                return kept
            raise SourceFailed(str(failed)) from None
        self._told = ""
        self._has_answered = True
        self._confirmed_at = time.monotonic()
        measurements.REVISION_AGE.set(0)
        if self._seen != seen:
            # A start without the database would serve what has been dropped.
            for gone in self._snapshots.bases() - self._versions.keys():
                self._snapshots.remove(gone)
        return dict(self._versions)

    def outline(self, name: str) -> Outline:
        """Return what is known of a base without its rows."""
        if name in self._published:
            passages, settings, language, can_be_searched = self._published[name]
            is_searchable = can_be_searched and self._searched is not None and passages > self._searched.resident
            told = settings_of(name, settings, language)
            return Outline(passages=passages, settings=told, is_searchable=is_searchable)
        header = None if self._has_answered else self._snapshots.header(name)
        if header is None:
            return Outline(passages=0, stale=not self._has_answered)
        settings_then = settings_of(name, header.settings, header.language)
        return Outline(passages=header.passages, settings=settings_then, stale=True)

    def load(self, name: str, breathe: Callable[[], None]) -> LoadResult:
        """Return the contents of a base. Raises SourceFailed."""
        if not self._has_answered:
            found = self._snapshots.newest(name, breathe)
            return result_of(found, "snapshot", breathe, stale=True) if found else LoadResult([], [])
        # Dropped bases are none any more: a look may end while another base is loaded.
        version = self._versions.get(name, EMPTY)
        if version == EMPTY:
            return LoadResult([], [])
        try:
            if self.outline(name).is_searchable and self._searched:
                return self._searched.load(name, breathe, probes=self._is_unwatched)
            with self._snapshots.fetching(name, self._seconds(name)):
                return self._fetched(name, version, breathe)
        except DatabaseFailed as failed:
            raise SourceFailed(str(failed)) from None

    def _look(self, connection: "psycopg.Connection[Any]") -> None:
        """Take over what is published, if it is not what it was. Raises UnusableSchema."""
        try:
            row = connection.execute(_REVISIONS).fetchone()
        except psycopg.Error as error:
            if error.sqlstate in schema.ABSENT:
                schema.require(schema.version(connection))
            if error.sqlstate == "42501":
                raise schema.UnusableSchema(NO_RIGHTS) from None
            raise
        assert row
        if self._seen == f"{row[0]} {row[2]}":
            return
        version = schema.version(connection)
        schema.require(version)
        # Before the second schema no base can be searched.
        published = connection.execute(_BASES.format(SEARCHABLE if version >= schema.SEARCH else "false"))
        # There may be thousands.
        bases = list(in_steps(published, functools.partial(checkpoint, background=True)))
        versions: dict[str, Version] = {name: (row[0], base_id, revision) for name, base_id, revision, *_ in bases}
        # The base without a name is always among those that are served.
        self._versions = {"": EMPTY, **versions}
        self._published = {name: tuple(told) for name, _, _, *told in bases}
        self._seen, self._origin = f"{row[0]} {row[2]}", row[0]

    def _fetched(self, name: str, version: Version, breathe: Callable[[], None]) -> LoadResult:
        """Return a base by the newest snapshot and the rows behind it."""
        kept = self._snapshots.newest(name, breathe, self._origin)
        if kept and version == (kept.header.origin, kept.header.base_id, kept.header.revision):
            return result_of(kept, "snapshot", breathe)
        seconds = self._seconds(name)
        fetch = functools.partial(
            fetched, name=name, address=self._snapshots.address, kept=kept, seconds=seconds, breathe=breathe
        )
        fresh = self._connections.run("load", fetch, seconds, probes=self._is_unwatched)
        if fresh is None:
            # Dropped since the last look; the next one tells.
            return LoadResult([], [])
        self._snapshots.write(fresh, breathe)
        return result_of(fresh, "database", breathe)

    @property
    def _is_unwatched(self) -> bool:
        # The looks tell whether it is back: while it is down, no base waits for another one's load to fail.
        return time.monotonic() - self._looked_at > UNWATCHED_SECONDS

    def _seconds(self, name: str) -> float:
        """Return the longest time for a base's load."""
        passages = self._published[name][0] if name in self._published else 0
        return LOAD_SECONDS + passages * LOAD_SECONDS_A_PASSAGE

    def _kept(self) -> Mapping[str, Version]:
        """Return the bases that have a snapshot; the versions are unlike those of the database."""
        names = self._snapshots.bases()
        return {"": "snapshot", **dict.fromkeys(names, "snapshot")} if names else {}

    def _tell(self, failed: DatabaseFailed) -> None:
        """Log a schema that can't be worked with, once; what else fails is logged by the connections."""
        if isinstance(failed, schema.UnusableSchema) and self._told != str(failed):
            self._told = str(failed)
            log.warning("database_schema", fault=self._told)


def fetched(
    connection: "psycopg.Connection[Any]",
    *,
    name: str,
    address: str,
    kept: Snapshot | None,
    seconds: float,
    breathe: Callable[[], None],
) -> Snapshot | None:
    """Return a base as it is published now, by a snapshot and the rows that are newer; None if there is none."""
    with connection.transaction():
        # One view of all: a publish between two statements must not show.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        row = connection.execute(_BASE, [name]).fetchone()
        if row is None:
            return None
        base_id, revision, passages, encoder, language, settings, _, origin, now = row
        header = Header(
            FORMAT, address, origin, name, base_id, revision, now, passages, encoder, language, dict(settings)
        )
        if kept and may_complete(kept.header, header):
            rows = {row.id: row for row in kept.rows}
            for newer in _rows(connection, base_id, kept.header.revision, breathe):
                rows.pop(newer.id, None)
                if not newer.gone:
                    rows[newer.id] = newer
            # Somebody else's rows, or a copy of another time: then all of it is fetched.
            if len(rows) == passages:
                return Snapshot(header, list(rows.values()))
        whole = [row for row in _rows(connection, base_id, -1, breathe) if not row.gone]
        return Snapshot(msgspec.structs.replace(header, passages=len(whole)), whole)


def may_complete(old: Header, new: Header) -> bool:
    """Return True if the rows behind a copy of a base make it the newest one."""
    # Rows that went long ago have left no tombstone.
    is_young = new.written - old.written < DELTA_SECONDS
    return is_young and (old.origin, old.base_id) == (new.origin, new.base_id) and old.revision <= new.revision


def _rows(
    connection: "psycopg.Connection[Any]", base_id: int, revision: int, breathe: Callable[[], None]
) -> Iterator[Row]:
    """Yield the rows of a base behind a revision. `fetchall` would hold up the event loop for 0.2 s (100 000 rows)."""
    with connection.cursor() as cursor, cursor.copy(_ROWS, [base_id, revision]) as copy:
        copy.set_types(TYPES)
        for row in copy.rows():
            yield Row(*row)
            breathe()


def result_of(
    snapshot: Snapshot, origin: str, breathe: Callable[[], None] = lambda: None, *, stale: bool = False
) -> LoadResult:
    """Return a snapshot as passages with their vectors."""
    header = snapshot.header
    vectors = {row.content_key: row.vectors for row in in_steps(snapshot.rows, breathe) if row.content_key}
    return LoadResult(
        passages_of(snapshot.rows, breathe),
        [],
        settings=settings_of(header.base, header.settings, header.language),
        vectors=StoredVectors(header.encoder, vectors),
        provenance={"source": origin, "revision": header.revision},
        stale=stale,
    )


def address_key(address: DatabaseAddress) -> str:
    """Return the key of a database's name in the files of its snapshots."""
    return hashlib.sha256(address.shown.encode()).hexdigest()[:16]
