"""Loading a knowledge folder: its JSON files become passages, and each fault becomes a problem.

`kb_data/README.md` documents the accepted forms. Nothing here raises for the contents of a file: a faulty file or entry
becomes a `Problem`, and everything else loads. Which files there are tells `folder_scan.py`; reading bytes and JSON
lives in `json_file.py`, finding entries in `shapes.py`, reading one in `entries.py`, searching in `index.py`.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from parley.files.json_file import InvalidFile, parse, parse_lines, read_text
from parley.knowledge import base_settings
from parley.knowledge.base_settings import NO_SETTINGS, BadBaseSettings, BaseSettings
from parley.knowledge.chunking import blocks, split_passages
from parley.knowledge.cleaning import clean
from parley.knowledge.entries import Document, Draft, document_of
from parley.knowledge.folder_scan import FolderScan, scan_folder
from parley.knowledge.markup import plain
from parley.knowledge.shapes import Finder
from parley.knowledge.stored_vectors import StoredVectors

MAX_PASSAGES = 100_000
"""Most passages of one knowledge base of a folder."""
MAX_PROBLEMS_A_FILE = 100
"""Most problems of one kind that a file reports one by one."""

Lost = Literal["file", "entry", "nothing"]
"""The part of a knowledge base that a problem keeps out of it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text short enough to be shown to a model: an entry of a knowledge file, or a part of a long one.

    `id` is unique in a load; `title` may be empty; `file` is the file's name inside the folder; `metadata` holds every
    other key of the entry. If the document was split, `parts` are the texts of all its passages, and `part` is the
    index of this one among them, from 0.
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
        """The id of the passage's document, unique in a load."""
        return self.id.removesuffix(f"#{self.part + 1}") if self.parts else self.id


@dataclass(frozen=True)
class Problem:
    """One fault of the files, with its location. `str()` gives the line to print.

    `file` is the path as reached from the folder that was given. `where` is printed directly behind it: `:12:5` (line
    and column), `[3]` (index from 0), `["key"]`, or an empty string for the file itself.
    """

    file: str
    where: str
    message: str
    lost: Lost = "nothing"

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return Path(self.file).name

    @property
    def line(self) -> int | None:
        """The line of a place that is given as line and column; None for others."""
        found = re.match(r":(\d+)", self.where)
        return int(found[1]) if found else None

    def __str__(self) -> str:
        return f"{self.file}{self.where}: {self.message}"


@dataclass(frozen=True)
class LoadResult:
    """Contents of a folder: passages in the order of the files, problems, and what was removed.

    `invisible` is a number of characters, `markup` the number of texts with markup by file; `settings` are the
    base's; `vectors` came with the passages; `provenance` is where they came from, for the log; `stale` is
    true if these may not be the newest.
    """

    passages: list[Passage]
    problems: list[Problem]
    invisible: int = 0
    markup: Mapping[str, int] = field(default_factory=dict)
    settings: BaseSettings = NO_SETTINGS
    vectors: StoredVectors | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    stale: bool = False

    @property
    def broken_files(self) -> frozenset[str]:
        """The files (or the folder) that could not be read at all."""
        return frozenset(problem.file for problem in self.problems if problem.lost == "file")


def load(
    folder: Path,
    home: Path | None = None,
    breathe: Callable[[], None] = lambda: None,
    scan: FolderScan | None = None,
    most: int | None = None,
) -> LoadResult:
    """Load every knowledge file directly in the folder, in the order of the names; `most` passages (`MAX_PASSAGES`).

    A missing folder, an unreadable file, broken JSON or a faulty entry becomes a `Problem`, never an exception. Hidden
    files and editors' backups are ignored; links may not lead out of `home` (by default the folder itself). `breathe`
    is called at every step of the work, so that the event loop can run meanwhile. `scan` saves a look at the folder.
    """
    scan = scan or scan_folder(folder)
    if scan.fault:
        return LoadResult([], [Problem(str(folder), "", f"the folder can't be read: {scan.fault}", "file")])
    loader = _Loader(home or folder, breathe, MAX_PASSAGES if most is None else most)
    for name in scan.files:
        # A file of this name that holds no settings is knowledge, as it was before there were any.
        if name != base_settings.FILE or not loader.read_settings(folder / name):
            loader.add_file(folder / name)
    for name in scan.not_read:
        loader.report(folder / name, "", "is no JSON and not read here; convert it with `flask kb import`")
    return LoadResult(loader.passages, loader.problems, loader.invisible, dict(loader.markup), loader.settings)


class _Loader:
    """Collects the passages of all files, so that ids stay unique across them."""

    def __init__(self, home: Path, breathe: Callable[[], None], most: int) -> None:
        self._most = most
        self.passages: list[Passage] = []
        self.problems: list[Problem] = []
        self.invisible = 0
        self.markup: Counter[str] = Counter()
        self.settings = NO_SETTINGS
        self._home = home
        self._breathe = breathe
        self._ids: set[str] = set()
        self._copies: Counter[str] = Counter()

    def read_settings(self, path: Path) -> bool:
        """Read the base's own settings; return False if the file holds knowledge after all, or can't be read."""
        try:
            value, repeated = parse(read_text(path, self._home, self._breathe), self._breathe)
        except InvalidFile:
            return False
        if not base_settings.are_settings(value):
            return False
        try:
            if repeated:
                raise BadBaseSettings(f'the field "{repeated[0]}" is given twice')
            self.settings = BaseSettings.of(value)
        except BadBaseSettings as exc:
            # As a file that is lost: the base keeps its old index with its old settings.
            self.report(path, "", str(exc), "file")
        return True

    def add_file(self, path: Path) -> None:
        """Add the passages and the problems of a file."""
        finder = Finder(_printable(path.stem), lambda note: self.report(path, "", note), self._breathe)
        try:
            text = read_text(path, self._home, self._breathe)
            if path.suffix.lower() == ".json":
                value, lines = self._parsed(path, text)
            else:
                value, lines = self._parsed_lines(path, text)
            entries = finder.entries(value)
            # The first step tells whether the file is of another tool and holds no knowledge.
            first = next(entries, None)
        except InvalidFile as exc:
            self.report(path, exc.where, str(exc), "file")
            return
        if first:
            self._add_entries(path, itertools.chain([first], entries), lines)

    def _parsed(self, path: Path, text: str) -> tuple[Any, list[int]]:
        """Return the value of a JSON file, or the values of its lines with their numbers. Raises InvalidFile."""
        try:
            value, repeated = parse(text, self._breathe)
        except InvalidFile as exc:
            # Lines of JSON often bear the name of a JSON file.
            if not exc.where.endswith(":1") or not str(exc).startswith("extra data"):
                raise
            values, faults = parse_lines(text, self._breathe)
            if faults:
                raise
            return [value for _, value in values], [number for number, _ in values]
        if not isinstance(value, list | dict):
            raise InvalidFile("must hold a list or an object")
        for key in repeated[:MAX_PROBLEMS_A_FILE]:
            self.report(path, "", f'the key "{key}" is given twice in one object; the last one counts')
        return value, []

    def _parsed_lines(self, path: Path, text: str) -> tuple[list[Any], list[int]]:
        """Return the values of a file of lines, with their numbers, and report the faulty lines."""
        values, faults = parse_lines(text, self._breathe)
        if not values:
            raise faults[0] if faults else InvalidFile("is empty")
        for fault in faults[:MAX_PROBLEMS_A_FILE]:
            self.report(path, fault.where, str(fault), "entry")
        return [value for _, value in values], [number for number, _ in values]

    def _add_entries(self, path: Path, entries: Iterator[tuple[str, str, Any]], lines: list[int]) -> None:
        faulty = 0
        for where, default_id, entry in entries:
            self._breathe()
            where = _in_lines(where, lines)
            if len(self.passages) >= self._most:
                # Break, don't skip: the rest would be walked entry by entry, and reported as often.
                message = f"the limit of {self._most} passages is reached: the file is left out from here on"
                self.report(path, where, message, "entry")
                break
            try:
                notes = self._add(document_of(entry, default_id, self._breathe), path, where)
            except Draft as exc:
                notes = (str(exc),)
            except InvalidFile as exc:
                faulty += 1
                if faulty <= MAX_PROBLEMS_A_FILE:
                    self.report(path, where, str(exc), "entry")
                continue
            for note in notes:
                self.report(path, where, note)
        if faulty > MAX_PROBLEMS_A_FILE:
            self.report(path, "", f"{faulty - MAX_PROBLEMS_A_FILE} further entries are faulty", "entry")

    def _add(self, document: Document, path: Path, where: str) -> tuple[str, ...]:
        """Add a document as one passage, or as several with the ids `id#1`, `id#2` ...; return its notes.

        Raises InvalidFile.
        """
        title, has_markup = plain(document.title, self._breathe)
        text, text_has_markup = plain(document.text, self._breathe)
        # Behind the markup: a character reference may stand for an invisible character.
        title, text = self._cleaned(title), self._cleaned(text)
        # Only now: a text may consist of invisible characters.
        if not text:
            raise InvalidFile("the text is empty")
        texts = tuple(split_passages(text, self._breathe))
        name = document.id
        while True:
            ids = [name] if len(texts) == 1 else [f"{name}#{number}" for number in range(1, len(texts) + 1)]
            if self._ids.isdisjoint([name, *ids]):
                break
            # Counted across the load: without that, n copies of one id would try n² / 2 names.
            self._copies[document.id] += 1
            name = f"{document.id}-{self._copies[document.id] + 1}"
        if name != document.id:
            self.report(path, where, f'the id "{document.id}" is taken already; this one is called "{name}"')
        # A document's id is taken as well as its passages': `Passage.document` is unique, too.
        self._ids.update([name, *ids])
        file = _printable(path.name)
        if has_markup or text_has_markup:
            self.markup[file] += 1
        parts = texts if len(texts) > 1 else ()
        for part, (id_, part_text) in enumerate(zip(ids, texts, strict=True)):
            self.passages.append(Passage(id_, title, part_text, file, document.metadata, part, parts))
        return document.notes

    def _cleaned(self, text: str) -> str:
        """Return a text without invisible characters and outer blanks, and count the characters removed."""
        cleaned = []
        # In blocks, because an entry may hold megabytes, and the event loop must run in between.
        for block in blocks(text):
            self._breathe()
            visible, removed = clean(block)
            cleaned.append(visible)
            self.invisible += removed
        return "".join(cleaned).strip()

    def report(self, path: Path, where: str, message: str, lost: Lost = "nothing") -> None:
        """Add a problem."""
        self.problems.append(Problem(_printable(str(path)), _printable(where), _printable(message), lost))


def _in_lines(where: str, lines: list[int]) -> str:
    """Return a location in a list of lines by the line's number; `lines` is empty for a file that is one value."""
    if lines and (in_list := re.match(r"\[(\d+)\]", where)):
        return f":{lines[int(in_list[1])]}{where[in_list.end() :]}"
    return where


def _printable(text: str) -> str:
    """Return the text with half surrogate pairs escaped; a file name that is not UTF-8 brings them too."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
