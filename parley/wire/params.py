"""Fields that the operator adds to a request: where it leaves them out (`params`), or over it (`force`)."""

from collections.abc import Mapping
from typing import Any

ONE_OF = (frozenset({"max_tokens", "max_completion_tokens"}),)
"""Fields of a request that exclude each other."""
RESERVED = frozenset({"messages", "model", "stream"})
"""Fields of a request that have another setting, or are the caller's alone."""


def filled(fields: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with those of `params` that they leave out; of a pair one is enough."""
    filled = dict(fields)
    for name, value in params.items():
        if name not in filled and not any(name in pair and pair & filled.keys() for pair in ONE_OF):
            filled[name] = value
    return filled


def forced(fields: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with all of `params` over them; the other one of a pair is left out."""
    excluded = {name for pair in ONE_OF if pair & params.keys() for name in pair}
    return {**{name: value for name, value in fields.items() if name not in excluded}, **params}
