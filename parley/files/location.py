"""The line and the column of a value inside of a JSON text, for messages that name them.

Nothing here is used before a fault has been found: decoders tell what is wrong with a value, but not where it stands.
"""

import json
import re
from collections.abc import Iterator

Path = tuple[str | int, ...]
"""Names of members and numbers of items, from the outermost value inwards."""
_BLANKS = re.compile(r"[ \t\n\r]*")


def location(text: str, path: Path) -> tuple[int, int]:
    """Return line and column, from 1, of the value at a path; of an object's member those of its name.

    Of a path that leads nowhere, those of the innermost value that exists.
    """
    start = at = _after_blanks(text, 1 if text.startswith("\ufeff") else 0)
    for step in path:
        # Of two members of one name the last one counts, as for the decoder.
        found = [place for key, *place in _members(text, at) if key == step]
        if not found:
            break
        start, at = found[-1]
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _members(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """Yield name or number, start, and start of the value of each member of the object or list at a position."""
    decoder = json.JSONDecoder()
    if text[at] not in "{[":
        return
    is_object, number = text[at] == "{", 0
    at = _after_blanks(text, at + 1)
    while text[at] not in "}]":
        start = at
        key: str | int = number
        if is_object:
            key, at = decoder.raw_decode(text, at)
            at = _after_blanks(text, _after_blanks(text, at) + 1)  # behind the colon
        yield key, start, at
        at = _after_blanks(text, decoder.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _after_blanks(text, at + 1)
        number += 1


def _after_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    assert blanks, "the pattern also matches an empty string"
    return blanks.end()
