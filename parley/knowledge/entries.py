"""The entries of a knowledge file: the forms that its JSON value may have, and the documents that entries become.

Splitting a document into passages, and reporting faults, lives in `documents.py`.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from parley.knowledge.json_file import InvalidKnowledge

_ENTRY_KEYS = ({"title", "text"}, {"id", "text"}, {"question", "answer"})
"""Keys by which an object is one entry: with all of a set, the file is no mapping of titles to texts."""


@dataclass(frozen=True)
class Document:
    """An entry's text before it is split. `title` may be empty; `metadata` holds every other key of the entry."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]


def entries_of(value: list[Any] | dict[str, Any], stem: str) -> Iterator[tuple[str, str, Any]]:
    """Yield each entry of a file's value with its location and with the id that it has if it names none.

    [entry, ...]                    a list of entries
    {"documents": [entry, ...]}     the same list, beside other keys
    {"title": ..., "text": ...}     one entry
    {title: text, ...}              a mapping, each member an entry
    """
    prefix = ""
    if isinstance(value, dict) and isinstance(value.get("documents"), list):
        value, prefix = value["documents"], ".documents"
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield f"{prefix}[{index}]", f"{stem}-{index}", entry
    elif any(keys <= value.keys() for keys in _ENTRY_KEYS):
        yield "", stem, value
    else:
        for key, text in value.items():
            yield f"[{json.dumps(key, ensure_ascii=False)}]", f"{stem}-{key}", {"title": key, "text": text}


def document_of(entry: Any, default_id: str, breathe: Callable[[], None]) -> Document:
    """Return an entry as a document, whichever of the two kinds it has. Raises InvalidKnowledge."""
    if not isinstance(entry, dict):
        raise InvalidKnowledge("the entry is not an object")
    for key, value in entry.items():
        _check_storable(key, value, breathe)
    is_question = "text" not in entry and ("question" in entry or "answer" in entry)
    title_key, text_key = ("question", "answer") if is_question else ("title", "text")
    # By its exact type: a boolean is an integer in Python, and no id.
    id_ = str(entry["id"]) if type(entry.get("id")) is int else _string(entry, "id", required=False)
    return Document(
        id=id_ or default_id,
        title=_string(entry, title_key, required=is_question),
        text=_string(entry, text_key, required=True),
        metadata={key: value for key, value in entry.items() if key not in ("id", title_key, text_key)},
    )


def _string(entry: dict[str, Any], key: str, *, required: bool) -> str:
    """Return the string of a key without outer blanks, or "" for an optional one. Raises InvalidKnowledge."""
    value = entry.get(key)
    if value is None and not required:
        return ""
    if key not in entry:
        raise InvalidKnowledge(f'"{key}" is missing')
    if not isinstance(value, str):
        raise InvalidKnowledge(f"the {key} must be a string")
    if required and not value.strip():
        raise InvalidKnowledge(f"the {key} is empty")
    return value.strip()


def _check_storable(key: str, value: Any, breathe: Callable[[], None]) -> None:
    """Raise InvalidKnowledge for a value that JSON in UTF-8 can't express: NaN, infinity, half a surrogate pair."""
    # A list instead of recursion: metadata may be nested as deeply as the parser allows.
    unchecked = [key, value]
    while unchecked:
        breathe()
        item = unchecked.pop()
        if isinstance(item, dict):
            unchecked.extend([*item.keys(), *item.values()])
        elif isinstance(item, list):
            unchecked.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise InvalidKnowledge(f'"{key}" is not a finite number')
        elif isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                raise InvalidKnowledge(f'"{key}" holds half of a surrogate pair') from None
