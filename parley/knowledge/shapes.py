"""The shapes of a knowledge file: where in its JSON value the entries are.

    [entry, ...]                               a list of entries
    {"faqs": [entry, ...], "version": 1}       lists one level down, or deeper, beside fields of the file's own
    {"categories": [{"faqs": [...]}, ...]}     lists below their categories
    {"title": ..., "text": ...}                one entry
    {"parking": {"text": ...}, ...}            entries by key
    {title: text, ...}                         a mapping, each member an entry
    {"question": [...], "answer": [...]}       columns
    [["question", "answer"], [q, a], ...]      rows, or pairs

How one entry is read lives in `entries.py`, the names of fields in `field_names.py`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from parley.files.json_file import InvalidFile
from parley.knowledge.field_names import Fields, fields_of, fold

MAX_DEPTH = 12
"""Levels of lists and objects below which no entries are looked for."""
MAX_FIELDS = 100
"""Fields of an object above which it is no entry but a mapping."""
LOOKED_AT = 1000
"""Members of a list of which at least one must be an entry."""
WRAPPERS = tuple(
    """
    properties fields attributes node _source payload record article item document values data metadata row translation
    Item __data__
    """.split()  # noqa: SIM905 - a column of quoted names is harder to read
)
"""Keys under which other tools keep an entry's own fields, beside its id."""
DIALOGUES = ("messages", "conversations")
"""Keys of a conversation in turns, as models are trained with."""
ASKS, REPLIES = {"user", "human", "customer"}, {"assistant", "gpt", "bot", "agent", "model"}
"""Roles of those who ask, and of those who reply, in the turns of a conversation."""
ONE_ENTRY = ({"title", "text"}, {"id", "text"}, {"question", "answer"})
"""Keys by which a whole file is one entry, whatever else it holds."""
FILE_FIELDS = frozenset(
    {"version", "schema", "type", "lang", "language", "locale", "count", "total", "page", "created", "updated"}
)
"""Keys of a mapping that describe the file, if their values are no sentences."""
LONGEST_FILE_FIELD = max(map(len, FILE_FIELDS))
PROSE_WORDS = 4
"""Words from which on a text beside the entries is more than a field of the file."""

Entries = Iterator[tuple[str, str, Any]]
Entry = Mapping[str, Any]
_PATH_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Finder:
    """Finds the entries of one file, whose ids begin with `stem` if they name none.

    `note` is called with a sentence for each text that stands beside the entries and is not read, `breathe` at each
    step.
    """

    def __init__(
        self, stem: str, note: Callable[[str], None] = lambda _: None, breathe: Callable[[], None] = lambda: None
    ) -> None:
        self._stem = stem
        self._note = note
        self._breathe = breathe

    def entries(self, value: list[Any] | dict[str, Any]) -> Entries:
        """Yield each entry of a file's value with its location and its default id. Raises InvalidFile."""
        refuse_other_files(value)
        if isinstance(value, list):
            yield from self._of_list(value, "", self._stem, 0)
        elif responses := rasa_responses(value):
            yield from (
                (f".responses[{json.dumps(name)}]", f"{self._stem}-{name}", responses[name]) for name in responses
            )
        else:
            yield from self._of_file(value)

    def _of_file(self, value: dict[str, Any]) -> Entries:
        """Yield the entries of a file's object."""
        # Before all else: columns of questions and answers look like one question with several answers.
        columns = rows_of_columns(value)
        if columns is not None:
            yield from self._of_list(columns, "", self._stem, 0)
            return
        if is_question(value) and not fields_with_content(value)[1].texts:
            # One entry in a wrapper.
            value = unwrapped(value)
        asked = is_question(value)
        nested = self._nested(value, 0, whole=asked)
        # Entries by key are members of a mapping, and the texts beside them as well; lists make the rest side fields.
        lists = [key for key, inner in nested.items() if not self._is_keyed_entry(inner)]
        # A whole file is one entry only by certain names: `{"name": ..., "description": ...}` is a mapping of two.
        if any(keys <= value.keys() for keys in ONE_ENTRY) or (not nested and asked):
            lists = lists if "answer" not in value else []
            yield "", self._stem, {key: inner for key, inner in value.items() if key not in lists}
        elif lists:
            self._note_texts_beside(value, lists)
        else:
            yield from self._of_mapping(value)
        for key in lists:
            prefix = self._stem if len(lists) == 1 else f"{self._stem}-{key}"
            yield from self._below(value[key], path_to("", key), key, prefix, 0)

    def _is_keyed_entry(self, inner: Any) -> bool:
        self._breathe()
        return is_entry(inner)

    def _note_texts_beside(self, value: dict[str, Any], lists: list[str]) -> None:
        """Note each text that stands beside the lists of a file and is more than a field of it."""
        for key, inner in value.items():
            if key not in lists and is_prose(inner):
                self._note(f'the text under "{key}" stands beside the list of entries and is not read')

    def _of_mapping(self, value: dict[str, Any]) -> Entries:
        """Yield each member of a mapping as an entry, its key as the title unless it has one of its own."""
        for key, inner in value.items():
            # Short ones alone are folded: a mapping may have a hundred thousand titles.
            describes_file = key.startswith(("@", "$")) or (len(key) <= LONGEST_FILE_FIELD and fold(key) in FILE_FIELDS)
            if inner in ([], {}) or (describes_file and not is_prose(inner)):
                continue
            entry = {"title": key, "text": outline(inner)}
            if is_entry(inner):
                inner = unwrapped(inner)
                entry = inner if fields_with_content(inner)[1].titles else {"title": key, **inner}
            yield f"[{json.dumps(key, ensure_ascii=False)}]", f"{self._stem}-{key}", entry

    def _of_list(self, members: Iterable[Any], where: str, prefix: str, depth: int, category: str = "") -> Entries:
        """Yield the entries of a list, each member one, or an object with lists of them."""
        head = members[0] if isinstance(members, list) and members else None
        if (
            isinstance(members, list)
            and isinstance(head, list)
            and head
            and all(isinstance(cell, str) for cell in head)
        ):
            members = entries_of_rows(members)
        for index, member in enumerate(members):
            # An entry a step: a list may have a million of them.
            self._breathe()
            here, id_ = f"{where}[{index}]", f"{prefix}-{index}"
            member = unwrapped(member) if isinstance(member, dict) else member
            if isinstance(member, list) and depth < MAX_DEPTH:
                yield from self._of_list(member, here, id_, depth + 1, category)
                continue
            # Whole ones only: the comments, tags and authors of an article are no entries.
            nested = self._nested(member, depth + 1, whole=True) if may_hold_lists(member) else {}
            below = {key: inner for key, inner in nested.items() if isinstance(inner, list) or not is_entry(inner)}
            if isinstance(member, dict) and "@type" in member and not below and not is_entry(member):
                # schema.org: a website or a company beside its questions.
                continue
            if not below or is_entry({key: inner for key, inner in member.items() if key not in below}):
                own = {key: inner for key, inner in member.items() if key not in below} if below else member
                yield here, id_, in_category(own, category)
            if below:
                title = title_of(member) or category
                for key, inner in below.items():
                    below_id = id_ if len(below) == 1 else f"{id_}-{key}"
                    yield from self._below(inner, path_to(here, key), key, below_id, depth + 1, title)

    def _below(self, inner: Any, where: str, key: str, prefix: str, depth: int, category: str = "") -> Entries:
        """Yield the entries of a list or an object that is known to hold some."""
        if isinstance(inner, list):
            yield from self._of_list(inner, where, prefix, depth, category)
        elif is_entry(inner):
            entry = unwrapped(inner)
            entry = entry if fields_with_content(entry)[1].titles else {"title": key, **entry}
            yield where, prefix, in_category(entry, category)
        else:
            title, nested = title_of(inner) or category, self._nested(inner, depth + 1)
            for name, value in nested.items():
                below_id = prefix if len(nested) == 1 else f"{prefix}-{name}"
                yield from self._below(value, path_to(where, name), name, below_id, depth + 1, title)

    def _nested(self, value: Any, depth: int, *, whole: bool = False) -> dict[str, Any]:
        """Return the members of an object that hold entries; with `whole`, only such as have a title and a text."""
        found: dict[str, Any] = {}
        for key, inner in value.items() if isinstance(value, dict) and depth < MAX_DEPTH else ():
            self._breathe()
            if isinstance(inner, list):
                holds = any(self._holds(member, depth + 1, whole=whole) for member in islice(inner, LOOKED_AT))
            else:
                holds = isinstance(inner, dict) and self._holds(inner, depth + 1, whole=whole or depth > 0)
            if holds:
                found[key] = inner
        return found

    def _holds(self, member: Any, depth: int, *, whole: bool) -> bool:
        """Return true if a member is an entry, or an object with lists of entries."""
        self._breathe()
        if isinstance(member, list):
            # A pair or a row; further down, lists of strings are tags and the like.
            return depth < 3 and len(member) > 1 and all(isinstance(cell, str) for cell in member)
        if not isinstance(member, dict):
            return False
        member = unwrapped(member)
        fields = fields_with_content(member)[1]
        has_id = any(key in member for key in ("id", "_id", "id_", "uuid"))
        if fields.texts and (fields.titles or not whole or (has_id and not fields.is_weak)):
            return True
        return bool(self._nested(member, depth + 1, whole=True))


def unwrapped(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry whose fields stand one level down, or which is a conversation, with its fields at the top."""
    fields = fields_with_content(entry)[1]
    if entry.get("@type") == "Question" and "text" in entry and {"acceptedAnswer", "suggestedAnswer"} & entry.keys():
        # schema.org: the text of a question is the question at length.
        rest = {name: value for name, value in entry.items() if name not in ("name", "text")}
        return {"question": [entry.get("name"), entry["text"]], **rest}
    inside = [key for key in WRAPPERS if isinstance(entry.get(key), dict)]
    if fields.texts and not fields.is_weak and (fields.titles or not any(is_question(entry[key]) for key in inside)):
        return entry
    # Before the wrappers: "messages" may as well be the name of a text.
    for key in DIALOGUES:
        turns = entry.get(key)
        if isinstance(turns, list) and turns and all(isinstance(turn, dict) for turn in turns):
            said = [(turn.get("role") or turn.get("from"), turn.get("content") or turn.get("value")) for turn in turns]
            asked, replied = ([text for who, text in said if who in side] for side in (ASKS, REPLIES))
            if asked and replied:
                return {**{name: value for name, value in entry.items() if name != key}, "q": asked, "a": replied}
    for key in inside:
        if fields_with_content(entry[key])[1].texts:
            return {**{name: value for name, value in entry.items() if name != key}, **entry[key]}
    return entry


def fields_with_content(entry: Entry) -> tuple[list[str], Fields]:
    """Return the keys of an entry that hold anything, and which of them are its title and its text."""
    # Comparing the names of a large mapping, which is no entry, would be one long step.
    if len(entry) > MAX_FIELDS:
        return [], Fields()
    keys = [key for key, value in entry.items() if not is_empty(value)]
    return keys, fields_of(tuple(keys))


def outline(value: Any, depth: int = 0) -> Any:
    """Return a member of a mapping as text, if it is a list or an object of such: `name: Basic; price: 29`."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    is_nested = any(isinstance(member, dict | list) for member in members)
    if not members or depth >= MAX_DEPTH or not (is_nested or depth):
        return value
    if isinstance(value, list):
        return ("\n" if is_nested else ", ").join(str(outline(member, depth + 1)) for member in members)
    lines = (f"{key}: {outline(inner, depth + 1)}" for key, inner in value.items() if not is_empty(inner))
    return ("; " if depth else "\n").join(lines)


def is_empty(value: Any) -> bool:
    """Return true for a value that holds nothing; 0 and false are something."""
    return value is None or (not value.strip() if isinstance(value, str) else value in ([], {}))


def is_entry(value: Any) -> bool:
    """Return true for an object that has a text of its own."""
    return isinstance(value, dict) and bool(fields_with_content(unwrapped(value))[1].texts)


def is_question(value: dict[str, Any]) -> bool:
    """Return true for an object that is a question, or something with a title, and its answer."""
    fields = fields_with_content(unwrapped(value))[1]
    return fields.is_answer and bool(fields.titles)


def may_hold_lists(member: Any) -> bool:
    """Return true for an object that may be a category. An answer or an article has its own lists as side fields."""
    if not isinstance(member, dict):
        return False
    fields = fields_with_content(member)[1]
    return not fields.texts or fields.is_weak or not fields.titles


def in_category(entry: Any, category: str) -> Any:
    """Return an entry with the title of the object above it, which is its own title if it has none."""
    if not category or not isinstance(entry, dict):
        return entry
    name = "category" if fields_with_content(entry)[1].titles else "title"
    return {name: category, **entry}


def title_of(value: Entry) -> str:
    """Return the title of an object that holds lists, if it is a string."""
    keys, fields = fields_with_content(value)
    titles = [value[keys[at]] for at in fields.titles if isinstance(value[keys[at]], str)]
    return titles[0] if titles else ""


def rows_of_columns(value: dict[str, Any]) -> Iterator[dict[str, Any]] | None:
    """Return the rows of an object that holds columns, each a list or an object by row; None for another object."""
    if len(value) > MAX_FIELDS:
        return None
    if isinstance(value.get("ids"), list) and isinstance(value.get("documents"), list):
        # Chroma.
        value = {"title": value["ids"], "text": value["documents"], "metadata": value.get("metadatas")}
    # pandas writes a column as an object, by the numbers of the rows.
    columns = {
        key: list(inner.values()) if isinstance(inner, dict) else inner
        for key, inner in value.items()
        if isinstance(inner, list | dict)
    }
    fields = fields_of(tuple(columns))
    used = [list(columns.values())[at] for at in (*fields.titles, *fields.texts)] if fields.titles else []
    if not fields.texts or len({len(column) for column in used}) != 1:
        return None
    if any(isinstance(cell, dict) for column in used for cell in islice(column, LOOKED_AT)) or len(used[0]) < 2:
        return None
    whole = {key: column for key, column in columns.items() if len(column) == len(used[0])}
    return ({key: column[at] for key, column in whole.items()} for at in range(len(used[0])))


def entries_of_rows(members: list[Any]) -> Iterator[Any]:
    """Yield a list of rows as entries: by the names in its first row, or else as a question and its answers."""
    fields = fields_of(tuple(members[0]))
    has_names = bool(fields.titles and fields.texts)
    for row in islice(members, int(has_names), None):
        if has_names and isinstance(row, list):
            yield dict(zip(members[0], row, strict=False))
        else:
            yield {"question": row[0], "answer": row[1:]} if isinstance(row, list) and len(row) > 1 else row


def rasa_responses(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of a Rasa file: what the bot utters, asked by the examples of the intent of that name."""
    responses = value.get("responses")
    if not isinstance(responses, dict) or not any(str(name).startswith("utter_") for name in responses):
        return {}
    # The examples may stand in another file: then the intent's name is the question.
    training = value.get("nlu")
    examples = {
        f"utter_{intent.get('intent')}": [line.strip(" -") for line in str(intent.get("examples") or "").splitlines()]
        for intent in (training if isinstance(training, list) else ())
        if isinstance(intent, dict)
    }
    return {
        name: {"question": examples.get(name) or fold(name.removeprefix("utter_")), "answer": said}
        for name, said in responses.items()
    }


def refuse_other_files(value: list[Any] | dict[str, Any]) -> None:
    """Raise InvalidFile for a file that belongs to another tool and holds no answers."""
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and {"data", "isTemplate"} <= value[0].keys():
            raise InvalidFile(
                "holds the training phrases of a Dialogflow intent and no answers; take the file of the intent itself"
            )
        return
    if "rasa_nlu_data" in value:
        raise InvalidFile("holds questions to train with and no answers; import the bot's responses (domain.yml)")
    if "$schema" in value and {"definitions", "$defs", "properties", "items"} & value.keys():
        raise InvalidFile("is a JSON schema, the description of a file, and holds no texts; take the file itself")


def is_prose(value: Any) -> bool:
    """Return true for a text of some words, or a list of such."""
    if isinstance(value, list):
        return any(isinstance(member, str) and is_prose(member) for member in islice(value, LOOKED_AT))
    return isinstance(value, str) and len(value.split()) >= PROSE_WORDS


def path_to(where: str, key: str) -> str:
    """Return the location of a member."""
    return f"{where}.{key}" if _PATH_KEY.fullmatch(key) else f"{where}[{json.dumps(key, ensure_ascii=False)}]"
