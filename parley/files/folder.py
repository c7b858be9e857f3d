"""Which files a folder holds, and whether they have changed: compared by their status, never watched.

Everything here asks the file system about each file, so a server does it in a thread.
"""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from parley.files.json_file import MAX_FILE_BYTES

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of each file: differs wherever the contents may differ."""


def shown_names(folder: Path) -> list[str]:
    """Return the names of all that is in a folder, in order, without hidden files. Raises OSError."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    # macOS leaves binary `._NAME.json` beside files that it copies, Office `~$NAME.json`, and Emacs a lock
    # `.#NAME.json`, which is a link to nothing.
    return [name for name in names if not name.startswith((".", "~", "#"))]


def tool_files(folder: Path) -> list[str]:
    """Return the names of the files that define tools, in order; those that begin with `_` are for others to import.

    Raises OSError.
    """
    names = [name for name in shown_names(folder) if not name.startswith("_")]
    return [name for name in names if name.endswith(".py") or name.lower().endswith(".json")]


def json_files(folder: Path) -> list[str]:
    """Return the names of the JSON files, in order. Raises OSError."""
    return [name for name in shown_names(folder) if name.lower().endswith(".json")]


def contents_of(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return what these files of a folder hold. Raises OSError, also for what no file of an operator's is."""
    contents = {}
    for name in names:
        status = os.stat(folder / name)
        # Opening a named pipe would block, and a file that is too large is refused unread.
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise OSError(errno.EINVAL, "is no file, or too large", name)
        contents[name] = (folder / name).read_bytes()
    return contents


def fingerprint_of(folder: Path, names: Iterable[str]) -> Fingerprint:
    """Return the fingerprint of these files of a folder."""
    return tuple(status_of(folder, name) for name in names)


def status_of(folder: Path, name: str) -> tuple[str, int, int, int]:
    """Return the status of a file for a fingerprint; a file that can't be looked at has one, too."""
    try:
        status = os.stat(f"{folder}/{name}")
    except OSError:
        return (name, 0, 0, 0)
    # Either time may stay behind: writing can restore the one, renaming changes only the other.
    return (name, status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns))
