"""The folder through which the workers of one master share metrics and turns, from its creation to its removal.

prometheus_client keeps one file per kind of metric and process. A master's files would grow with every reload, and
those of a master that was killed would stay for good. So the files of a worker that has ended are merged into one per
kind, and each start removes the folders of masters that are gone. A master holds a lock on a file in its folder for as
long as it lives: unlike a process id, it means the same in every container that shares the file system.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from parley.telemetry import turn_files
from parley.telemetry.shared_folder import CHANGING, locked

PREFIX = "parley-metrics-"
OWNER_LOCK = "owner.lock"
"""File on which the living owner of a folder holds a lock."""
WORKER_BYTES = 1 << 20
"""Bytes of shared memory that a worker's metrics may need."""
SUMMED = ("counter", "histogram")
"""Kinds of metrics whose values outlive their process."""
ENDED = "ended"
"""In the name of a file the place of the process id, for all processes that have ended."""
MAX_TRIES = 3
"""Folders that are created in turn, because another start may take an unlocked one for that of a dead master."""


class MetricFolder:
    """The shared metrics of one master's workers, in `path`. Raises OSError if there is no space for them.

    `parent` is the folder for temporary files, None for the system's.
    """

    def __init__(self, parent: str | None, workers: int) -> None:
        with tempfile.TemporaryFile(dir=parent) as probe:
            # Workers map these files into memory: on a full disk the first write would kill the worker (SIGBUS).
            os.posix_fallocate(probe.fileno(), 0, workers * WORKER_BYTES)
        for _ in range(MAX_TRIES):
            self.path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
            self._lock = os.open(Path(self.path, OWNER_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
            if is_free(self._lock) and Path(self.path, OWNER_LOCK).exists():
                return
            self.disown()
        raise FileNotFoundError(self.path)

    def disown(self) -> None:
        """Close this process's copy of the lock, so that the folder belongs to the master alone; for a worker."""
        os.close(self._lock)

    def merge(self, pid: int) -> None:
        """Remove the files of a process that has ended; its counters stay in the sums, its last turns among the others.

        They stay as they are where there is no space to merge them.
        """
        turn_files.merge(self.path, pid)
        # Here, because it looks at its import for the folder, which must be named before.
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid, self.path)  # type: ignore[no-untyped-call]
        for kind in SUMMED:
            source, target = Path(self.path, f"{kind}_{pid}.db"), Path(self.path, f"{kind}_{ENDED}.db")
            new = target.with_suffix(".new")
            try:
                if source.exists():
                    self._merge(source, target, new)
            except OSError:
                new.unlink(missing_ok=True)

    def _merge(self, source: Path, target: Path, new: Path) -> None:
        from prometheus_client.mmap_dict import MmapedDict

        values: dict[str, float] = {}
        files = [file for file in (target, source) if file.exists()]
        for file in files:
            for key, value, *_ in MmapedDict.read_all_values_from_file(file):  # type: ignore[no-untyped-call]
                values[key] = values.get(key, 0.0) + value
        with new.open("wb") as written:
            # All of it beforehand: a write into a mapped file on a full disk would kill the master (SIGBUS).
            os.posix_fallocate(written.fileno(), 0, sum(file.stat().st_size for file in files))
        merged = MmapedDict(str(new))  # type: ignore[no-untyped-call]
        for key, value in values.items():
            merged.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        merged.close()  # type: ignore[no-untyped-call]
        # No scrape between the two: it would count these values twice.
        with locked(self.path, CHANGING):
            new.replace(target)
            source.unlink()

    def remove(self) -> None:
        """Remove the folder, at the master's end."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_orphans(parent: str | None) -> None:
    """Remove the folders of masters that are gone without having removed them."""
    for lock in Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER_LOCK}"):
        # Another user's folder can't be opened, and is not ours to remove.
        with contextlib.suppress(OSError):
            opened = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if is_free(opened):
                    shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(opened)


def is_free(lock: int) -> bool:
    """Return whether nobody else holds the lock on an open file; it is then held here until the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
