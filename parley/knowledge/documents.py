"""The knowledge folder: its JSON files read into passages, its faults told one by one.

`kb_data/README.md` documents the accepted forms. Nothing here raises for what a file holds: a faulty file or
entry becomes a `Problem`, and the rest loads. How passages are searched lives in `index.py`.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from parley.knowledge.chunking import blocks, cut
from parley.knowledge.cleaning import clean
from parley.knowledge.json_file import Faulty, parse, read

MAX_PASSAGES = 100_000
MAX_PROBLEMS_A_FILE = 100
"""So many are told one by one; of the others only the number is."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of knowledge, short enough to be shown to a model.

    `id` is unique in a load; `title` may be empty; `file` is the name of its file inside the folder;
    `metadata` is every other key of its entry, as it stands there. Where its document was cut, `parts` are the
    texts of all the document's passages and `part` is this one's index among them, from 0.
    """

    id: str
    title: str
    text: str
    file: str
    metadata: dict[str, Any]
    part: int = 0
    parts: tuple[str, ...] = ()

    @property
    def document(self) -> str:
        """The id of the document that it is, or is a part of."""
        return self.id.removesuffix(f"#{self.part + 1}") if self.parts else self.id


@dataclass(frozen=True)
class Problem:
    """One fault, with its location. `str()` gives the line to print.

    `file` is the path as reached from the folder that was given; `where` goes straight behind it: `:12:5`
    (line and column), `[3]` (position from 0), `["key"]`, or nothing for the whole file. `lost` is what the
    fault keeps out of the knowledge.
    """

    file: str
    where: str
    message: str
    lost: Literal["file", "entry", "nothing"] = "nothing"

    def __str__(self) -> str:
        return f"{self.file}{self.where}: {self.message}"


@dataclass(frozen=True)
class LoadResult:
    """What a folder held: passages in the order of the files, the faults met, invisible characters taken out."""

    passages: list[Passage]
    problems: list[Problem]
    invisible: int = 0

    @property
    def broken_files(self) -> frozenset[str]:
        """The files (or the folder) of which nothing could be read."""
        return frozenset(problem.file for problem in self.problems if problem.lost == "file")


@dataclass(frozen=True)
class _Document:
    id: str
    title: str
    text: str
    metadata: dict[str, Any]


def load(folder: Path, home: Path | None = None, breathe: Callable[[], None] = lambda: None) -> LoadResult:
    """Every `*.json` directly in the folder, in the order of the names.

    Never raises for what it finds: a missing folder, an unreadable file, broken JSON or a faulty entry is a
    `Problem`. Hidden files and editors' backups are passed over; links may not lead out of `home` (by default
    the folder itself). `breathe` is called at every step of the work, so that streams can flow beside it.
    """
    try:
        paths = knowledge_files(folder)
    except OSError as exc:
        return LoadResult([], [Problem(str(folder), "", f"the folder can't be read: {exc.strerror}", "file")])
    shelf = _Shelf(home or folder, breathe)
    for path in paths:
        shelf.add_file(path)
    return LoadResult(shelf.passages, shelf.problems, shelf.invisible)


def knowledge_files(folder: Path) -> list[Path]:
    """The paths that are read, in the order of the names. Raises OSError."""
    return sorted(path for path in folder.iterdir() if _is_knowledge(path.name))


def _is_knowledge(name: str) -> bool:
    return name.lower().endswith(".json") and not name.startswith((".", "~", "#"))


class _Shelf:
    """Where the passages of all files come together, so that ids stay unique across them."""

    def __init__(self, home: Path, breathe: Callable[[], None]) -> None:
        self.passages: list[Passage] = []
        self.problems: list[Problem] = []
        self.invisible = 0
        self._home = home
        self._breathe = breathe
        self._ids: set[str] = set()
        self._copies: Counter[str] = Counter()

    def add_file(self, path: Path) -> None:
        try:
            value, repeated = parse(read(path, self._home, self._breathe), self._breathe)
            if not isinstance(value, list | dict):
                raise Faulty("must hold a list or an object")
        except Faulty as exc:
            self._report(path, exc.where, str(exc), "file")
            return
        for key in repeated[:MAX_PROBLEMS_A_FILE]:
            self._report(path, "", f'the key "{key}" is given twice in one object; the last one counts')
        self._add_entries(path, _entries(value, _printable(path.stem)))

    def _add_entries(self, path: Path, entries: Iterator[tuple[str, str, Any]]) -> None:
        faulty = 0
        for where, default_id, entry in entries:
            self._breathe()
            if len(self.passages) >= MAX_PASSAGES:
                message = f"{MAX_PASSAGES} passages are there, which is the most: from here on the file is left out"
                self._report(path, where, message, "entry")
                break
            try:
                self._add(self._cleaned(_document(entry, default_id, self._breathe)), path, where)
            except Faulty as exc:
                faulty += 1
                if faulty <= MAX_PROBLEMS_A_FILE:
                    self._report(path, where, str(exc), "entry")
        if faulty > MAX_PROBLEMS_A_FILE:
            self._report(path, "", f"{faulty - MAX_PROBLEMS_A_FILE} further entries are faulty", "entry")

    def _report(
        self, path: Path, where: str, message: str, lost: Literal["file", "entry", "nothing"] = "nothing"
    ) -> None:
        self.problems.append(Problem(_printable(str(path)), _printable(where), _printable(message), lost))

    def _cleaned(self, document: _Document) -> _Document:
        title, text = self._seen(document.title), self._seen(document.text)
        if not text:
            raise Faulty("the text is empty")
        return _Document(document.id, title, text, document.metadata)

    def _seen(self, text: str) -> str:
        cleaned = []
        for block in blocks(text):
            self._breathe()
            seen, unseen = clean(block)
            cleaned.append(seen)
            self.invisible += unseen
        return "".join(cleaned).strip()

    def _add(self, document: _Document, path: Path, where: str) -> None:
        texts = tuple(cut(document.text, self._breathe))
        name = self._free_name(document.id, len(texts))
        if name != document.id:
            self._report(path, where, f'the id "{document.id}" is taken already; this one is called "{name}"')
        file = _printable(path.name)
        parts = texts if len(texts) > 1 else ()
        for part, (id_, text) in enumerate(zip(_passage_ids(name, len(texts)), texts, strict=True)):
            self._ids.add(id_)
            self.passages.append(Passage(id_, document.title, text, file, document.metadata, part, parts))

    def _free_name(self, wanted: str, parts: int) -> str:
        name = wanted
        while not self._ids.isdisjoint([name, *_passage_ids(name, parts)]):
            self._copies[wanted] += 1
            name = f"{wanted}-{self._copies[wanted] + 1}"
        self._ids.add(name)
        return name


def _passage_ids(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}#{number}" for number in range(1, count + 1)]


def _entries(value: list[Any] | dict[str, Any], stem: str) -> Iterator[tuple[str, str, Any]]:
    """Place, id for want of another, and entry, for each entry of a file's value."""
    if isinstance(value, list):
        yield from _listed(value, stem, "")
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


def _document(entry: Any, default_id: str, breathe: Callable[[], None]) -> _Document:
    if not isinstance(entry, dict):
        raise Faulty("the entry is not an object")
    for key, value in entry.items():
        _check_storable(key, value, breathe)
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
        raise Faulty(f'"{key}" is missing')
    if not isinstance(value, str):
        raise Faulty(f"the {key} must be a string")
    if required and not value.strip():
        raise Faulty(f"the {key} is empty")
    return value.strip()


def _check_storable(key: str, value: Any, breathe: Callable[[], None]) -> None:
    """Refuse what can't be written as JSON in UTF-8 again: NaN, infinities, half a surrogate pair. Raises Faulty."""
    found = [key, value]
    while found:
        breathe()
        item = found.pop()
        if isinstance(item, dict):
            found.extend([*item.keys(), *item.values()])
        elif isinstance(item, list):
            found.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise Faulty(f'"{key}" is not a finite number')
        elif isinstance(item, str) and not _is_encodable(item):
            raise Faulty(f'"{key}" holds half of a surrogate pair')


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    """The same text; half surrogate pairs (a file name that is not UTF-8 brings them too) written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
