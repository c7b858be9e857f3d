"""A tool as the operator's files define it: checked and with its templates parsed, but not connected to anything.

The files are read by `definition_files.py`; the tools that are made of these values by `http_tool.py`, `mcp_client.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from parley.tools.templates import BodyTemplate, Template, UrlTemplate, Variable

NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
"""Matches the name of a tool: what all providers of models accept."""


@dataclass(frozen=True)
class Behaviour:
    """Keys that every tool and every MCP server may have: see `Tool`. `cancel` is None where the kind decides."""

    timeout_ms: int | None = None
    waiting: tuple[str, ...] = ()
    interruptable: bool | None = None
    reuse_seconds: float = 0
    hold_ms: int = 0
    after: bool = False
    cancel: bool | None = None

    def of_tool(self, *, read_only: bool) -> dict[str, Any]:
        """Return the fields of a `Tool` that these keys decide; one that only reads is cancelled unless they forbid."""
        return {
            "timeout": self.timeout_ms / 1000 if self.timeout_ms else None,
            "waiting": self.waiting,
            "interruptable": self.interruptable,
            "reuse_seconds": self.reuse_seconds,
            "hold_ms": self.hold_ms,
            "after": self.after,
            "cancels": read_only if self.cancel is None else self.cancel,
            "read_only": read_only,
        }


@dataclass(frozen=True)
class HttpTool:
    """A tool that is a request to a service. `headers` are by their names in small letters."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    method: str
    url: UrlTemplate
    headers: Mapping[str, Template] = field(repr=False)
    body: BodyTemplate | None
    behaviour: Behaviour
    strict: bool = False


@dataclass(frozen=True)
class McpServer:
    """An entry of `mcp_servers`; header values are resolved, and secret.

    `allowed_tools` is None where all tools of the server are allowed. With `prefix` a tool is named `NAME__tool`.
    """

    name: str
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allowed_tools: tuple[str, ...] | None = None
    prefix: bool = False
    behaviour: Behaviour = Behaviour()


def undeclared(variables: Iterable[Variable], parameters: Mapping[str, Any]) -> list[str]:
    """Return the arguments among variables that a schema does not have, if it lists all that there are."""
    declared = listed_parameters(parameters)
    names = {one.name for one in variables if one.source == "args"}
    return [] if declared is None else sorted(names - declared)


def listed_parameters(parameters: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of a schema's parameters; None if it may have others than those that it lists."""
    is_open = parameters.get("additionalProperties") not in (None, False) or any(
        key in parameters for key in ("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "if")
    )
    listed = parameters.get("properties")
    return frozenset(listed) if isinstance(listed, dict) and not is_open else None
