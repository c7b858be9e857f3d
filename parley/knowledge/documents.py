"""Loading a knowledge folder: its JSON files become passages, and each fault becomes a problem.

`kb_data/README.md` documents the accepted forms. Nothing here raises for the contents of a file: a faulty file or entry
becomes a `Problem`, and everything else loads. Reading bytes and JSON lives in `json_file.py`, the forms of entries in
`entries.py`, searching in `index.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from parley.knowledge.chunking import blocks, split_passages
from parley.knowledge.cleaning import clean
from parley.knowledge.entries import Document, document_of, entries_of
from parley.knowledge.json_file import InvalidKnowledge, parse, read_text

MAX_PASSAGES = 100_000
"""Most passages of one knowledge base."""
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

    def __str__(self) -> str:
        return f"{self.file}{self.where}: {self.message}"


@dataclass(frozen=True)
class LoadResult:
    """Contents of a folder: passages in the order of the files, problems, and the number of characters removed."""

    passages: list[Passage]
    problems: list[Problem]
    invisible: int = 0

    @property
    def broken_files(self) -> frozenset[str]:
        """The files (or the folder) that could not be read at all."""
        return frozenset(problem.file for problem in self.problems if problem.lost == "file")


def load(folder: Path, home: Path | None = None, breathe: Callable[[], None] = lambda: None) -> LoadResult:
    """Load every `*.json` directly in the folder, in the order of the names.

    A missing folder, an unreadable file, broken JSON or a faulty entry becomes a `Problem`, never an exception. Hidden
    files and editors' backups are ignored; links may not lead out of `home` (by default the folder itself). `breathe`
    is called at every step of the work, so that the event loop can run meanwhile.
    """
    try:
        paths = knowledge_files(folder)
    except OSError as exc:
        return LoadResult([], [Problem(str(folder), "", f"the folder can't be read: {exc.strerror}", "file")])
    loader = _Loader(home or folder, breathe)
    for path in paths:
        loader.add_file(path)
    return LoadResult(loader.passages, loader.problems, loader.invisible)


def knowledge_files(folder: Path) -> list[Path]:
    """Return the paths of a folder's knowledge files, in the order of the names. Raises OSError."""
    # macOS leaves binary `._NAME.json` beside files that it copies, Office `~$NAME.json`, and Emacs a lock
    # `.#NAME.json`, which is a link to nothing.
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(".json") and not path.name.startswith((".", "~", "#"))
    )


class _Loader:
    """Collects the passages of all files, so that ids stay unique across them."""

    def __init__(self, home: Path, breathe: Callable[[], None]) -> None:
        self.passages: list[Passage] = []
        self.problems: list[Problem] = []
        self.invisible = 0
        self._home = home
        self._breathe = breathe
        self._ids: set[str] = set()
        self._copies: Counter[str] = Counter()

    def add_file(self, path: Path) -> None:
        """Add the passages and the problems of a file."""
        try:
            value, repeated = parse(read_text(path, self._home, self._breathe), self._breathe)
            if not isinstance(value, list | dict):
                raise InvalidKnowledge("must hold a list or an object")
        except InvalidKnowledge as exc:
            self._report(path, exc.where, str(exc), "file")
            return
        for key in repeated[:MAX_PROBLEMS_A_FILE]:
            self._report(path, "", f'the key "{key}" is given twice in one object; the last one counts')
        self._add_entries(path, entries_of(value, _printable(path.stem)))

    def _add_entries(self, path: Path, entries: Iterator[tuple[str, str, Any]]) -> None:
        faulty = 0
        for where, default_id, entry in entries:
            self._breathe()
            if len(self.passages) >= MAX_PASSAGES:
                # Break, don't skip: the rest would be walked entry by entry, and reported as often.
                message = f"the limit of {MAX_PASSAGES} passages is reached: the file is left out from here on"
                self._report(path, where, message, "entry")
                break
            try:
                self._add(document_of(entry, default_id, self._breathe), path, where)
            except InvalidKnowledge as exc:
                faulty += 1
                if faulty <= MAX_PROBLEMS_A_FILE:
                    self._report(path, where, str(exc), "entry")
        if faulty > MAX_PROBLEMS_A_FILE:
            self._report(path, "", f"{faulty - MAX_PROBLEMS_A_FILE} further entries are faulty", "entry")

    def _add(self, document: Document, path: Path, where: str) -> None:
        """Add a document as one passage, or as several with the ids `id#1`, `id#2` ... Raises InvalidKnowledge."""
        title, text = self._cleaned(document.title), self._cleaned(document.text)
        # Only now: a text may consist of invisible characters.
        if not text:
            raise InvalidKnowledge("the text is empty")
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
            self._report(path, where, f'the id "{document.id}" is taken already; this one is called "{name}"')
        # A document's id is taken as well as its passages': `Passage.document` is unique, too.
        self._ids.update([name, *ids])
        file = _printable(path.name)
        parts = texts if len(texts) > 1 else ()
        for part, (id_, part_text) in enumerate(zip(ids, texts, strict=True)):
            self.passages.append(Passage(id_, title, part_text, file, document.metadata, part, parts))

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

    def _report(self, path: Path, where: str, message: str, lost: Lost = "nothing") -> None:
        self.problems.append(Problem(_printable(str(path)), _printable(where), _printable(message), lost))


def _printable(text: str) -> str:
    """Return the text with half surrogate pairs escaped; a file name that is not UTF-8 brings them too."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
