r"""JSON from upstreams, in which half a surrogate pair is no fault.

An emoji that a model writes in two chunks leaves it as two escapes, `\ud83d` in one and `\ude00` in the next. Every
JavaScript client joins them; strict decoders refuse both. Here such a half is read as Python's own, and written as the
same escape.
"""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

_HALF = re.compile(
    # All that is no half in one step, which never goes back: an event may hold a million escapes.
    rb"(?is)(?:[^\\]++|\\[^u]|\\u(?!d[89a-f])|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})++|\\u(d[89a-f][0-9a-f]{2})"
)
"""Half a pair, whose digits are the group, or a stretch of text without any."""
_MASK = rb"\ufdd0"
_MASKED = re.compile(rb"(?i)(?:\\ufdd0|\xef\xb7\x90)(d[89a-f][0-9a-f]{2})(?:\\ufdd0|\xef\xb7\x90)")
"""Half a pair between two noncharacters, which no text holds: an escape in a value, UTF-8 in a name."""


def decode(payload: bytes) -> Any:
    """Return a value decoded. Raises msgspec.DecodeError, or RecursionError for one that is nested too deep."""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(payload)
    # The standard decoder takes halves, and numbers of any size; everything else has to be as strict as above.
    try:
        return json.loads(payload, parse_constant=_refuse_constant)
    except ValueError as exc:
        raise msgspec.DecodeError(str(exc)) from exc


def fields(payload: bytes) -> dict[str, msgspec.Raw]:
    """Return an object's fields, each as the bytes that came; `encode` writes them again."""
    try:
        return msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        if not holds_half_pair(payload):
            raise
        masked = _HALF.sub(lambda found: _MASK + found[1] + _MASK if found[1] else found[0], payload)
        return msgspec.json.decode(masked, type=dict[str, msgspec.Raw])


def with_choices(payload: bytes, edit: Callable[[list[dict[str, msgspec.Raw]]], object]) -> bytes:
    """Return a chunk or completion whose choices `edit` has changed in place; all else stays as it came, byte for byte.

    A value that `edit` puts in is made by `raw`.
    """
    value = fields(payload)
    choices = msgspec.json.decode(value["choices"], type=list[dict[str, msgspec.Raw]])
    edit(choices)
    value["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    return encode(value)


def raw(value: Any) -> msgspec.Raw:
    """Return a value as the bytes that `encode` writes for it."""
    return msgspec.Raw(encode(value))


def encode(value: Any) -> bytes:
    """Return a value as JSON; half a surrogate pair as its escape. A `msgspec.Raw` is written as it is."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=msgspec.json.decode).encode()
    # The search for a mask is quick, and nearly no value holds one.
    is_masked = _MASK in encoded or b"\xef\xb7\x90" in encoded
    return _MASKED.sub(rb"\\u\1", encoded) if is_masked else encoded


def holds_half_pair(payload: bytes) -> bool:
    """Return true if a string of the JSON text holds an escape of half a surrogate pair."""
    return (b"\\ud" in payload or b"\\uD" in payload) and any(found[1] for found in _HALF.finditer(payload))


def mended(payload: bytes) -> bytes | None:
    """Return an object in strict JSON that only lenient decoders read; None if it is beyond mending.

    NaN and infinities become null, control characters escapes, and bytes that are no UTF-8 become U+FFFD.
    """
    try:
        text = payload.decode("utf-8-sig", "replace")
        value = json.loads(text, strict=False, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        return None
    return encode(value) if isinstance(value, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
