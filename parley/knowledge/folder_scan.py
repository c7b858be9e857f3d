"""A look at the knowledge folder: which bases it holds, which files they have, and whether any of them has changed.

Everything here asks the file system about each file, which takes 0.1 s for 10 000 of them, so a server does it in a
thread (`bases.py`). Reading the files lives in `documents.py`.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

READ = (".json", ".jsonl", ".ndjson")
"""Suffixes of knowledge files."""
NOT_READ = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods", ".yaml", ".yml", ".xml", ".html", ".htm", ".pdf", ".docx")
"""Suffixes of files that may hold knowledge and can only be imported. Markdown is left out: it is often a README."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change of each file: differs wherever the contents may differ."""


@dataclass(frozen=True)
class FolderScan:
    """The files of one knowledge base by name, in order; those that are `not_read`; why it can't be read, if so."""

    folder: Path
    files: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()
    fingerprint: Fingerprint = field(default=(), repr=False)
    fault: str = ""


def scan_home(home: Path) -> dict[str, FolderScan]:
    """Return the scans of all knowledge bases by name, first that of `home` itself, whose name is empty.

    Raises OSError if `home` can't be read.
    """
    with os.scandir(home) as entries:
        names = sorted(entry.name for entry in entries if is_base_name(entry.name) and entry.is_dir())
    scans = {"": scan_folder(home)}
    inside = home.resolve()
    for name in names:
        # A link that leads out of the folder is no base: it could serve any file of the machine.
        if (home / name).resolve().is_relative_to(inside):
            scan = scan_folder(home / name)
            # A folder that can't be read is a base all the same, so that loading it reports the fault.
            if scan.files or scan.fault:
                scans[name] = scan
    return scans


def scan_folder(folder: Path) -> FolderScan:
    """Return the scan of one folder; one that can't be read says why."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as exc:
        return FolderScan(folder, fingerprint=(("", 0, 0, 0),), fault=exc.strerror or str(exc))
    # macOS leaves binary `._NAME.json` beside files that it copies, Office `~$NAME.json`, and Emacs a lock
    # `.#NAME.json`, which is a link to nothing.
    shown = [name for name in names if not name.startswith((".", "~", "#"))]
    files = tuple(name for name in shown if name.lower().endswith(READ))
    not_read = tuple(name for name in shown if name.lower().endswith(NOT_READ))
    return FolderScan(folder, files, not_read, tuple(status_of(folder, name) for name in files))


def status_of(folder: Path, name: str) -> tuple[str, int, int, int]:
    """Return the status of a file for a fingerprint; a file that can't be looked at has one, too."""
    try:
        status = os.stat(f"{folder}/{name}")
    except OSError:
        return (name, 0, 0, 0)
    # Either time may stay behind: writing can restore the one, renaming changes only the other.
    return (name, status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns))


def is_base_name(name: str) -> bool:
    """Return True if a folder of this name may be a knowledge base."""
    return bool(_NAME.fullmatch(name)) and not name.lower().endswith(READ)
