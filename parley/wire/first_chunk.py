"""Metadata in front of an answer's first chunk, for platforms that obey it: Agora's `interruptable` and `tts_params`.

    open      fields are given by the request and by tools; of equal ones the latest wins
    closed    the first chunk has left, behind an event with the fields if there were any; or the turn has ended

The event is the first of its stream and leaves in one write with the chunk, whose id, created and model it bears. Alone
it never leaves: it would fix the status of an answer that may still fail.
Source: https://docs.agora.io/en/conversational-ai/develop/custom-llm
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from parley.wire import upstream_json

MAX_BYTES = 4096
"""Limit on the fields that are given at once, in bytes of compact JSON."""


class FirstChunkMetadata:
    """The metadata of one answer. Fields are encoded when they are given: no later change of a value counts."""

    def __init__(self, *given: Mapping[str, Any]) -> None:
        """Raises ValueError as `add`."""
        self._fields: dict[str, msgspec.Raw] | None = {}
        for fields in given:
            self.add(fields)

    def add(self, fields: Mapping[str, Any]) -> bool:
        """Put fields over those that were given before; return false if it is too late.

        May be called from any thread. Raises ValueError for fields that `fault_of` finds fault with.
        """
        if fault := fault_of(fields):
            raise ValueError(f"first_chunk {fault}")
        kept = self._fields
        if kept is None:
            return False
        kept.update({name: msgspec.Raw(upstream_json.encode(value)) for name, value in fields.items()})
        # Asked again, because the chunk may have left while another thread was here.
        return self._fields is not None

    def take(self) -> Mapping[str, Any]:
        """Return the fields, for the chunk that leaves now; behind it everything is too late."""
        fields, self._fields = self._fields, None
        return fields or {}

    def close(self) -> None:
        """Take no more fields."""
        self._fields = None


def fault_of(fields: Any) -> str | None:
    """Return why fields can't be metadata, in words that follow their name; None if they can."""
    if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
        return "must be an object"
    if "interruptable" in fields and not isinstance(fields["interruptable"], bool):
        return "must be an object whose interruptable is true or false"
    speech = fields.get("tts_params", {})
    if not isinstance(speech, Mapping) or not isinstance(speech.get("params", {}), Mapping):
        return "must be an object whose tts_params, and their params, are objects"
    try:
        size = len(upstream_json.encode(dict(fields)))
    except (TypeError, ValueError, RecursionError):
        # The values of a tool's own may be of any type.
        return "must be an object of JSON values"
    return None if size <= MAX_BYTES else f"must be an object of at most {MAX_BYTES} bytes"
