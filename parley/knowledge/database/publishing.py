"""Writing a folder's passages as rows: only those that differ, in one transaction a base, under a lock of the base.

    plan       the rows that are there, compared with the passages: added, changed, moved, gone
    encode     vectors of texts that no row of the base has
    write      rows by COPY into a table of the transaction, from there into the base; one new revision for all

A publish that is killed leaves nothing behind; of two at once the second waits. Servers see all of it or nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.database.rows import digest, document_of, storable
from parley.knowledge.documents import Passage
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import STEPS, Encoder, encode
from parley.knowledge.terms import VERSION as TERMS_VERSION
from parley.knowledge.vector_cache import Vectors, content_key
from parley.languages import Language

BATCH = 500
"""Passages that are encoded and written in one step."""
LOCK = 1_885_434_991
"""First key of the advisory lock of a base; the second is a hash of its name."""
TOMBSTONES = "7 days"
"""Age at which tombstones are deleted; servers fetch a base as a whole if their copy is older."""
WRITTEN = "id, ord, revision, title, body, file, metadata, part, parts_of, digest, content_key, vector, windows"
"""Columns that are written."""
VECTORS = ("content_key", "vector", "windows")
"""Columns of the vectors."""
_EXISTING = """
SELECT id, ord, digest, content_key FROM parley.passage WHERE base_id = %s AND gone IS NULL
"""


@dataclass(frozen=True)
class Published:
    """The changes that a publish of a base made, or would make.

    Passages that `moved` have another position, or vectors of another encoder.
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

    @property
    def is_change(self) -> bool:
        """True if the base differs from what is published."""
        return self.settings_changed or any((self.added, self.changed, self.moved, self.gone))


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


def publish(
    connection: "psycopg.Connection[Any]", content: Content, cache: Vectors, *, dry_run: bool = False
) -> Published:
    """Bring the rows of a base up to date, and return what was done. Raises psycopg.Error and EncoderFailed."""
    started = time.monotonic()
    # First: content keys and digests are those of what is stored.
    content = replace(content, passages=[_stored(passage) for passage in content.passages])
    keys = _keys(content)
    with connection.transaction(force_rollback=dry_run):
        # Of the name, not of the row: a new base has none.
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, content.name])
        base_id, differs = _base(connection, content)
        plan = _plan(connection, base_id, content, keys)
        write = sorted([*plan.added, *plan.changed, *plan.moved])
        missing = [at for at in write if keys[at] and keys[at] not in plan.known_keys]
        revision, encoded = None, len({keys[at] for at in missing})
        if (differs or write or plan.gone) and not dry_run:
            revision = _write(connection, base_id, content, keys, plan, write, cache)
    counts = (len(plan.added), len(plan.changed), len(plan.moved), len(plan.gone))
    return Published(content.name, *counts, encoded, differs, revision, time.monotonic() - started)


def drop(connection: "psycopg.Connection[Any]", name: str, *, dry_run: bool = False) -> Published | None:
    """Take a base out of service, and return what was done; None if there is no such base. Raises psycopg.Error."""
    started = time.monotonic()
    with connection.transaction(force_rollback=dry_run):
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, name])
        row = connection.execute(
            "UPDATE parley.base SET removed = true, passages = 0, revision = nextval('parley.revision')"
            " WHERE name = %s AND NOT removed RETURNING id, revision",
            [name],
        ).fetchone()
        if row is None:
            return None
        # The row of the base stays: its name may come back, and its number is in copies on machines.
        gone = connection.execute("DELETE FROM parley.passage WHERE base_id = %s", [row[0]]).rowcount
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


def _base(connection: "psycopg.Connection[Any]", content: Content) -> tuple[int, bool]:
    """Return the number of the base, made if need be, and whether what is said of it differs from what is published."""
    told = (content.settings.as_json(), content.language.code, TERMS_VERSION, False)
    row = connection.execute(
        "SELECT id, encoder, settings, language, terms_version, removed FROM parley.base WHERE name = %s",
        [content.name],
    ).fetchone()
    if row:
        return row[0], tuple(row[2:]) != told or content.label not in ("", row[1])
    row = connection.execute(
        "INSERT INTO parley.base (name, revision, passages, terms_version, removed) VALUES (%s, 0, 0, 0, true)"
        " RETURNING id",
        [content.name],
    ).fetchone()
    assert row
    return row[0], True


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
    base_id: int,
    content: Content,
    keys: Sequence[bytes | None],
    plan: _Plan,
    write: Sequence[int],
    cache: Vectors,
) -> int:
    """Write rows, tombstones and the base's new revision, and return that one."""
    # Before the first COPY: it looks the numbers of the types up.
    register_vector(connection)
    row = connection.execute("SELECT nextval('parley.revision')").fetchone()
    assert row
    revision: int = row[0]
    connection.execute(f"CREATE TEMP TABLE fresh ON COMMIT DROP AS SELECT {WRITTEN} FROM parley.passage LIMIT 0")
    with connection.cursor() as cursor, cursor.copy(f"COPY fresh ({WRITTEN}) FROM STDIN") as copy:
        for at, vectors in _vectors(content, keys, plan.known_keys, write, cache):
            copy.write_row(_values(content.passages[at], at, revision, keys[at], vectors))
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
    # What is gone keeps id and revision, so that servers which have it learn that.
    nothing = ", ".join(f"{name} = NULL" for name in names if name not in ("id", "ord", "revision"))
    connection.execute(
        f"UPDATE parley.passage SET gone = now(), revision = %s, {nothing} WHERE base_id = %s AND id = ANY(%s)",
        [revision, base_id, plan.gone],
    )
    connection.execute(
        f"DELETE FROM parley.passage WHERE base_id = %s AND gone < now() - interval '{TOMBSTONES}'", [base_id]
    )
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


def _vectors(
    content: Content, keys: Sequence[bytes | None], known: frozenset[bytes], write: Sequence[int], cache: Vectors
) -> Iterator[tuple[int, Floats | None]]:
    """Yield the positions to write, each with its vectors unless a row has them. Raises EncoderFailed."""
    made: dict[bytes, Floats] = {}
    for start in range(0, len(write), BATCH):
        batch = write[start : start + BATCH]
        wanted = {key: at for at in batch if (key := keys[at]) and key not in known and key not in made}
        made |= cache.get(list(wanted))
        if content.encoder:
            made |= _encoded(content, content.encoder, {k: at for k, at in wanted.items() if k not in made}, cache)
        # In the order of the passages, so that rows lie on disk as they are read.
        for at in batch:
            key = keys[at]
            yield at, made.get(key) if key else None
    cache.close()


def _encoded(content: Content, encoder: Encoder, wanted: Mapping[bytes, int], cache: Vectors) -> dict[bytes, Floats]:
    made: dict[bytes, Floats] = {}
    keys = list(wanted)
    for start in range(0, len(keys), encoder.batch):
        portion = keys[start : start + encoder.batch]
        rows = encode(encoder, [content.passages[wanted[key]] for key in portion])
        fresh = dict(zip(portion, rows, strict=True))
        cache.put(fresh)
        made |= fresh
    return made


def _values(passage: Passage, at: int, revision: int, key: bytes | None, vectors: Floats | None) -> tuple[Any, ...]:
    whole = windows = None
    if vectors is not None:
        whole = HalfVector(vectors[0])
        windows = np.rint(vectors[1:] * STEPS).astype(np.int8).tobytes()
    return (
        passage.id,
        at,
        revision,
        passage.title,
        passage.text,
        passage.file,
        Jsonb(passage.metadata),
        passage.part,
        document_of(passage),
        digest(passage),
        key,
        whole,
        windows,
    )
