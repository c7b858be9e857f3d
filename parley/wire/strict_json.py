"""JSON from strangers: what the standard decoder lets through or chokes on is refused here with a reason.

The standard library's decoder, because its hooks show duplicate keys; msgspec keeps the last silently.
"""

import json
import math
from typing import Any

from parley.errors import InvalidRequest

MAX_DEPTH = 64


def parse(raw: bytes) -> Any:
    """Decode a request's body: UTF-8 (a BOM is fine), no duplicate key, finite numbers, 64 levels at most.

    Raises InvalidRequest with the place (line and column, or the field), never with the body's text.
    """
    try:
        value = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as exc:
        raise _invalid(f"the body is not UTF-8 (byte {exc.start})") from exc
    except json.JSONDecodeError as exc:
        raise _invalid(f"the body is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})") from exc
    except RecursionError as exc:
        raise _invalid(f"the body is nested more than {MAX_DEPTH} levels deep") from exc
    except ValueError as exc:  # an integer of more digits than Python converts (4300)
        raise _invalid("the body holds a number that is too long") from exc
    _check(value)
    if b"\\ud" in raw.lower():
        _refuse_lone_surrogates(value)
    return value


def _invalid(message: str, param: str | None = None) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_json", param=param)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:64]
        raise InvalidRequest(f"the field {twice!r} occurs twice", code="duplicate_key", param=twice)
    return fields


def _check(value: Any) -> None:
    """Walk the value, without recursion, for its depth and for numbers that JSON does not have."""
    waiting: list[tuple[Any, int, str]] = [(value, 0, "")]
    while waiting:
        item, depth, path = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise _invalid(f"{path or 'the body'} is not a finite number", path or None)
        if not isinstance(item, dict | list):
            continue
        if depth == MAX_DEPTH:
            raise _invalid(f"the body is nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, dict):
            waiting += [(child, depth + 1, f"{path}.{name[:64]}".lstrip(".")) for name, child in item.items()]
        else:
            waiting += [(child, depth + 1, f"{path}[{number}]") for number, child in enumerate(item)]


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise _invalid("the body holds half of a surrogate pair, which is not a character") from exc
