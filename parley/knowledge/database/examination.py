"""The findings of `flask db check` and `flask doctor`: reached, TLS, versions, rights, whose vectors the bases have.

Each topic is looked at with the rights of whoever asks, and the first finding that is in the way ends the examination.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import psycopg

from parley.knowledge.database import schema
from parley.knowledge.database.address import DatabaseAddress
from parley.knowledge.database.connections import DatabaseFailed, connect, translated
from parley.knowledge.database.search_indexes import SEARCHABLE

Topic = Literal["server", "encryption", "tables", "rights", "bases"]
"""Topics of an examination, in the order in which they are looked at."""
LEAST_SERVER = 130_000
"""Oldest server, as it numbers itself: before it there is no `gen_random_uuid`."""
LEAST_VECTOR = (0, 8)
"""Oldest version of pgvector."""


@dataclass(frozen=True)
class DatabaseFinding:
    """One thing that is as it should be (`ok`), risky (`warning`), or in the way (`error`)."""

    severity: Literal["ok", "warning", "error"]
    message: str


def examine(
    address: DatabaseAddress, encoders: Sequence[str], topics: Sequence[Topic] = get_args(Topic)
) -> list[DatabaseFinding]:
    """Return the findings on these topics, up to the first one that is in the way.

    `encoders` are the names of this server's.
    """
    findings = []
    if "encryption" in topics:
        findings += [DatabaseFinding("warning", text) for text in address.warnings]
    try:
        with translated(address), connect(address, reads=True) as connection:
            for topic in topics:
                for finding in _findings(topic, connection, address, encoders):
                    findings.append(finding)
                    if finding.severity == "error":
                        return findings
    except DatabaseFailed as failed:
        findings.append(DatabaseFinding("error", str(failed)))
    return findings


def _findings(
    topic: Topic, connection: "psycopg.Connection[Any]", address: DatabaseAddress, encoders: Sequence[str]
) -> Iterator[DatabaseFinding]:
    match topic:
        case "server":
            # The number alone: managed services put words of their own into the text.
            server = connection.info.server_version
            told = f"{address.shown} answers, PostgreSQL {server // 10_000}"
            yield DatabaseFinding("ok" if server >= LEAST_SERVER else "error", told)
        case "encryption":
            yield _encryption(connection, address)
        case "tables":
            yield from _tables(connection)
        case "rights":
            yield from _rights(connection)
        case "bases":
            yield from _bases(connection, encoders)
            yield from _searched(connection)


def _tables(connection: "psycopg.Connection[Any]") -> Iterator[DatabaseFinding]:
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if not found:
        yield DatabaseFinding(
            "error", "the extension vector (pgvector) is missing: CREATE EXTENSION vector, as an administrator"
        )
        return
    is_new = tuple(map(int, found[0].split(".")[:2])) >= LEAST_VECTOR
    yield DatabaseFinding("ok" if is_new else "error", f"pgvector {found[0]}" + ("" if is_new else ", 0.8 is needed"))
    version = schema.version(connection)
    try:
        schema.require(version)
    except schema.UnusableSchema as fault:
        yield DatabaseFinding("error", str(fault))
        return
    yield DatabaseFinding("ok", f"schema {version}")


def _encryption(connection: "psycopg.Connection[Any]", address: DatabaseAddress) -> DatabaseFinding:
    # Of the connection there is: `prefer` may have given either.
    if connection.pgconn.ssl_in_use:
        verified = address.parameters["sslmode"] == "verify-full"
        return DatabaseFinding("ok", "TLS, " + ("certificate and name verified" if verified else "not verified"))
    return (
        DatabaseFinding("warning", "no TLS") if address.is_remote else DatabaseFinding("ok", "no TLS, to this machine")
    )


def _rights(connection: "psycopg.Connection[Any]") -> Iterator[DatabaseFinding]:
    # Asked, not tried: a server's role must not be needed to write anything for that.
    row = connection.execute(
        "SELECT has_table_privilege('parley.passage', 'SELECT') AND has_table_privilege('parley.base', 'SELECT'),"
        " has_table_privilege('parley.passage', 'INSERT, UPDATE, DELETE')"
    ).fetchone()
    may_read, may_write = row or (False, False)
    if not may_read:
        yield DatabaseFinding("error", "this role may not read: GRANT SELECT ON ALL TABLES IN SCHEMA parley")
    elif may_write:
        yield DatabaseFinding("warning", "this role may write: servers need no more than SELECT (docs/security.md)")
    else:
        yield DatabaseFinding("ok", "this role may read, not write")


def _searched(connection: "psycopg.Connection[Any]") -> Iterator[DatabaseFinding]:
    if schema.version(connection) < schema.SEARCH:
        hint = f"a base of more passages than KB_RESIDENT needs schema {schema.SEARCH}: {schema.INIT}"
        yield DatabaseFinding("warning", hint)
        return
    # Those alone that were published to be searched: whether a base must be, each server decides.
    rows = connection.execute(
        f"SELECT name, {SEARCHABLE} FROM parley.base WHERE NOT removed AND average_length IS NOT NULL ORDER BY name"
    ).fetchall()
    for name, is_searchable in rows:
        told = name or "default base"
        if is_searchable:
            yield DatabaseFinding("ok", f"{told}: can be searched in the database")
        else:
            yield DatabaseFinding("warning", f"{told}: can't be searched in the database: run `flask kb publish`")


def _bases(connection: "psycopg.Connection[Any]", encoders: Sequence[str]) -> Iterator[DatabaseFinding]:
    # Dropped bases keep a row, which is no finding.
    rows = connection.execute(
        "SELECT name, passages, revision, encoder FROM parley.base WHERE NOT removed ORDER BY name"
    ).fetchall()
    if not rows:
        yield DatabaseFinding("warning", "nothing is published: run `flask kb publish`")
    for name, passages, revision, encoder in rows:
        told = f"{name or 'default base'}: {passages} passages, revision {revision}, encoder {encoder or 'none'}"
        if not encoders or encoder in encoders:
            yield DatabaseFinding("ok", told)
        else:
            yield DatabaseFinding("warning", f"{told}, which is not this server's: each server makes its own vectors")
