"""Tools as the operator's JSON files define them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class McpServer:
    """An entry of `mcp_servers`; header values are resolved, and secret.

    `allowed_tools` is None where all tools of the server are allowed. With `prefix` a tool is named `NAME__tool`.
    `cancel` is None where each tool's own annotation decides.
    """

    name: str
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allowed_tools: tuple[str, ...] | None = None
    timeout_ms: int | None = None
    prefix: bool = False
    waiting: tuple[str, ...] = ()
    interruptable: bool | None = None
    reuse_seconds: float = 0
    hold_ms: int = 0
    after: bool = False
    cancel: bool | None = None
