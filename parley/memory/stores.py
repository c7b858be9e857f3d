"""The stores of sessions: in the worker, or in an SQLite file that the workers of one machine share.

A store knows bytes by key, for a time, and a version by which a writer notices that another one was faster. A store
that can't be used raises `StoreFailed`: a turn then goes on without a memory.

    sqlite    closed    the first use opens the file, for this user alone
              open      a failure closes it, so that the next use begins anew
              stuck     a call has taken longer than WAIT_SECONDS: others fail at once until it is over
"""

import contextlib
import itertools
import os
import secrets
import sqlite3
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import gevent

from parley.concurrency import run_in_thread, thread_pool
from parley.files.write_ahead import keep_log

Result = TypeVar("Result")

MAX_SESSIONS = 10_000
"""Most sessions that a worker keeps."""
MAX_SHARED_SESSIONS = 100_000
"""Most sessions that are kept in a file."""
WAIT_SECONDS = 0.05
"""Longest wait for a file, in seconds; what takes longer counts as a failure."""
BUSY_SECONDS = 0.04
"""Longest wait in seconds for another worker's lock."""
PUTS_A_COUNT = 256
"""Writes between two counts of a file's sessions."""


class StoreFailed(Exception):
    """The store can't be used now; the message says why, and holds nothing of what was to be stored."""


@dataclass(frozen=True)
class Entry:
    """The data under a key, and its version, which no other state of any key has."""

    data: bytes
    version: int


class Store(Protocol):
    """A place for sessions. All methods raise StoreFailed."""

    def get(self, key: str) -> Entry | None:
        """Return what is stored, if its time is not over."""

    def put(self, key: str, data: bytes, ttl: float, version: int) -> bool:
        """Store data for `ttl` seconds; return false if the stored version is not this one. 0 stands for nothing."""

    def delete(self, key: str) -> bool:
        """Return true if something was stored; it is gone."""

    def close(self) -> None:
        """Give back what is held open."""


class WorkerStore:
    """Sessions in the worker's own memory, those least recently written leave first."""

    def __init__(self, limit: int = MAX_SESSIONS, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._versions = itertools.count(1)
        # In the order of their writing: each turn writes once, and the first to expire is the first.
        self._entries: OrderedDict[str, tuple[Entry, float]] = OrderedDict()

    def get(self, key: str) -> Entry | None:
        """Return what is stored, if its time is not over."""
        entry, until = self._entries.get(key, (None, 0.0))
        return entry if until > self._clock() else None

    def put(self, key: str, data: bytes, ttl: float, version: int) -> bool:
        """Store data for `ttl` seconds; return false if the stored version is not this one."""
        now = self.get(key)
        if (now.version if now else 0) != version:
            return False
        self._entries[key] = (Entry(data, next(self._versions)), self._clock() + ttl)
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit or next(iter(self._entries.values()))[1] <= self._clock():
            self._entries.popitem(last=False)
        return True

    def delete(self, key: str) -> bool:
        """Return true if something was stored; it is gone."""
        is_stored = self.get(key) is not None
        self._entries.pop(key, None)
        return is_stored

    def close(self) -> None:
        """Forget all sessions."""
        self._entries.clear()


class SqliteStore:
    """Sessions in an SQLite file. The calling greenlet waits at most WAIT_SECONDS, the event loop does not."""

    def __init__(self, file: Path, limit: int = MAX_SHARED_SESSIONS, clock: Callable[[], float] = time.time) -> None:
        self._file = _SessionFile(file, limit, clock)
        self._pool = thread_pool(1)
        self._begun: float | None = None

    def get(self, key: str) -> Entry | None:
        """Return what is stored, if its time is not over."""
        return self._in_thread(lambda: self._file.select(key))

    def put(self, key: str, data: bytes, ttl: float, version: int) -> bool:
        """Store data for `ttl` seconds; return false if the stored version is not this one."""
        return self._in_thread(lambda: self._file.write(key, data, ttl, version))

    def delete(self, key: str) -> bool:
        """Return true if something was stored; it is gone, from the file's log as well."""
        return self._in_thread(lambda: self._file.delete(key))

    def close(self) -> None:
        """Close the file until it is next used, unless a call hangs."""
        with contextlib.suppress(StoreFailed):
            self._in_thread(self._file.close)

    def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Return the result of the work. Raises StoreFailed."""
        # Nobody waits behind a disk that hangs.
        begun = self._begun
        if begun is not None and time.monotonic() - begun > WAIT_SECONDS:
            raise StoreFailed("an earlier call has not ended")
        timeout = gevent.Timeout(WAIT_SECONDS)
        done: list[Result] = []
        try:
            with timeout:
                run_in_thread(self._pool, self._timed, lambda: done.append(work()))
            return done[0]
        except gevent.Timeout as reached:
            if reached is not timeout:
                raise
            if done:
                # The loop itself came late, and serves its timers first.
                return done[0]
            raise StoreFailed(f"no answer within {round(WAIT_SECONDS * 1000)} ms") from None
        except (OSError, sqlite3.Error) as error:
            raise StoreFailed(f"{type(error).__name__}: {error}") from None

    def _timed(self, work: Callable[[], Result]) -> Result:
        """Return the result of the work, and note meanwhile since when it runs; runs in the thread."""
        self._begun = time.monotonic()
        try:
            return work()
        except (OSError, sqlite3.Error):
            self._file.close()
            raise
        finally:
            self._begun = None


class _SessionFile:
    """The SQLite file, for one thread at a time. Its methods block, and raise OSError and sqlite3.Error."""

    def __init__(self, path: Path, limit: int, clock: Callable[[], float]) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock
        self._puts = 0
        self._database: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None

    def select(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        found = "SELECT data, version FROM sessions WHERE key = ? AND until > ?"
        row = self._open().execute(found, (key, self._clock())).fetchone()
        return Entry(*row) if row else None

    def write(self, key: str, data: bytes, ttl: float, version: int) -> bool:
        """Store an entry in place of this version."""
        database, now = self._open(), self._clock()
        # Nothing that has expired stays longer than until somebody writes.
        database.execute("DELETE FROM sessions WHERE until <= ?", (now,))
        values = {"key": key, "data": data, "until": now + ttl, "new": secrets.randbits(62) + 1, "version": version}
        change = (
            "UPDATE sessions SET data = :data, until = :until, version = :new WHERE key = :key AND version = :version"
        )
        if not version:
            change = "INSERT OR IGNORE INTO sessions VALUES (:key, :data, :new, :until)"
        is_written = database.execute(change, values).rowcount == 1
        # Counting reads the whole index, so not at each write.
        if self._puts % PUTS_A_COUNT == 0:
            (count,) = database.execute("SELECT count(*) FROM sessions").fetchone()
            oldest = "SELECT key FROM sessions ORDER BY until LIMIT ?"
            database.execute(f"DELETE FROM sessions WHERE key IN ({oldest})", (max(0, count - self._limit),))
        self._puts += 1
        return is_written

    def delete(self, key: str) -> bool:
        """Delete the entry of a key, and what the log in front of the file has of it."""
        database = self._open()
        is_stored = database.execute("DELETE FROM sessions WHERE key = ?", (key,)).rowcount == 1
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return is_stored

    def close(self) -> None:
        """Close the connection, if there is one."""
        database, self._database = self._database, None
        with contextlib.suppress(sqlite3.Error):
            if database:
                database.close()

    def _open(self) -> sqlite3.Connection:
        """Return the connection; the file is made if there is none."""
        if self._database:
            if self._file_id == _file_id_of(self._path):
                return self._database
            # Deleted or replaced: a worker that starts later would not share what this one goes on writing.
            self.close()
        # Callers' words: for this user alone. The log and the index get the modes of the file.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(file)
            if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
                raise OSError(f"{self._path} is not a file of this user")
            os.fchmod(file, 0o600)
            self._file_id = (found.st_dev, found.st_ino)
        finally:
            os.close(file)
        # Without the check: the pool has one thread, but after a pause it may be another one.
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._database = database
        keep_log(database, BUSY_SECONDS)
        # A memory that is lost with the machine's power costs nothing.
        database.execute("PRAGMA synchronous=OFF")
        # Words that were deleted are overwritten, not left in free pages.
        database.execute("PRAGMA secure_delete=ON")
        database.execute(
            "CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, data BLOB, version INTEGER, until REAL)"
        )
        database.execute("CREATE INDEX IF NOT EXISTS by_time ON sessions (until)")
        return database


def _file_id_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, None if there is no file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
