"""A passage as a row: what of it is stored, how it is compared, and what a server makes of it again."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from parley.knowledge.base_settings import NO_SETTINGS, BadBaseSettings, BaseSettings
from parley.knowledge.documents import Passage
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import STEPS
from parley.knowledge.stored_vectors import in_steps
from parley.languages import LANGUAGES
from parley.telemetry.logs import log

COLUMNS = (
    "id, ord, revision, gone IS NOT NULL, title, body, file, metadata, part, parts_of, content_key, vector, windows"
)
"""Columns that a server reads, in the order of the fields of `Row`."""
TYPES = ("text", "int4", "int8", "bool", "text", "text", "text", "jsonb", "int4", "text", "bytea", "bytea", "bytea")
"""Types of these columns as they are read: `bytea` leaves what comes as it is."""
_HALVES = np.dtype(">f2")
_HEADER = 4
"""Bytes before the numbers of a `halfvec` as the server sends it: two counts."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of `parley.passage`. A tombstone (`gone`) has nothing but id and revision."""

    id: str
    ord: int
    revision: int
    gone: bool
    title: str | None
    body: str | None
    file: str | None
    metadata: dict[str, Any] | None
    part: int | None
    parts_of: str | None
    content_key: bytes | None
    vector: bytes | None
    windows: bytes | None

    # Read late and one by one: as 32-bit numbers the vectors of a large base would take twice their memory.
    def vectors(self) -> Floats | None:
        """Return the rows of vectors, the whole passage's first; None without any, or if they make no sense."""
        if not self.vector:
            return None
        whole = np.frombuffer(self.vector, _HALVES, offset=_HEADER).astype(np.float32)
        # A window has one byte a number; the whole passage has two, since candidates are chosen by it.
        windows = np.frombuffer(self.windows or b"", np.int8)
        if not len(whole) or len(windows) % len(whole) or not np.isfinite(whole).all():
            return None
        return np.concatenate([whole[None], windows.reshape(-1, len(whole)).astype(np.float32) / STEPS])


def passages_of(rows: Sequence[Row], breathe: Callable[[], None] = lambda: None) -> list[Passage]:
    """Return the passages of a base in their order; parts of one document share their texts."""
    ordered = sorted((row for row in rows if not row.gone), key=lambda row: row.ord)
    documents: dict[str, list[Row]] = {}
    for row in in_steps(ordered, breathe):
        if row.parts_of is not None:
            documents.setdefault(row.parts_of, []).append(row)
    parts = {
        name: tuple(row.body or "" for row in sorted(of, key=lambda row: row.part or 0))
        for name, of in documents.items()
    }
    # A whole document has no parts, as it comes from a file.
    return [
        passage_of(row, parts[row.parts_of] if row.parts_of is not None else ()) for row in in_steps(ordered, breathe)
    ]


def passage_of(row: Row, parts: tuple[str, ...] | None = None) -> Passage:
    """Return a row as a passage; without `parts` it is told of a part which one it is, and nothing of the others."""
    text, part = row.body or "", row.part or 0
    if parts is None:
        parts = ("",) * part + (text,) if row.parts_of is not None else ()
    return Passage(row.id, row.title or "", text, row.file or "", row.metadata or {}, part, parts)


def settings_of(name: str, published: Mapping[str, Any], language: str) -> BaseSettings:
    """Return the settings of a base as they were published, with the language that its publisher found."""
    try:
        settings = BaseSettings.of(dict(published))
    except BadBaseSettings as exc:
        # Published by a newer release, say: what this one knows is enough to answer.
        log.warning("knowledge_fault", kb=name, fault=f"base.json: {exc}")
        settings = NO_SETTINGS
    if settings.language is None and language in LANGUAGES:
        settings = replace(settings, language=LANGUAGES[language])
    return settings


def storable(value: Any) -> Any:
    """Return a value without what PostgreSQL can't store in texts: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    # JSON knows neither infinity nor NaN, and Python's reader makes infinity of 1e999.
    return None if isinstance(value, float) and not np.isfinite(value) else value


def digest(passage: Passage) -> bytes:
    """Return a key of all that is stored of a passage, but for its position and its vectors."""
    stored = [passage.title, passage.text, passage.file, passage.metadata, passage.part, document_of(passage)]
    return hashlib.sha256(json.dumps(stored, sort_keys=True, ensure_ascii=False).encode()).digest()


def document_of(passage: Passage) -> str | None:
    """Return the id of the document that a passage is a part of, None if it is a whole one."""
    return passage.document if passage.parts else None
