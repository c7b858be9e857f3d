"""The subject of an examination: the settings, the server's address, and what earlier checks have learned."""

import dataclasses
from pathlib import Path

from parley.operators.platforms import Platform
from parley.settings import Settings

MAX_CALLS = 3
"""Most answers that are asked of a model in one examination."""
MAX_TOKENS = 16
"""Longest answer that is asked of a model, in tokens."""


@dataclasses.dataclass
class Probe:
    """The subject of an examination, and its limits.

    `faults` are sentences on settings that are unusable and have their defaults here. `project` is the folder of the
    server's files. `address` is empty where no server is to be asked; `key` is that of a caller. `long_seconds` is the
    length of the long broadcast, 0 for none. `calls` answers of a model may still be asked for. `clocks` holds, for
    each upstream that told the time, by how many seconds this machine's clock is ahead.
    """

    settings: Settings
    project: Path
    faults: list[str] = dataclasses.field(default_factory=list)
    address: str = ""
    key: str = dataclasses.field(default="", repr=False)
    platform: Platform | None = None
    offline: bool = False
    long_seconds: float = 0
    calls: int = MAX_CALLS
    clocks: dict[str, float] = dataclasses.field(default_factory=dict)

    def takes_call(self) -> bool:
        """Return whether one more answer of a model may be asked for, and count it."""
        self.calls -= 1
        return self.calls >= 0
