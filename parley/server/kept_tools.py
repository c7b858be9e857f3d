"""The files of TOOLS_DIR as they last loaded without a fault, in the master's memory.

A worker that takes the place of one that ended inherits them. It uses them if it finds a fault in the files, which may
be half edited: without it the server would end. A start and a reload are refused in place of that.
"""

from pathlib import Path

from parley.files.folder import contents_of, tool_files

contents: dict[str, bytes] = {}
"""Bytes of each file, by its name; empty before the first check."""
_unproven: dict[str, bytes] = {}


def read(folder: Path) -> None:
    """Read the files, which are kept once they have proven to have no fault."""
    global _unproven
    try:
        _unproven = contents_of(folder, tool_files(folder))
    except OSError:
        _unproven = {}


def keep() -> None:
    """Keep what was read last."""
    global contents
    contents = _unproven
