"""JSON from strangers: what the standard decoder lets through or chokes on is refused here with a reason.

The standard library's decoder, because its hooks show duplicate keys; msgspec keeps the last silently. Nothing here
takes more than linear time, or walks the value in Python, unless the request is going to be refused.
"""

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from parley.errors import InvalidRequest

MAX_DEPTH = 64
MOST_LOOKED_AT = 100_000
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")


class _NotFinite(ValueError):
    """NaN, an infinity, or a number too large to be anything else."""


def parse(raw: bytes) -> Any:
    """Decode a request's body: UTF-8 (a BOM is fine), no duplicate key, finite numbers, 64 levels at most.

    Raises InvalidRequest with the place (line and column, or the field), never with the body's text.
    """
    value = _decoded(raw)
    if b"\\ud" in raw.lower():
        _refuse_lone_surrogates(value)
    return value


def _decoded(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    except UnicodeDecodeError as exc:
        raise _invalid(f"the body is not UTF-8 (byte {exc.start})") from exc
    except json.JSONDecodeError as exc:
        raise _invalid(f"the body is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    except _NotFinite as exc:
        path = None if _is_deeper_than(raw, MAX_DEPTH) else _path_of_not_finite(json.loads(text))
        raise _invalid(f"{path or 'the body'} is not a finite number", path) from exc
    except ValueError as exc:  # an integer of more digits than Python converts (4300)
        raise _invalid("the body holds a number that is too long") from exc
    if _is_deeper_than(raw, MAX_DEPTH):
        raise _too_deep()
    return value


def _invalid(message: str, param: str | None = None) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_json", param=param)


def _too_deep() -> InvalidRequest:
    return _invalid(f"the body is nested more than {MAX_DEPTH} levels deep")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotFinite
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))[:64]  # type: ignore[func-returns-value]
        raise InvalidRequest(f"the field {twice!r} occurs twice", code="duplicate_key", param=twice)
    return fields


def _is_deeper_than(raw: bytes, depth: int) -> bool:
    """Whether well-formed JSON is nested deeper, by its brackets alone."""
    if raw.count(b"[") + raw.count(b"{") <= depth:
        return False
    import numpy as np  # here, because only a body with many brackets needs it

    brackets = np.frombuffer(_STRING.sub(b"", raw).translate(_ALIKE, _NO_BRACKETS), np.uint8)
    steps = np.where(brackets == ord("["), 1, -1)
    return bool(steps.cumsum().max(initial=0) > depth)


def _path_of_not_finite(value: Any) -> str | None:
    """Where the first number is that JSON does not have; None where it is not among the first things looked at."""
    looked_at = islice(_leaves(value, ""), MOST_LOOKED_AT)
    return next((path or None for path, leaf in looked_at if isinstance(leaf, float) and not math.isfinite(leaf)), None)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name[:64]}".lstrip("."))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _leaves(child, f"{path}[{number}]")
    else:
        yield path, value


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise _invalid("the body holds half of a surrogate pair, which is not a character") from exc
