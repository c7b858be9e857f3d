"""The tokens that an upstream says it used: read from chunks and completions, and added up over several answers."""

from typing import Any

import msgspec

MAX_DEPTH = 8
"""Most objects inside one another whose numbers are added up."""


class _Usage(msgspec.Struct):
    usage: Any = None


def usage_of(payload: bytes) -> dict[str, Any] | None:
    """Return the usage that a chunk or a completion tells, if it tells one."""
    try:
        usage = msgspec.json.decode(payload, type=_Usage).usage
    except msgspec.DecodeError:
        return None
    return usage if isinstance(usage, dict) else None


def added(before: Any, usage: Any, depth: int = 0) -> Any:
    """Return two usages as one: whole numbers at the same path are added up, of all else the last counts."""
    if isinstance(before, dict) and isinstance(usage, dict) and depth < MAX_DEPTH:
        return {**before, **{name: added(before.get(name), value, depth + 1) for name, value in usage.items()}}
    if isinstance(before, int) and isinstance(usage, int) and not isinstance(usage, bool):
        return before + usage
    return before if usage is None else usage
