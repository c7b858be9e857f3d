"""Writing a folder's passages as rows: only those that differ, in one transaction a base, under a lock of the base.

    plan       the rows that are there, compared with the passages: added, changed, moved, gone
    encode     vectors of texts that no row of the base has
    write      rows by COPY into a table of the transaction, from there into the base; one new revision for all
    index      of a base that servers don't hold, behind the transaction

A publish that is killed leaves nothing behind; of two at once the second waits. Servers see all of it or nothing. A
base of more passages than a server holds is searched in the database: its rows have their terms, too (`sparse.py`).
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.database import search_indexes
from parley.knowledge.database.rows import digest, storable
from parley.knowledge.database.sparse import Columns, Survey
from parley.knowledge.database.written_rows import WRITTEN, values_of, vectors_to_write
from parley.knowledge.documents import Passage
from parley.knowledge.semantic import Encoder
from parley.knowledge.terms import VERSION as TERMS_VERSION
from parley.knowledge.vector_cache import Vectors, content_key
from parley.languages import Language

MOST_SEARCHED = 5_000_000
"""Most passages of a base."""
LOCK = 1_885_434_991
"""First key of the advisory lock of a base; the second is a hash of its name."""
TOMBSTONES = "7 days"
"""Age at which tombstones are deleted; servers fetch a base as a whole if their copy is older."""
VECTORS = ("content_key", "vector", "windows")
"""Columns of the vectors."""
_EXISTING = """
SELECT id, ord, digest, content_key FROM parley.passage WHERE base_id = %s AND gone IS NULL
"""


@dataclass(frozen=True)
class Published:
    """The changes that a publish of a base made, or would make.

    Passages that `moved` have another position, vectors of another encoder, or terms that weigh something else.
    `indexes` of the base were made, or are to be made.
    """

    kb: str
    added: int
    changed: int
    moved: int
    gone: int
    encoded: int
    settings_changed: bool
    revision: int | None
    seconds: float
    indexes: int = 0

    @property
    def is_change(self) -> bool:
        """True if the base differs from what is published."""
        return self.settings_changed or any((self.added, self.changed, self.moved, self.gone, self.indexes))


@dataclass(frozen=True)
class Content:
    """The content of a base to publish: its passages and settings, their language, and the encoder of their vectors.

    `label` is the encoder's name as it may be shown; both are empty without one.
    """

    name: str
    passages: Sequence[Passage]
    settings: BaseSettings
    language: Language
    encoder: Encoder | None
    label: str


@dataclass(frozen=True)
class _Plan:
    """Positions of the passages to write by what they are, and the ids that are gone."""

    added: list[int]
    changed: list[int]
    moved: list[int]
    gone: list[str]
    known_keys: frozenset[bytes]


class TooManyPassages(Exception):
    """A base has more passages than can be published."""


@dataclass(frozen=True)
class _Base:
    """The row of a base as it is before a publish.

    `differs` is true if what is said of the base does; `average_length` is None unless the terms of all its rows are
    those of today.
    """

    id: int
    differs: bool
    has_terms: bool
    average_length: float | None


@dataclass(frozen=True)
class _Terms:
    """The terms of a base that is searched in the database, weighed by this average length."""

    survey: Survey
    average_length: float


def publish(
    connection: "psycopg.Connection[Any]",
    content: Content,
    cache: Vectors,
    *,
    resident: int,
    dry_run: bool = False,
) -> Published:
    """Bring the rows of a base up to date, and return what was done; servers hold bases of up to `resident` passages.

    Raises psycopg.Error, EncoderFailed and TooManyPassages.
    """
    started = time.monotonic()
    if len(content.passages) > MOST_SEARCHED:
        raise TooManyPassages(f"{len(content.passages)} passages are more than {MOST_SEARCHED}: split the base")
    is_large = len(content.passages) > resident
    # First: content keys and digests are those of what is stored.
    content = replace(content, passages=[_stored(passage) for passage in content.passages])
    keys = _keys(content)
    with connection.transaction(force_rollback=dry_run):
        # Of the name, not of the row: a new base has none.
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, content.name])
        base = _base(connection, content, is_large)
        plan = _plan(connection, base.id, content, keys)
        found = _terms(base, content, plan) if is_large else None
        write = sorted([*plan.added, *plan.changed, *plan.moved])
        missing = [at for at in write if keys[at] and keys[at] not in plan.known_keys]
        revision, encoded = None, len({keys[at] for at in missing})
        if (base.differs or write or plan.gone) and not dry_run:
            revision = _write(connection, base, content, keys, plan, write, cache, found)
        indexes = search_indexes.missing(connection, base.id) if is_large else []
    if not dry_run:
        # Behind the commit, which servers need not wait for.
        if is_large:
            indexes = search_indexes.bring_up_to_date(connection, base.id)
        else:
            search_indexes.remove(connection, base.id)
    counts = (len(plan.added), len(plan.changed), len(plan.moved), len(plan.gone))
    seconds = time.monotonic() - started
    return Published(content.name, *counts, encoded, base.differs, revision, seconds, len(indexes))


def _terms(base: _Base, content: Content, plan: _Plan) -> _Terms | None:
    """Return the terms to write, None if nothing is; where all are to be weighed anew, all passages are written."""
    if base.average_length is not None and not (base.differs or plan.added or plan.changed or plan.moved or plan.gone):
        return None
    survey = Survey(content.passages, content.language)
    if base.average_length is not None and not survey.has_drifted(base.average_length):
        return _Terms(survey, base.average_length)
    written = {*plan.added, *plan.changed, *plan.moved}
    plan.moved.extend(at for at in range(len(content.passages)) if at not in written)
    return _Terms(survey, survey.average_length)


def drop(connection: "psycopg.Connection[Any]", name: str, *, dry_run: bool = False) -> Published | None:
    """Take a base out of service, and return what was done; None if there is no such base. Raises psycopg.Error."""
    started = time.monotonic()
    with connection.transaction(force_rollback=dry_run):
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, name])
        row = connection.execute(
            "UPDATE parley.base SET removed = true, passages = 0, revision = nextval('parley.revision'),"
            " average_length = NULL, statistics = NULL, searched_revision = NULL, searchable = false"
            " WHERE name = %s AND NOT removed RETURNING id, revision",
            [name],
        ).fetchone()
        if row is None:
            return None
        # The row of the base stays: its name may come back, and its number is in copies on machines.
        gone = connection.execute("DELETE FROM parley.passage WHERE base_id = %s", [row[0]]).rowcount
    if not dry_run:
        search_indexes.remove(connection, row[0])
    return Published(name, 0, 0, 0, gone, 0, True, None if dry_run else row[1], time.monotonic() - started)


def published_bases(connection: "psycopg.Connection[Any]") -> set[str]:
    """Return the names of the bases that are published. Raises psycopg.Error."""
    return {name for (name,) in connection.execute("SELECT name FROM parley.base WHERE NOT removed")}


def _stored(passage: Passage) -> Passage:
    parts = tuple(storable(part) for part in passage.parts)
    texts = {name: storable(getattr(passage, name)) for name in ("id", "title", "text", "file", "metadata")}
    return replace(passage, parts=parts, **texts)


def _keys(content: Content) -> list[bytes | None]:
    """Return the content key of each passage; None without an encoder."""
    if content.encoder is None:
        return [None] * len(content.passages)
    return [content_key(content.encoder.name, passage.title, passage.text) for passage in content.passages]


def _base(connection: "psycopg.Connection[Any]", content: Content, is_large: bool) -> _Base:
    """Return the row of the base, made if need be, compared with what is to be published."""
    told = (content.settings.as_json(), content.language.code, TERMS_VERSION, False)
    row = connection.execute(
        "SELECT id, encoder, average_length, searched_revision = revision, settings, language, terms_version, removed"
        " FROM parley.base WHERE name = %s",
        [content.name],
    ).fetchone()
    if row:
        base_id, encoder, average_length, is_current, *stored = row
        # Settings may be others: they change no term.
        is_usable = is_current and tuple(stored[1:3]) == told[1:3]
        differs = tuple(stored) != told or content.label not in ("", encoder)
        has_terms = average_length is not None
        return _Base(base_id, differs or (has_terms and not is_large), has_terms, average_length if is_usable else None)
    row = connection.execute(
        "INSERT INTO parley.base (name, revision, passages, terms_version, removed) VALUES (%s, 0, 0, 0, true)"
        " RETURNING id",
        [content.name],
    ).fetchone()
    assert row
    return _Base(row[0], True, False, None)


def _plan(connection: "psycopg.Connection[Any]", base_id: int, content: Content, keys: Sequence[bytes | None]) -> _Plan:
    existing = {id_: rest for id_, *rest in connection.execute(_EXISTING, [base_id])}
    plan = _Plan([], [], [], [], frozenset(key for _, _, key in existing.values() if key))
    for at, passage in enumerate(content.passages):
        old = existing.pop(passage.id, None)
        if old is None:
            plan.added.append(at)
        elif old[1] != digest(passage):
            plan.changed.append(at)
        # Without an encoder here, the vectors that others have published stay.
        elif old[0] != at or (keys[at] is not None and old[2] != keys[at]):
            plan.moved.append(at)
    plan.gone.extend(existing)
    return plan


def _write(
    connection: "psycopg.Connection[Any]",
    base: _Base,
    content: Content,
    keys: Sequence[bytes | None],
    plan: _Plan,
    write: Sequence[int],
    cache: Vectors,
    found: _Terms | None,
) -> int:
    """Write rows, tombstones and the base's new revision, and return that one."""
    base_id = base.id
    # Before the first COPY: it looks the numbers of the types up.
    register_vector(connection)
    row = connection.execute("SELECT nextval('parley.revision')").fetchone()
    assert row
    revision: int = row[0]
    connection.execute(f"CREATE TEMP TABLE fresh ON COMMIT DROP AS SELECT {WRITTEN} FROM parley.passage LIMIT 0")
    with connection.cursor() as cursor, cursor.copy(f"COPY fresh ({WRITTEN}) FROM STDIN") as copy:
        columns: Iterable[Columns | None] = repeat(None)
        if found:
            columns = found.survey.columns([content.passages[at] for at in write], found.average_length)
        vectors_of = vectors_to_write(content.passages, content.encoder, keys, plan.known_keys, write, cache)
        for (at, vectors), terms in zip(vectors_of, columns, strict=False):
            copy.write_row(values_of(content.passages[at], at, revision, keys[at], vectors, terms))
    # Vectors of texts that the base has already, under whatever id, are taken from there.
    connection.execute(
        "UPDATE fresh SET vector = old.vector, windows = old.windows, content_key = old.content_key"
        " FROM (SELECT DISTINCT ON (content_key) content_key, vector, windows FROM parley.passage"
        "       WHERE base_id = %s AND content_key IS NOT NULL) AS old"
        " WHERE fresh.vector IS NULL AND fresh.content_key = old.content_key",
        [base_id],
    )
    names = WRITTEN.split(", ")
    set_all = ", ".join(f"{name} = excluded.{name}" for name in names if name not in ("id", *VECTORS))
    # Whoever has no encoder does not take away the vectors that others have published for the same texts.
    set_all += "".join(
        f", {name} = coalesce(excluded.{name}, CASE WHEN passage.digest = excluded.digest THEN passage.{name} END)"
        for name in VECTORS
    )
    connection.execute(
        f"INSERT INTO parley.passage (base_id, gone, {WRITTEN}) SELECT %s, NULL, {WRITTEN} FROM fresh"
        f" ON CONFLICT (base_id, id) DO UPDATE SET gone = NULL, {set_all}",
        [base_id],
    )
    _bury(connection, base_id, revision, plan.gone)
    if base.has_terms and not found:
        connection.execute(
            "UPDATE parley.passage SET words = NULL, grams = NULL, terms = NULL"
            " WHERE base_id = %s AND terms IS NOT NULL",
            [base_id],
        )
    _write_search(connection, base_id, revision, found)
    connection.execute(
        "UPDATE parley.base SET revision = %s, passages = %s, settings = %s, language = %s,"
        " encoder = coalesce(%s, encoder),"
        " terms_version = %s, removed = false, published = now() WHERE id = %s",
        [
            revision,
            len(content.passages),
            Jsonb(content.settings.as_json()),
            content.language.code,
            content.label or None,
            TERMS_VERSION,
            base_id,
        ],
    )
    return revision


def _bury(connection: "psycopg.Connection[Any]", base_id: int, revision: int, gone: Sequence[str]) -> None:
    """Make tombstones of passages, and delete those of long ago."""
    # What is gone keeps id and revision, so that servers which have it learn that.
    nothing = ", ".join(f"{name} = NULL" for name in WRITTEN.split(", ") if name not in ("id", "ord", "revision"))
    connection.execute(
        f"UPDATE parley.passage SET gone = now(), revision = %s, {nothing} WHERE base_id = %s AND id = ANY(%s)",
        [revision, base_id, gone],
    )
    connection.execute(
        f"DELETE FROM parley.passage WHERE base_id = %s AND gone < now() - interval '{TOMBSTONES}'", [base_id]
    )


def _write_search(connection: "psycopg.Connection[Any]", base_id: int, revision: int, found: _Terms | None) -> None:
    """Write what servers need to search a base that they don't hold; nothing for one that they hold."""
    size = search_indexes.size_of(connection, base_id)
    # Vectors of another size have no index yet.
    connection.execute(
        "UPDATE parley.base SET average_length = %s, statistics = %s, searched_revision = %s,"
        " searchable = searchable AND %s AND size IS NOT DISTINCT FROM %s, size = %s WHERE id = %s",
        [
            found and found.average_length,
            found and found.survey.statistics.pack(),
            revision if found else None,
            found is not None,
            size,
            size,
            base_id,
        ],
    )
