"""The entries of a knowledge file: objects become documents, each with a title, a text and metadata.

Only a missing text costs an entry. A side field that can't be used costs itself, and is reported. Finding the entries
of a file lives in `shapes.py`, splitting a document into passages in `documents.py`.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from parley.files.json_file import InvalidFile
from parley.knowledge.field_names import fold
from parley.knowledge.shapes import fields_with_content

MAX_NESTED_TEXT = 8
"""Levels of lists and objects below which no text is looked for."""
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?")
STRETCH_FIELDS = frozenset({"plain_text", "marks", "userDefined", "entityType"})
"""Keys by which a list is a line of rich text: Notion, Contentful, Sanity, and the training phrases of Dialogflow."""
TYPED_VALUES = frozenset({"S", "N", "stringValue", "integerValue", "doubleValue", "$t", "#text", "_text", "@value"})
"""Names of a value by its type, alone in their object: DynamoDB, Firestore, XML turned into JSON, JSON-LD."""
_HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """An entry's text before it is split. `title` may be empty; `metadata` holds every other key of the entry.

    `notes` are sentences on side fields that could not be kept.
    """

    id: str
    title: str
    text: str
    metadata: dict[str, Any]
    notes: tuple[str, ...] = ()


class Draft(Exception):
    """An entry is not meant to be published yet; the message says by which field."""


def document_of(entry: Any, default_id: str, breathe: Callable[[], None]) -> Document:
    """Return an entry as a document. Raises InvalidFile if it has no text, and Draft if it is unpublished."""
    if not isinstance(entry, dict):
        raise InvalidFile('the entry is not an object; write {"text": "..."}')
    # First: a draft may have no text yet.
    refuse_drafts(entry)
    keys, fields = fields_with_content(entry)
    text = joined((entry[keys[at]] for at in fields.texts), "\n")
    if not text:
        raise InvalidFile(why_no_text(entry, keys, [keys[at] for at in fields.texts]))
    # Of several questions each is in the title, so none of them is metadata as well.
    used = {keys[at] for at in (*fields.titles, *fields.texts)}
    notes: list[str] = []
    metadata = {
        storable(key): side_value(value, storable(key), notes, breathe)
        for key, value in entry.items()
        if key not in used and fold(key) != "id"
    }
    return Document(
        id=next((id_ for key in entry if fold(key) == "id" and (id_ := id_of(entry[key]))), default_id),
        title=joined((entry[keys[at]] for at in fields.titles), " / "),
        text=text,
        metadata=metadata,
        notes=tuple(notes),
    )


def why_no_text(entry: dict[str, Any], keys: list[str], text_keys: list[str]) -> str:
    """Return the fault of an entry without a text, with the way to mend it."""
    if text_keys:
        return f'the value of "{text_keys[0]}" must be a text'
    empty = [key for key in entry if key not in keys and fold(key) in ("text", "answer", "content", "body")]
    if empty:
        return f"the {empty[0]} is empty"
    found = ", ".join(f'"{key}"' for key in [*entry][:8]) or "no keys"
    wanted = "answer" if "question" in entry else "text"
    return f'"{wanted}" is missing; the entry has {found}: call the one with the text "{wanted}"'


def refuse_drafts(entry: dict[str, Any]) -> None:
    """Raise Draft for an entry that its tool does not publish: its words are not meant for callers."""
    # Freshdesk writes 1 for a draft and 2 for a published article.
    freshdesk = "description_text" in entry and entry.get("status") == 1
    unpublished = [key for key in ("published", "is_published", "enabled") if entry.get(key) in (False, "false", "no")]
    draft = [key for key in ("draft", "is_draft") if entry.get(key) in (True, "true", "yes")]
    # SQuAD: a question that the text does not answer.
    draft += [key for key in ("is_impossible",) if entry.get(key) is True]
    draft += [key for key in ("status", "state") if str(entry.get(key)).lower() in ("draft", "unpublished", "archived")]
    if freshdesk or unpublished or draft:
        raise Draft(f'"{[*unpublished, *draft, "status"][0]}" says that it is not published: it is left out')


def id_of(value: Any) -> str:
    """Return an id, or an empty string for a value that is none."""
    # By its exact type: a boolean is an integer in Python, and no id.
    if type(value) is float and value.is_integer():
        value = int(value)
    return storable(str(value).strip()) if type(value) in (int, float, str) and value == value else ""


def joined(values: Iterable[Any], separator: str) -> str:
    """Return the texts of values, each different one once."""
    return separator.join(dict.fromkeys(text for value in values if (text := text_of(value, separator))))


def text_of(value: Any, separator: str = "\n", depth: int = 0) -> str:
    """Return the text that a value holds, or an empty string.

    A number is a text, and so is a list of texts, an object that has one (`{"text": ...}`, `{"en": ...}`), or one of
    plain values (`{"Monday": "9 to 5"}`).
    """
    if isinstance(value, str):
        return storable(value).strip()
    if isinstance(value, int | float):
        return text_of_number(value)
    if depth >= MAX_NESTED_TEXT or not value:
        return ""
    if isinstance(value, list):
        if line := line_of_stretches(value, separator, depth):
            return line
        parts = (text_of(member, separator, depth + 1) for member in value)
        return separator.join(dict.fromkeys(part for part in parts if part))
    return text_of_object(value, separator, depth)


def text_of_object(value: dict[str, Any], separator: str, depth: int) -> str:
    """Return the text that an object holds, or an empty string."""
    keys, fields = fields_with_content(value)
    # "a" is an answer beside a "q"; in a value it may be anything.
    if fields.texts and len(keys[fields.texts[0]]) > 1:
        return text_of([value[keys[at]] for at in fields.texts], separator, depth + 1)
    # `{"en": ..., "de": ...}`, but not `{"Mon": ..., "Tue": ...}`.
    is_translated = all(_LOCALE.fullmatch(key) for key in value) and not all(len(key) == 3 for key in value)
    if is_translated or (len(value) == 1 and not TYPED_VALUES.isdisjoint(value)):
        return text_of([*value.values()], separator, depth + 1)
    if any(isinstance(inner, dict | list) for inner in value.values()):
        # Notion names a value by its type: `{"type": "title", "title": [...]}`.
        kind = value.get("type")
        return text_of(value[kind], separator, depth + 1) if kind in [*value] else text_below(value, separator, depth)
    return separator.join(f"{key}: {text_of(inner)}" for key, inner in value.items() if text_of(inner))


def text_below(value: Any, separator: str, depth: int) -> str:
    """Return the texts that stand deeper in a value under the names of texts: `{"storage": {"value": ...}}`."""
    if depth >= MAX_NESTED_TEXT or not isinstance(value, dict | list):
        return ""
    if isinstance(value, list):
        if line := line_of_stretches(value, separator, depth):
            return line
    elif fields_with_content(value)[1].texts:
        return text_of(value, separator, depth + 1)
    members = value.values() if isinstance(value, dict) else value
    return separator.join(dict.fromkeys(text for one in members if (text := text_below(one, separator, depth + 1))))


def line_of_stretches(members: list[Any], separator: str, depth: int) -> str:
    """Return the text of a list of stretches of rich text, which may be cut within a word; nothing for another list."""
    objects = [member for member in members if isinstance(member, dict)]
    if len(objects) < len(members) or all(STRETCH_FIELDS.isdisjoint(member) for member in objects):
        return ""
    texts = [
        next((text for key in ("plain_text", "text", "value") if isinstance(text := member.get(key), str)), None)
        for member in objects
    ]
    # A link has its text one level down; a line break has none.
    return "".join(
        (text_below([*member.values()], separator, depth + 1) or "\n") if text is None else storable(text)
        for member, text in zip(objects, texts, strict=True)
    ).strip()


def text_of_number(value: float | bool) -> str:
    """Return a number, true or false as JSON writes it, a whole number without a fraction; nothing for NaN."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return str(int(value) if value == int(value) else value)


def storable(text: str) -> str:
    """Return a text without halves of surrogate pairs, which UTF-8 can't express."""
    return text if text.isascii() else _HALF_PAIR.sub("", text)


def side_value(value: Any, key: str, notes: list[str], breathe: Callable[[], None]) -> Any:
    """Return a value of the metadata if JSON in UTF-8 can express it, or else None and a note."""
    # A list instead of recursion: metadata may be nested as deeply as the parser allows.
    unchecked = [value]
    while unchecked:
        breathe()
        item = unchecked.pop()
        if isinstance(item, dict):
            unchecked.extend([*item.keys(), *item.values()])
        elif isinstance(item, list):
            unchecked.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            notes.append(f'"{key}" is not a finite number; it is left out')
            return None
        elif isinstance(item, str) and not item.isascii() and _HALF_PAIR.search(item):
            notes.append(f'"{key}" holds half of a surrogate pair; it is left out')
            return None
    return value
