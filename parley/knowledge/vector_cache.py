"""Vectors on disk, keyed by the content that they encode: one SQLite file, shared by all workers.

SQLite runs in a thread of its own: a commit takes milliseconds, and another process may hold the write lock for longer.
A fault costs time, never an answer: `get` then finds nothing and `put` keeps nothing.
"""

import contextlib
import functools
import hashlib
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from gevent.threadpool import ThreadPool

from parley import concurrency
from parley.knowledge.postings import Floats
from parley.telemetry.logs import log

WAIT_SECONDS = 1.0
"""Longest wait for another process's lock, in seconds; ordinary commits hold it for milliseconds."""
PRIMARY_CODE = 0xFF
"""Mask of SQLite's extended error codes (https://www.sqlite.org/rescode.html)."""
BROKEN = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Error codes of a file with another content. SQLITE_ERROR: it has no such table or column."""

Result = TypeVar("Result")


class BadRow(Exception):
    """A row of the file does not hold vectors."""


def content_key(*parts: str) -> bytes:
    """Return the key of a content; different parts have different keys."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


class VectorCache:
    """Rows of vectors by content key, stored as 16-bit floats. Without a file nothing is kept.

    The calling greenlet waits, the event loop does not.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._database: sqlite3.Connection | None = None
        self._told = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors of those keys that the file holds."""
        return self._in_thread(functools.partial(_select, keys=keys), {})

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Store the vectors, unless the file is locked or can't be written."""
        self._in_thread(functools.partial(_insert, vectors=vectors), None)

    def close(self) -> None:
        """Close the connection until the file is next used. SQLite then folds its log into the file."""
        if self._database:
            self._thread.apply(self._close)

    @functools.cached_property
    def _thread(self) -> ThreadPool:
        return concurrency.thread_pool(1)

    def _in_thread(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        if self._file is None:
            return otherwise
        result: Result | Exception = self._thread.apply(self._attempt, (self._file, work))
        if not isinstance(result, Exception):
            return result
        if _is_broken(result) and not self._told:
            self._told = True
            log.warning("embeddings_cache_dropped", file=str(self._file), reason=str(result))
        return otherwise

    def _attempt(self, file: Path, work: Callable[[sqlite3.Connection], Result]) -> Result | Exception:
        """Runs in the thread. A failure is returned, not raised: gevent would print its traceback."""
        try:
            if self._database is None:
                self._database = _opened(file)
            return work(self._database)
        except (OSError, sqlite3.Error, BadRow) as exc:
            self._close()
            if _is_broken(exc):
                _remove(file)
            return exc

    def _close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._database:
                self._database.close()
        self._database = None


def _opened(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    # A folder that can't be written has no place for the log, not even a reader's: read the file as it stands.
    frozen = "" if os.access(file.parent, os.W_OK) else "?immutable=1"
    # Without the check: only one thread of the pool exists, but it need not be the same one after a pause.
    database = sqlite3.connect(
        f"{file.absolute().as_uri()}{frozen}", uri=True, timeout=WAIT_SECONDS, check_same_thread=False
    )
    try:
        # perf: a commit costs no fsync, and readers go on while another worker writes.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, size INTEGER, data BLOB) WITHOUT ROWID"
        )
    except sqlite3.Error:
        database.close()
        raise
    return database


def _select(database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Floats]:
    marks = ",".join("?" * len(keys))
    found = database.execute(f"SELECT key, size, data FROM vectors WHERE key IN ({marks})", list(keys))
    try:
        return {key: np.frombuffer(data, np.float16).reshape(-1, size).astype(np.float32) for key, size, data in found}
    except (ValueError, TypeError) as exc:
        raise BadRow(f"a row does not hold vectors: {exc}") from exc


def _insert(database: sqlite3.Connection, vectors: Mapping[bytes, Floats]) -> None:
    rows = [(key, rows.shape[1], rows.astype(np.float16).tobytes()) for key, rows in vectors.items()]
    with database:
        database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)


def _is_broken(fault: Exception) -> bool:
    """Return whether the file's content is at fault, rather than a lock, the disk or a permission."""
    code = getattr(fault, "sqlite_errorcode", None)
    return isinstance(fault, BadRow) or (code is not None and code & PRIMARY_CODE in BROKEN)


def _remove(file: Path) -> None:
    """Remove the file and its log, so that the next use begins a new one; a missing permission is not missed."""
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(OSError):
            file.with_name(file.name + suffix).unlink()
