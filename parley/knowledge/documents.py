"""The knowledge folder: its JSON files read into passages, its faults told one by one.

`kb_data/README.md` documents the accepted forms. Nothing here raises for what a file holds: a faulty file or
entry becomes a `Problem`, and the rest loads. How passages are searched lives in `index.py`.
"""

import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.knowledge.sentences import cut


@dataclass(frozen=True)
class Passage:
    """A piece of knowledge, short enough to be shown to a model.

    `id` is unique in a load; `title` may be empty; `file` is the name of its file inside the folder;
    `metadata` is every other key of its entry, as it stands there.
    """

    id: str
    title: str
    text: str
    file: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One fault, with its place. `str()` gives the line to print.

    `file` is the path as reached from the folder that was given; `where` goes straight behind it: `:12:5`
    (line and column), `[3]` (position from 0), `["key"]`, or nothing for the whole file.
    """

    file: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}{self.where}: {self.message}"


@dataclass(frozen=True)
class Loaded:
    """What a folder held: passages in the order of the files, and the faults met."""

    passages: list[Passage]
    problems: list[Problem]


@dataclass(frozen=True)
class _Document:
    id: str
    title: str
    text: str
    metadata: dict[str, Any]


class _Faulty(Exception):
    """A file or an entry can't be used; the message says why, `where` where inside the file."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


_SURROGATE = re.compile("[\ud800-\udfff]")


def load(folder: Path) -> Loaded:
    """Every `*.json` directly in the folder, in the order of the names.

    Never raises for what it finds: a missing folder, an unreadable file, broken JSON or a faulty entry is a
    `Problem`. Hidden files and editors' backups are passed over.
    """
    shelf = _Shelf()
    try:
        paths = sorted(path for path in folder.iterdir() if _is_knowledge(path.name))
    except OSError as exc:
        return Loaded([], [Problem(str(folder), "", f"the folder can't be read: {exc.strerror}")])
    for path in paths:
        shelf.add_file(path)
    return Loaded(shelf.passages, shelf.problems)


def _is_knowledge(name: str) -> bool:
    return name.lower().endswith(".json") and not name.startswith((".", "~", "#"))


class _Shelf:
    """Where the passages of all files come together, so that ids stay unique across them."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self.problems: list[Problem] = []
        self._ids: set[str] = set()
        self._copies: Counter[str] = Counter()

    def add_file(self, path: Path) -> None:
        try:
            value, repeated = _parse(_read(path))
            entries = list(_entries(value, _printable(path.stem)))
        except _Faulty as exc:
            self._report(path, exc.where, str(exc))
            return
        for key in repeated:
            self._report(path, "", f'the key "{key}" is given twice in one object; the last one counts')
        for where, default_id, entry in entries:
            try:
                self._add(_document(entry, default_id), path, where)
            except _Faulty as exc:
                self._report(path, where, str(exc))

    def _report(self, path: Path, where: str, message: str) -> None:
        self.problems.append(Problem(_printable(str(path)), _printable(where), _printable(message)))

    def _add(self, document: _Document, path: Path, where: str) -> None:
        texts = cut(document.text)
        name = self._free_name(document.id, len(texts))
        if name != document.id:
            self._report(path, where, f'the id "{document.id}" is taken already; this one is called "{name}"')
        file = _printable(path.name)
        for id_, text in zip(_passage_ids(name, len(texts)), texts, strict=True):
            self._ids.add(id_)
            self.passages.append(Passage(id_, document.title, text, file, document.metadata))

    def _free_name(self, wanted: str, parts: int) -> str:
        name = wanted
        while not self._ids.isdisjoint([name, *_passage_ids(name, parts)]):
            self._copies[wanted] += 1
            name = f"{wanted}-{self._copies[wanted] + 1}"
        self._ids.add(name)
        return name


def _passage_ids(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}#{number}" for number in range(1, count + 1)]


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _Faulty("is a directory, not a file")
        if not stat.S_ISREG(mode):  # a named pipe would keep us waiting for ever
            raise _Faulty("is not a regular file")
        raw = path.read_bytes()
    except OSError as exc:
        raise _Faulty(f"can't be read: {exc.strerror}") from exc
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Faulty("is UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise _Faulty(f"is not UTF-8 (line {line}); save it as UTF-8") from exc


def _parse(text: str) -> tuple[Any, list[str]]:
    """The value of a JSON text, and the keys that some object in it gives twice."""
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        kept = dict(pairs)
        if len(kept) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            repeated.extend(name for name, count in counted.items() if count > 1)
        return kept

    if not text.strip():
        raise _Faulty("is empty")
    try:
        return json.loads(text, object_pairs_hook=unique), repeated
    except json.JSONDecodeError as exc:
        message = exc.msg[0].lower() + exc.msg[1:].replace("xpecting ", "xpected ", 1)
        message = message.removesuffix(" at").removesuffix(" starting")
        raise _Faulty(message, where=f":{exc.lineno}:{exc.colno}") from exc
    except RecursionError as exc:
        raise _Faulty("is nested too deeply") from exc
    except ValueError as exc:  # Python's limit on the digits of an integer
        raise _Faulty("holds a number with too many digits") from exc


def _entries(value: Any, stem: str) -> Iterator[tuple[str, str, Any]]:
    """Place, id for want of another, and entry, for each entry of a file's value."""
    if isinstance(value, list):
        yield from _listed(value, stem, "")
    elif not isinstance(value, dict):
        raise _Faulty("must hold a list or an object")
    elif isinstance(value.get("documents"), list):
        yield from _listed(value["documents"], stem, ".documents")
    elif _is_one_entry(value):
        yield "", stem, value
    else:
        for key, text in value.items():
            yield f"[{json.dumps(key, ensure_ascii=False)}]", f"{stem}-{key}", {"title": key, "text": text}


def _listed(entries: list[Any], stem: str, prefix: str) -> Iterator[tuple[str, str, Any]]:
    for position, entry in enumerate(entries):
        yield f"{prefix}[{position}]", f"{stem}-{position}", entry


def _is_one_entry(value: dict[str, Any]) -> bool:
    return {"title", "text"} <= value.keys() or {"id", "text"} <= value.keys() or {"question", "answer"} <= value.keys()


def _document(entry: Any, default_id: str) -> _Document:
    if not isinstance(entry, dict):
        raise _Faulty("the entry is not an object")
    for key, value in entry.items():
        _check_storable(key, value)
    asks = "text" not in entry and ("question" in entry or "answer" in entry)
    title_key, text_key = ("question", "answer") if asks else ("title", "text")
    return _Document(
        id=_id(entry) or default_id,
        title=_string(entry, title_key, required=asks),
        text=_string(entry, text_key, required=True),
        metadata={key: value for key, value in entry.items() if key not in ("id", title_key, text_key)},
    )


def _id(entry: dict[str, Any]) -> str:
    if isinstance(entry.get("id"), int) and not isinstance(entry["id"], bool):
        return str(entry["id"])
    return _string(entry, "id", required=False)


def _string(entry: dict[str, Any], key: str, *, required: bool) -> str:
    value = entry.get(key)
    if value is None and not required:
        return ""
    if key not in entry:
        raise _Faulty(f'"{key}" is missing')
    if not isinstance(value, str):
        raise _Faulty(f"the {key} must be a string")
    if required and not value.strip():
        raise _Faulty(f"the {key} is empty")
    return value.strip()


def _check_storable(key: str, value: Any) -> None:
    """Refuse what can't be written as JSON in UTF-8 again: NaN, infinities, half a surrogate pair."""
    found = [key, value]
    while found:
        item = found.pop()
        if isinstance(item, dict):
            found.extend([*item.keys(), *item.values()])
        elif isinstance(item, list):
            found.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise _Faulty(f'"{key}" is not a finite number')
        elif isinstance(item, str) and _SURROGATE.search(item):
            raise _Faulty(f'"{key}" holds half of a surrogate pair')


def _printable(text: str) -> str:
    """The same text; half surrogate pairs (a file name that is not UTF-8 brings them too) written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
