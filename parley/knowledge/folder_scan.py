"""A look at the knowledge folder: which bases it holds, which files they have, and whether any of them has changed.

Everything here asks the file system about each file, which takes 0.1 s for 10 000 of them, so a server does it in a
thread (`bases.py`). Reading the files lives in `documents.py`.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from parley.files.folder import Fingerprint, fingerprint_of, shown_names

READ = (".json", ".jsonl", ".ndjson")
"""Suffixes of knowledge files."""
NOT_READ = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods", ".yaml", ".yml", ".xml", ".html", ".htm", ".pdf", ".docx")
"""Suffixes of files that may hold knowledge and can only be imported. Markdown is left out: it is often a README."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
        shown = shown_names(folder)
    except OSError as exc:
        return FolderScan(folder, fingerprint=(("", 0, 0, 0),), fault=exc.strerror or str(exc))
    files = tuple(name for name in shown if name.lower().endswith(READ))
    not_read = tuple(name for name in shown if name.lower().endswith(NOT_READ))
    return FolderScan(folder, files, not_read, fingerprint_of(folder, files))


def is_base_name(name: str) -> bool:
    """Return True if a folder of this name may be a knowledge base."""
    return bool(_NAME.fullmatch(name)) and not name.lower().endswith(READ)
