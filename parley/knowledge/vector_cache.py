"""Vectors on disk, by the content that they were made of: a file of SQLite, shared by all workers.

What goes wrong with it costs time, never an answer: then nothing is found, and nothing kept.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from parley.knowledge.postings import Floats

WAIT_SECONDS = 5.0
"""How long another worker's writing is waited for."""


def content_key(*parts: str) -> bytes:
    """A key that no other content has."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


class VectorCache:
    """Rows of vectors by content key, kept as 16-bit floats."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Those that are there."""
        marks = ",".join("?" * len(keys))
        with contextlib.suppress(OSError, sqlite3.Error), self._open() as database:
            rows = database.execute(f"SELECT key, size, data FROM vectors WHERE key IN ({marks})", list(keys))
            return {
                key: np.frombuffer(data, np.float16).reshape(-1, size).astype(np.float32) for key, size, data in rows
            }
        return {}

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Keep these."""
        rows = [(key, rows.shape[1], rows.astype(np.float16).tobytes()) for key, rows in vectors.items()]
        with contextlib.suppress(OSError, sqlite3.Error), self._open() as database:
            database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)
            database.commit()

    def _open(self) -> contextlib.closing[sqlite3.Connection]:
        if self._file is None:
            raise FileNotFoundError
        self._file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, timeout=WAIT_SECONDS)
        database.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, size INTEGER, data BLOB) WITHOUT ROWID"
        )
        return contextlib.closing(database)
