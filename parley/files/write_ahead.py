"""The log in front of an SQLite file, with which readers go on while another worker writes."""

import sqlite3
import time

RETRY_SECONDS = 0.001
"""Pause in seconds behind a refusal."""


def keep_log(database: sqlite3.Connection, seconds: float) -> None:
    """Have a new connection write to the file's log; for a thread: it blocks, `seconds` at most. Raises sqlite3.Error.

    Where several workers open a new file together, SQLite refuses all but one at once, whatever their timeout
    (https://www.sqlite.org/rescode.html#busy).
    """
    until = time.monotonic() + seconds
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Of several kinds: another worker may also be repairing the log.
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() >= until:
                raise
        time.sleep(RETRY_SECONDS)
