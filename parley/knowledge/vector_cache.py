"""A cache of vectors on disk, keyed by the content that they encode: one SQLite file, shared by all workers.

SQLite runs in a thread of its own: a commit takes milliseconds, and another process may hold the write lock for longer.
A failure costs time, never an answer: `get` then finds nothing and `put` stores nothing.

    closed    the first use opens the file, with its table
    open      a failure closes it; contents that can't be read also remove the file, so that the next use begins anew
"""

import contextlib
import functools
import hashlib
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from gevent.threadpool import ThreadPool

from parley import concurrency
from parley.files.write_ahead import keep_log
from parley.knowledge.postings import Floats
from parley.telemetry.logs import log

WAIT_SECONDS = 1.0
"""Longest wait in seconds for another process's lock; ordinary commits hold it for milliseconds."""
PRIMARY_CODE = 0xFF
"""Mask of SQLite's extended error codes (https://www.sqlite.org/rescode.html)."""
BROKEN = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Error codes of a file with other contents. SQLITE_ERROR: the file has no such table or column."""

Result = TypeVar("Result")


class BrokenFile(Exception):
    """The file's contents are at fault, rather than a lock, the disk or a permission."""


def content_key(*parts: str) -> bytes:
    """Return the key of a content; different parts have different keys."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


class Vectors(Protocol):
    """Anything that keeps rows of vectors by content key."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors of those keys that are kept."""
        ...

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Keep the vectors, if that is possible now."""
        ...

    def close(self) -> None:
        """Let go of what is held for reading: all vectors of an index have been read."""
        ...


class VectorCache:
    """Rows of vectors by content key, stored as 16-bit floats. Without a file nothing is kept.

    The calling greenlet waits, the event loop does not.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = _VectorFile(file) if file else None
        self._drop_logged = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors of those keys that the file holds."""
        return self._in_thread(functools.partial(_VectorFile.select, keys=keys), {})

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Store the vectors, unless the file is locked or can't be written."""
        self._in_thread(functools.partial(_VectorFile.insert, vectors=vectors), None)

    def close(self) -> None:
        """Close the file until it is next used. SQLite then folds its log into the file."""
        if self._file and self._file.is_open:
            self._thread.apply(self._file.close)

    @functools.cached_property
    def _thread(self) -> ThreadPool:
        return concurrency.thread_pool(1)

    def _in_thread(self, work: "Callable[[_VectorFile], Result]", otherwise: Result) -> Result:
        """Return the result of the work with the file, or `otherwise` if there is no file or the work fails."""
        if self._file is None:
            return otherwise
        result: Result | Exception = self._thread.apply(self._file.attempt, (work,))
        if not isinstance(result, Exception):
            return result
        # Once: a disk that spoils every file would otherwise fill the log.
        if isinstance(result, BrokenFile) and not self._drop_logged:
            self._drop_logged = True
            log.warning("embeddings_cache_dropped", file=str(self._file.path), reason=str(result))
        return otherwise


class _VectorFile:
    """The SQLite file, for one thread at a time. Its methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        """True if a connection to the file is held."""
        return self._database is not None

    def attempt(self, work: "Callable[[_VectorFile], Result]") -> Result | Exception:
        """Return the result of the work. A failure is returned, not raised: gevent would print its traceback."""
        try:
            return work(self)
        except (OSError, sqlite3.Error, BrokenFile) as exc:
            self.close()
            code = getattr(exc, "sqlite_errorcode", None)
            if isinstance(exc, BrokenFile) or (code is not None and code & PRIMARY_CODE in BROKEN):
                # With its log and index. If permission is missing, the file stays, and every use fails as this one did.
                for suffix in ("-wal", "-shm", ""):
                    with contextlib.suppress(OSError):
                        self.path.with_name(self.path.name + suffix).unlink()
                return BrokenFile(str(exc))
            return exc

    def select(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors of those keys that are stored. Raises OSError, sqlite3.Error and BrokenFile."""
        marks = ",".join("?" * len(keys))
        rows = self._open().execute(f"SELECT key, size, data FROM vectors WHERE key IN ({marks})", list(keys))
        try:
            return {
                key: np.frombuffer(data, np.float16).reshape(-1, size).astype(np.float32) for key, size, data in rows
            }
        except (ValueError, TypeError) as exc:
            raise BrokenFile(f"a row does not hold vectors: {exc}") from exc

    def insert(self, vectors: Mapping[bytes, Floats]) -> None:
        """Store vectors, in place of those that are stored under the same keys. Raises OSError and sqlite3.Error."""
        rows = [(key, rows.shape[1], rows.astype(np.float16).tobytes()) for key, rows in vectors.items()]
        with self._open() as database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the connection, if there is one."""
        with contextlib.suppress(sqlite3.Error):
            if self._database:
                self._database.close()
        self._database = None

    def _open(self) -> sqlite3.Connection:
        """Return the connection, opened with its folder and table if there is none. Raises OSError, sqlite3.Error."""
        if self._database:
            return self._database
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite can't create its log in a folder that is read-only, even to read: open the file as immutable then.
        immutable = "" if os.access(self.path.parent, os.W_OK) else "?immutable=1"
        # Without the check: the pool has one thread, but after a pause it may be another one.
        self._database = sqlite3.connect(
            f"{self.path.absolute().as_uri()}{immutable}", uri=True, timeout=WAIT_SECONDS, check_same_thread=False
        )
        # With a log in front of the file a commit costs no fsync, and readers go on while another worker writes.
        keep_log(self._database, WAIT_SECONDS)
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, size INTEGER, data BLOB) WITHOUT ROWID"
        )
        return self._database
