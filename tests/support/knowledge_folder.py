"""A folder of knowledge for tests, published as `flask kb publish` does, with an encoder that needs no model."""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg

from parley.knowledge import documents
from parley.knowledge.database.publishing import Content, Published, publish
from parley.knowledge.index import language_of
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import Calibration, EncoderFailed
from parley.knowledge.vector_cache import VectorCache

Result = TypeVar("Result")


class LetterEncoder:
    """An encoder by the letters of a text, which counts what it encodes."""

    calibration = Calibration(coverage_weight=0.2, min_evidence=0.1)
    batch = 4

    def __init__(self, name: str = "letters", *, fails: bool = False, size: int = 16) -> None:
        self.name = name
        self.size = size
        self.fails = fails
        self.encoded = 0

    def passages(self, texts: Sequence[str]) -> Floats:
        if self.fails:
            raise EncoderFailed("out of order")
        self.encoded += len(texts)
        rows = np.full((len(texts), self.size), 0.1, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % self.size] += 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    query = passages

    def run_in_thread(self, work: Callable[[], Result]) -> Result:
        return work()


def write_base(folder: Path, texts: dict[str, Any], settings: dict[str, Any] | None = None) -> Path:
    """Write a base's file, with texts by id, and its settings; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"id": name, **(text if isinstance(text, dict) else {"text": text})} for name, text in texts.items()]
    (folder / "a.json").write_text(json.dumps(entries))
    if settings is not None:
        (folder / "base.json").write_text(json.dumps(settings))
    return folder


def published(
    database: "psycopg.Connection[Any]",
    folder: Path,
    name: str = "shop",
    encoder: LetterEncoder | None = None,
    *,
    resident: int = 1000,
    dry_run: bool = False,
) -> Published:
    """Publish a folder as the base of this name."""
    loaded = documents.load(folder)
    language = loaded.settings.language or language_of(loaded.passages)
    content = Content(name, loaded.passages, loaded.settings, language, encoder, encoder.name if encoder else "")
    return publish(database, content, VectorCache(None), resident=resident, dry_run=dry_run)
