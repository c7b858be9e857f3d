"""The two indexes of a base that is searched in the database: partial ones, of that base alone.

    missing, or other ones   ->  made CONCURRENTLY, behind the publish: nobody waits for them
    invalid                  ->  a build that was interrupted: dropped, and made anew
    both valid               ->  the base is `searchable`, at a new revision, so that servers learn it

Those of several bases are made one after the other, in any order. No base's search crosses another's rows, vectors of
another size need no other tables, and small bases cost no index.
"""

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from parley.knowledge.terms import VERSION as TERMS_VERSION

MAX_SIZE = 4000
"""Most dimensions of a vector that an index takes."""
SEARCHABLE = f"searchable AND searched_revision = revision AND terms_version = {TERMS_VERSION}"
"""Condition that the row of a base has if this release can search the base."""
MAX_ATTEMPTS = 20
"""Most attempts at the indexes of a base; a deadlock with work on another base's ends one of them."""
WAIT = "5s"
"""Longest wait for the lock of whoever makes an index, before it is asked for anew."""
SPREAD_SECONDS = 0.5
"""Limit in seconds of the random pause before those who have waited try again."""
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
    made: dict[str, None] = {}
    _repeated(lambda: _make(connection, base_id, made))
    if not missing(connection, base_id):
        connection.execute(_MAKE_SEARCHABLE, [base_id])
    return list(made)


def _make(connection: "psycopg.Connection[Any]", base_id: int, made: dict[str, None]) -> None:
    """Make the missing indexes of a base, whose names are added to `made`, and drop those of no use."""
    wanted = definitions(base_id, size_of(connection, base_id))
    if not made and _existing(connection, base_id) == dict.fromkeys(wanted, True):
        return
    # What is invalid may only be unfinished.
    _wait_for_others(connection)
    existing = _existing(connection, base_id)
    _drop(connection, [name for name, is_valid in existing.items() if not is_valid or name not in wanted])
    for name in [name for name in wanted if not existing.get(name)]:
        made[name] = None
        _wait_for_others(connection)
        connection.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON parley.passage {wanted[name]}")
    _wait_for_others(connection)
    # Now: a plan without knowledge of the new rows may be one that reads them all.
    connection.execute("ANALYZE parley.passage")


def remove(connection: "psycopg.Connection[Any]", base_id: int) -> None:
    """Drop all indexes of a base. The connection must not be in a transaction. Raises psycopg.Error."""
    _repeated(lambda: _drop(connection, [*_existing(connection, base_id)]))


def _repeated(work: Callable[[], None]) -> None:
    """Do work on indexes, and do it again where a deadlock with work on another base's ended it."""
    for _ in range(MAX_ATTEMPTS - 1):
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            return work()
    return work()


def _wait_for_others(connection: "psycopg.Connection[Any]") -> None:
    """Wait until nobody makes an index of the passages.

    Whoever made one and waited for the lock of another would be waited for by that one: a deadlock, which costs the
    one that is nearly made. So waiting and making are two steps.
    """
    while not _could_lock(connection, "1ms"):
        # This wait is in nobody's way, and ends a vacuum that PostgreSQL has begun by itself.
        _could_lock(connection, WAIT)
        # The lock is free now, for all who have waited: whoever comes first has it.
        time.sleep(random.uniform(0, SPREAD_SECONDS))


def _could_lock(connection: "psycopg.Connection[Any]", wait: str) -> bool:
    """Return True if the lock that making an index needs was free within this time."""
    with contextlib.suppress(psycopg.errors.LockNotAvailable), connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{wait}'")
        connection.execute("LOCK TABLE parley.passage IN SHARE UPDATE EXCLUSIVE MODE")
        return True
    return False


def size_of(connection: "psycopg.Connection[Any]", base_id: int) -> int | None:
    """Return the size of a base's vectors, None if it has none. Raises psycopg.Error."""
    row = connection.execute(_SIZE, [base_id]).fetchone()
    return row[0] if row else None


def _existing(connection: "psycopg.Connection[Any]", base_id: int) -> dict[str, bool]:
    """Return the indexes of a base that are there, each with whether it is valid."""
    return dict(connection.execute(_EXISTING, [f"search_{base_id}_"]).fetchall())


def _drop(connection: "psycopg.Connection[Any]", names: list[str]) -> None:
    for name in names:
        _wait_for_others(connection)
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS parley.{name}")
