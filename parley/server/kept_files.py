"""The files of TOOLS_DIR and AGENTS_DIR as they last loaded without a fault, in the master's memory.

A worker that takes the place of one that ended inherits them. It uses them if it finds a fault in the files, which may
be half edited: without it the server would end. A start and a reload are refused in place of that.
"""

from collections.abc import Callable
from pathlib import Path

from parley.files.folder import contents_of, json_files, tool_files


class KeptFiles:
    """The files of one folder; `contents` holds the bytes of each by its name, nothing before the first check."""

    def __init__(self, names: Callable[[Path], list[str]]) -> None:
        self.contents: dict[str, bytes] = {}
        self._names = names
        self._unproven: dict[str, bytes] = {}

    def read(self, folder: Path) -> None:
        """Read the files, which are kept once they have proven to have no fault."""
        try:
            self._unproven = contents_of(folder, self._names(folder))
        except OSError:
            self._unproven = {}

    def keep(self) -> None:
        """Keep what was read last."""
        self.contents = self._unproven


tools = KeptFiles(tool_files)
agents = KeptFiles(json_files)


def read(tools_dir: Path, agents_dir: Path) -> None:
    """Read the files of both folders, which are kept once they have proven to have no fault."""
    tools.read(tools_dir)
    agents.read(agents_dir)


def keep() -> None:
    """Keep what was read last."""
    tools.keep()
    agents.keep()
