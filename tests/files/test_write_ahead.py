"""A new SQLite file that several open at the same time: whoever is refused at once tries again."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.files.write_ahead import keep_log


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the connection of another worker, which is about to write to a new file."""
    other = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@pytest.fixture
def late(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to that file that waits for nobody by itself."""
    database = sqlite3.connect(tmp_path / "new.db", timeout=0, isolation_level=None, check_same_thread=False)
    yield database
    database.close()


def test_another_worker_is_waited_for(holder: sqlite3.Connection, late: sqlite3.Connection) -> None:
    waiting = threading.Thread(target=keep_log, args=(late, 60.0))
    asked = threading.Semaphore(0)
    late.set_trace_callback(lambda _: asked.release())
    waiting.start()
    # The second time because it was refused the first.
    assert asked.acquire(timeout=20) and asked.acquire(timeout=20)
    holder.execute("ROLLBACK")
    waiting.join(20)

    assert late.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_wait_has_an_end(holder: sqlite3.Connection, late: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        keep_log(late, 0.01)


def test_a_log_that_another_worker_repairs_is_waited_for() -> None:
    class Repaired:
        refusals = 2

        def execute(self, _: str) -> None:
            if self.refusals:
                self.refusals -= 1
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode, error.sqlite_errorname = 261, "SQLITE_BUSY_RECOVERY"
                raise error

    database = Repaired()
    keep_log(database, 60.0)  # type: ignore[arg-type]
    assert not database.refusals


def test_another_fault_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "new.db").write_text("not a database, but long enough to be taken for one" * 100)
    database = sqlite3.connect(tmp_path / "new.db", isolation_level=None)

    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        keep_log(database, 60.0)
    database.close()
