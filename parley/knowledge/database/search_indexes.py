"""The two indexes of a base that is searched in the database: partial ones, of that base alone.

    missing, or other ones   ->  made CONCURRENTLY, behind the publish: nobody waits for them
    invalid                  ->  a build that was interrupted: dropped, and made anew
    others make theirs       ->  behind them; of two that wait for each other one begins anew
    both valid               ->  the base is `searchable`, at a new revision, so that servers learn it

No base's search crosses another's rows, vectors of another size need no other tables, and small bases cost no index.
"""

from collections.abc import Mapping
from typing import Any

import psycopg

from parley.knowledge.terms import VERSION as TERMS_VERSION

MAX_SIZE = 4000
"""Most dimensions of a vector that an index takes."""
SEARCHABLE = f"searchable AND searched_revision = revision AND terms_version = {TERMS_VERSION}"
"""Condition that the row of a base has if this release can search the base."""
TRIES = 8
"""Times that indexes are begun: each time somebody else, who was in the way, has come further."""
_EXISTING = """
SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'parley' AND starts_with(c.relname::text, %s)
"""
_MAKE_SEARCHABLE = """
WITH fresh AS (SELECT nextval('parley.revision') AS revision)
UPDATE parley.base SET searchable = true, revision = fresh.revision, searched_revision = fresh.revision
FROM fresh WHERE id = %s AND NOT searchable AND searched_revision = base.revision
"""
_SIZE = """
SELECT vector_dims(vector) FROM parley.passage WHERE base_id = %s AND gone IS NULL AND vector IS NOT NULL LIMIT 1
"""


def definitions(base_id: int, size: int | None) -> Mapping[str, str]:
    """Return the indexes of a base by name; `size` is that of its vectors, None without any."""
    where = f"WHERE {rows_of(base_id)}"
    # Without a list of what is not sorted in yet, which each search would read.
    wanted = {f"search_{base_id}_terms": f"USING gin (terms) WITH (fastupdate = off) {where}"}
    if size is not None and size <= MAX_SIZE:
        # Of this size alone: while an encoder is replaced, rows of both are there.
        wanted[f"search_{base_id}_vector_{size}"] = (
            f"USING hnsw ((vector::halfvec({size})) halfvec_cosine_ops) WITH (m = 16, ef_construction = 64)"
            f" {where} AND vector_dims(vector) = {size}"
        )
    return wanted


def rows_of(base_id: int) -> str:
    """Return the condition for the rows of a base, in the form that these indexes have."""
    # An index of all bases can't serve a sum. The planner would prefer one, and read the terms of all rows of the base:
    # it does not count that they lie in another table.
    # perf: saves 100 ms (1 400 passages)
    return f"base_id + 0 = {base_id} AND gone IS NULL"


def missing(connection: "psycopg.Connection[Any]", base_id: int) -> list[str]:
    """Return the names of a searched base's indexes that are not there, or not valid. Raises psycopg.Error."""
    existing = _existing(connection, base_id)
    return [name for name in definitions(base_id, size_of(connection, base_id)) if not existing.get(name)]


def bring_up_to_date(connection: "psycopg.Connection[Any]", base_id: int) -> list[str]:
    """Make the indexes of a base that are missing, drop those of no use, and return the former. Raises psycopg.Error.

    The connection must not be in a transaction.
    """
    wanted = definitions(base_id, size_of(connection, base_id))
    before = _existing(connection, base_id)
    if before != dict.fromkeys(wanted, True):
        for left in reversed(range(TRIES)):
            try:
                _make(connection, base_id, wanted)
                break
            except psycopg.errors.DeadlockDetected:
                # All bases have one table. A statement that makes an index waits for the table and for all that began
                # before it; so does another publisher's.
                if not left:
                    raise
        # Now: a plan without knowledge of the new rows may be one that reads them all.
        connection.execute("ANALYZE parley.passage")
    if not missing(connection, base_id):
        connection.execute(_MAKE_SEARCHABLE, [base_id])
    return [name for name in wanted if not before.get(name)]


def _make(connection: "psycopg.Connection[Any]", base_id: int, wanted: Mapping[str, str]) -> None:
    """Make the indexes that are missing, and drop the others. Raises psycopg.Error."""
    with connection.transaction():
        # Whoever makes an index holds this lock: what is invalid may only be unfinished.
        connection.execute("LOCK TABLE parley.passage IN SHARE UPDATE EXCLUSIVE MODE")
    existing = _existing(connection, base_id)
    _drop(connection, [name for name, is_valid in existing.items() if not is_valid or name not in wanted])
    for name, definition in wanted.items():
        if not existing.get(name):
            connection.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON parley.passage {definition}")


def remove(connection: "psycopg.Connection[Any]", base_id: int) -> None:
    """Drop all indexes of a base. The connection must not be in a transaction. Raises psycopg.Error."""
    _drop(connection, [*_existing(connection, base_id)])


def size_of(connection: "psycopg.Connection[Any]", base_id: int) -> int | None:
    """Return the size of a base's vectors, None if it has none. Raises psycopg.Error."""
    row = connection.execute(_SIZE, [base_id]).fetchone()
    return row[0] if row else None


def _existing(connection: "psycopg.Connection[Any]", base_id: int) -> dict[str, bool]:
    """Return the indexes of a base that are there, each with whether it is valid."""
    return dict(connection.execute(_EXISTING, [f"search_{base_id}_"]).fetchall())


def _drop(connection: "psycopg.Connection[Any]", names: list[str]) -> None:
    for name in names:
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS parley.{name}")
