"""Options of a turn beside its request: values of the settings, and over them those of an agent's profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

AGORA = "agora"
"""The platform that obeys metadata in front of the first chunk."""


@dataclass(frozen=True)
class TurnOptions:
    """The options of a turn.

    `waiting` and `tool_waiting` are milliseconds, None for never. `waiting_messages` are the agent's own; where there
    are none, those of the knowledge base are spoken. `tools` are patterns of the names that may be offered, None for
    all. `memory` is what of a conversation is kept. `platform` is the one that the operator names; what differs in the
    answer depends on it alone, not on the platform that a request shows. `forwarded` are fields of the request's body
    that go upstream whatever the settings say of them, because the operator wrote them.
    """

    agent: str = ""
    kb: str = ""
    tools: tuple[str, ...] | None = None
    waiting: int | None = 0
    waiting_messages: tuple[str, ...] = ()
    tool_waiting: int | None = 700
    fallback_text: str | None = None
    speech_cleanup: str = "off"
    interruptions: str = "note"
    memory: Literal["off", "tools", "full"] = "off"
    first_chunk: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    presence: bool = False
    speakers: bool = False
    platform: str = ""
    forwarded: frozenset[str] = frozenset()

    @property
    def takes_metadata(self) -> bool:
        """True if metadata may stand in front of the first chunk: the platform is not known to fail at it."""
        return self.platform in ("", AGORA)


DEFAULTS = TurnOptions()
"""The options of a request that no settings concern, such as one of our own."""
