"""The rows of a base in a file: for a start without the database, and to fetch only the rows that are newer.

    knowledge-BASE-REVISION.msgpack     header, rows in portions, their number; each as its length and then msgpack

A file is written beside and then renamed. The folder may be shared by servers of several databases and by hosts; a
file tells which database it is of. Without a folder that can be written nothing is kept, and nothing is missed.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from parley.knowledge.database.rows import Row
from parley.telemetry.logs import log

FORMAT = 1
"""Number of the form of a file; those of another one are not read."""
PORTION = 64
"""Rows that are encoded or decoded in one step, some 200 µs."""
KEPT = 2
"""Files of a base that are kept: the newest, and the one that a worker may be reading."""
LOCK_PAUSE = 0.01
"""Pause in seconds before the lock of a base is tried again."""
MAX_FRAME = 1 << 28
"""Largest length in bytes that is believed."""
_NAME = re.compile(r"knowledge-(.*)-(\d{1,19})\.msgpack")


class Header(msgspec.Struct, frozen=True, array_like=True):
    """The base that the rows are of.

    `written` is the database's time in seconds; `address` stands for the database's name.
    """

    format: int
    address: str
    origin: str
    base: str
    base_id: int
    revision: int
    written: float
    passages: int
    encoder: str
    language: str
    settings: dict[str, Any]


class Snapshot(msgspec.Struct, frozen=True):
    """A base as it was at one revision."""

    header: Header
    rows: list[Row]


class Snapshots:
    """The files of one folder that are of the database at `address`."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self.address = address

    def newest(self, base: str, breathe: Callable[[], None], origin: str | None = None) -> Snapshot | None:
        """Return the newest whole snapshot of a base; with `origin` only if it is of that very database."""
        for revision, path in sorted(self._files(base), reverse=True):
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                found = read(path, breathe)
                header = found.header
                if (header.base, header.revision, header.address) != (base, revision, self.address):
                    continue
                if origin in (None, header.origin):
                    return found
        return None

    def header(self, base: str) -> Header | None:
        """Return the head of the newest snapshot of a base; None without any, or if it can't be read."""
        for _, path in sorted(self._files(base), reverse=True):
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError), path.open("rb") as file:
                header = msgspec.msgpack.decode(_frame(file), type=Header)
                if (header.format, header.base, header.address) == (FORMAT, base, self.address):
                    return header
        return None

    def bases(self) -> set[str]:
        """Return the names of the bases that have a file."""
        return {base for base, _, _ in self._all()}

    def write(self, snapshot: Snapshot, breathe: Callable[[], None]) -> None:
        """Keep a snapshot, and remove those before the last ones. Where that fails nothing happens."""
        header = snapshot.header
        path = self._folder / f"knowledge-{header.base}-{header.revision}.msgpack"
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                for frame in frames(snapshot):
                    file.write(len(frame).to_bytes(4, "big") + frame)
                    breathe()
            os.replace(aside, path)
            for _, old in sorted(self._files(header.base))[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as exc:
            log.info("snapshot_not_kept", kb=header.base, fault=exc.strerror)
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)

    def remove(self, base: str) -> None:
        """Remove the files of a base that is gone; those of other databases stay."""
        with contextlib.suppress(OSError):
            self._lock(base).unlink()
        for _, path in self._files(base):
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                with path.open("rb") as file:
                    header = msgspec.msgpack.decode(_frame(file), type=Header)
                if header.address == self.address:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def fetching(self, base: str, seconds: float) -> Iterator[None]:
        """Hold the lock of a base on this machine, so that one worker fetches it and the others read its file.

        After a wait of so many seconds it goes on without the lock.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._lock(base), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield
            return
        try:
            deadline = time.monotonic() + seconds
            while not _locked(descriptor) and time.monotonic() < deadline:
                # Not blocking: the wait of `flock` would stop the event loop.
                time.sleep(LOCK_PAUSE)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, base: str) -> Path:
        return self._folder / f".knowledge-{base}.lock"

    def _files(self, base: str) -> list[tuple[int, Path]]:
        return [(revision, path) for name, revision, path in self._all(f"knowledge-{base}-") if name == base]

    def _all(self, beginning: str = "knowledge-") -> Iterator[tuple[str, int, Path]]:
        # Names before paths: thousands of bases have as many files, and each load looks for those of one.
        with contextlib.suppress(OSError):
            for file in os.listdir(self._folder):
                if file.startswith(beginning) and (found := _NAME.fullmatch(file)):
                    yield found[1], int(found[2]), self._folder / file


def frames(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield the parts of a file."""
    yield msgspec.msgpack.encode(snapshot.header)
    for at in range(0, len(snapshot.rows), PORTION):
        yield msgspec.msgpack.encode(snapshot.rows[at : at + PORTION])
    yield msgspec.msgpack.encode(len(snapshot.rows))


def read(path: Path, breathe: Callable[[], None]) -> Snapshot:
    """Return what a file holds. Raises OSError, ValueError and msgspec.MsgspecError for one that is not whole."""
    rows: list[Row] = []
    with path.open("rb") as file:
        header = msgspec.msgpack.decode(_frame(file), type=Header)
        if header.format != FORMAT:
            raise ValueError("the form is another one")
        while True:
            portion: Sequence[Row] | int = msgspec.msgpack.decode(_frame(file), type=list[Row] | int)
            breathe()
            if isinstance(portion, int):
                break
            rows += portion
    # The number of rows is written last: a file that was cut has none.
    if portion != len(rows) or len(rows) != header.passages:
        raise ValueError("rows are missing")
    return Snapshot(header, rows)


def _frame(file: Any) -> bytes:
    length = int.from_bytes(file.read(4), "big")
    frame: bytes = file.read(length) if length <= MAX_FRAME else b""
    if not length or len(frame) != length:
        raise ValueError("the file is not whole")
    return frame


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
