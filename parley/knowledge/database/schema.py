"""The tables, made by migrations: files of SQL, applied in order and once each by `flask db init`, never by a server.

A migration only adds. So a server works with the schema before its own, but for what that one lacks, with its own and
with the next one, and can be rolled out in any order.

    1    the bases, held in memory by each worker
    2    terms, statistics and indexes of bases that are searched in the database
"""

import re
from pathlib import Path
from typing import Any

import psycopg

from parley.knowledge.database.connections import DatabaseFailed

FOLDER = Path(__file__).with_name("migrations")
LOCK = 7_218_045_520_301
"""Key of the advisory lock under which migrations are applied."""
ABSENT = ("42P01", "3F000")
"""SQL states of a table or schema that does not exist."""
INIT = "run `flask db init` as a role that may create tables"


class UnusableSchema(DatabaseFailed):
    """The schema is absent, too old or too new, or may not be read; the message names the remedy."""


def migrations() -> list[tuple[int, str]]:
    """Return all migrations, each with its number, in order."""
    files = sorted(FOLDER.glob("[0-9]*.sql"))
    return [(int(re.match(r"\d+", file.name)[0]), file.read_text("utf-8")) for file in files]  # type: ignore[index]


KNOWN = 2
"""The schema of this release: the number of the last migration."""
LEAST = 1
"""The oldest schema that a server works with."""
SEARCH = 2
"""The schema from which on a base can be searched in the database."""


def version(connection: "psycopg.Connection[Any]") -> int:
    """Return the number of the last migration that was applied, 0 for none. Raises psycopg.Error."""
    try:
        row = connection.execute("SELECT max(version) FROM parley.version").fetchone()
    except psycopg.Error as error:
        if error.sqlstate in ABSENT:
            return 0
        raise
    return int(row[0] or 0) if row else 0


def require(found: int, least: int = LEAST) -> None:
    """Raise UnusableSchema if this release can't work with a schema of this version; a server can from `LEAST` on."""
    if found == 0:
        raise UnusableSchema(f"the database has no tables of Parley: {INIT}")
    if found < least:
        raise UnusableSchema(f"the database has schema {found}, this release needs {least}: {INIT}")
    if found > KNOWN + 1:
        raise UnusableSchema(f"the database has schema {found}, this release knows {KNOWN + 1} at most: upgrade Parley")


def apply(connection: "psycopg.Connection[Any]") -> list[int]:
    """Apply the migrations that are missing, each in a transaction, and return their numbers. Raises psycopg.Error."""
    applied = []
    for number, statements in migrations():
        with connection.transaction():
            # Two that start at once: the second waits here, and finds the work done.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            if number <= _version_inside(connection):
                continue
            connection.execute(statements)
            connection.execute("INSERT INTO parley.version (version) VALUES (%s)", [number])
            applied.append(number)
    return applied


def _version_inside(connection: "psycopg.Connection[Any]") -> int:
    """Return the version inside of a transaction, which a missing table must not break."""
    row = connection.execute("SELECT to_regclass('parley.version')").fetchone()
    return version(connection) if row and row[0] else 0
