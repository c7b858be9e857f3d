"""The check of a knowledge folder: every fault with its line, near-duplicates, and suspicious texts."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zlib import crc32

from parley.files.json_file import InvalidFile, read_text
from parley.knowledge import documents, terms
from parley.knowledge.documents import Passage, Problem
from parley.knowledge.folder_scan import is_base_name, scan_folder, scan_home
from parley.knowledge.index import language_of
from parley.knowledge.prompt import are_near_duplicates
from parley.knowledge.red_flags import KEY, red_flags
from parley.knowledge.spoken_forms import codes, without_zeros
from parley.languages import Language

SIGNATURE_HASHES = 3
"""Hashes of word sequences kept for each passage; passages are compared if they share one."""
MAX_BUCKET = 50
"""Passages that are compared for one hash, so that boilerplate does not make the check quadratic."""


Severity = Literal["error", "warning", "note"]
Remark = tuple[Severity, Passage, str]


@dataclass(frozen=True)
class Finding:
    """One thing to correct, or to know. An error keeps text from callers or reveals a secret; a warning does neither.

    A note tells what was changed while reading, which needs no correction.
    `line` counts from 1 and is None if it is not known; `where` is the entry's location or the passage's id.
    """

    severity: Severity
    file: str
    line: int | None
    where: str
    message: str

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.file}{line}{' ' + self.where if self.where else ''}: {self.message}"


@dataclass(frozen=True)
class KnowledgeReport:
    """The sizes of one knowledge base, its language by name (empty without passages), and the findings in it."""

    kb: str
    folder: str
    files: int
    passages: int
    characters: int
    invisible_characters: int
    language: str
    findings: list[Finding]


def inspect(home: Path, most: int | None = None) -> list[KnowledgeReport]:
    """Return a report on each knowledge base of a folder, of `most` passages each."""
    try:
        folders = {name: scan.folder for name, scan in scan_home(home).items()}
    except OSError:
        # Reading the folder itself as a base reports why it can't be read.
        folders = {"": home}
    reports = [inspect_base(name, folder, home, most) for name, folder in folders.items()]
    reports[0].findings.extend(lost_folders(home, folders))
    return reports


def lost_folders(home: Path, bases: Container[str]) -> Iterator[Finding]:
    """Yield a warning for each folder that would be a base if its files were of a kind that is read."""
    for folder in sorted(home.iterdir()) if home.is_dir() and os.access(home, os.R_OK) else ():
        if folder.name not in bases and is_base_name(folder.name) and folder.is_dir():
            scan = scan_folder(folder)
            if scan.not_read:
                kinds = ", ".join(sorted({Path(name).suffix.lower() for name in scan.not_read}))
                message = f"is no knowledge base: it holds {kinds}, no JSON; convert its files with `flask kb import`"
                yield Finding("warning", str(folder), None, "", message)


def inspect_base(name: str, folder: Path, home: Path, most: int | None = None) -> KnowledgeReport:
    """Return the report on the knowledge base `name` in `folder`, which lies in `home`."""
    loaded = documents.load(folder, home, most=most)
    lines = LineFinder(folder, home)
    findings = [finding_of(problem, lines) for problem in loaded.problems]
    for file, texts in loaded.markup.items():
        message = f"markup (HTML) is taken out of {texts} {'text' if texts == 1 else 'texts'}"
        findings.append(Finding("note", str(folder / file), None, "", message))
    for passage in loaded.passages:
        for flag in red_flags(passage):
            severity: Severity = "error" if flag == KEY else "warning"
            line = lines.of_passage(passage)
            findings.append(Finding(severity, str(folder / passage.file), line, f"[{passage.id}]", flag))
    language = loaded.settings.language or language_of(loaded.passages)
    findings += [
        Finding(severity, str(folder / passage.file), lines.of_passage(passage), f"[{passage.id}]", message)
        for severity, passage, message in (*unreachable(loaded.passages, language), *spoken_alike(loaded.passages))
    ]
    for one, other in near_duplicates(loaded.passages):
        message = f"says nearly the same as {other.file} [{other.id}]; only the better hit is sent"
        findings.append(Finding("warning", str(folder / one.file), lines.of_passage(one), f"[{one.id}]", message))
    return KnowledgeReport(
        name,
        str(folder),
        len({passage.file for passage in loaded.passages}),
        len(loaded.passages),
        sum(len(passage.text) for passage in loaded.passages),
        loaded.invisible,
        language.name if loaded.passages else "",
        findings,
    )


def unreachable(passages: Iterable[Passage], language: Language) -> Iterator[Remark]:
    """Yield the passages without a content word: no question can find them by its words."""
    for passage in passages:
        # True of a text without any word as well.
        if language.function_words.issuperset(terms.words(f"{passage.title} {passage.text}")):
            yield "warning", passage, "holds no word by which a question could find it"


def spoken_alike(passages: Iterable[Passage]) -> Iterator[Remark]:
    """Yield the passages with a code that a caller says like another one of another entry; each code once.

    Prices and the like are only noted: "19.99" and "1999" may both be meant.
    """
    first: dict[str, tuple[str, Passage]] = {}
    told: set[str] = set()
    for passage in passages:
        for joined, surface in codes(f"{passage.title}\n{passage.text}"):
            spoken = without_zeros(joined)
            other_surface, other = first.setdefault(spoken, (surface, passage))
            # Capitals are not said, and one entry may write its code in two ways.
            differ = surface.casefold() != other_surface.casefold() and other.document != passage.document
            if differ and spoken not in told:
                told.add(spoken)
                severity: Severity = "note" if spoken.isdigit() else "warning"
                yield severity, passage, f'"{surface}" is said like "{other_surface}" of {other.file} [{other.id}]'


def near_duplicates(passages: Sequence[Passage]) -> Iterator[tuple[Passage, Passage]]:
    """Yield pairs of passages of different documents that say nearly the same; each passage is first in one at most."""
    buckets: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        # The smallest hashes of a text's three-word sequences are a sample that near-duplicates mostly share.
        words = re.findall(r"\w+", passage.text.casefold())
        sequences = {repr(words[start : start + 3]).encode() for start in range(max(1, len(words) - 2))}
        signature = sorted({crc32(sequence) for sequence in sequences})[:SIGNATURE_HASHES]
        duplicate = next(
            (
                other
                for hashed in signature
                for other in buckets[hashed]
                if other.document != passage.document and are_near_duplicates(passage, other)
            ),
            None,
        )
        if duplicate is not None:
            yield passage, duplicate
            # Not entered itself: each further copy is compared with, and reported against, the first one alone.
            continue
        for hashed in signature:
            if len(buckets[hashed]) < MAX_BUCKET:
                buckets[hashed].append(passage)


def finding_of(problem: Problem, lines: "LineFinder") -> Finding:
    """Return the finding for a problem that loading met; one that loses text is an error."""
    severity: Severity = "warning" if problem.lost == "nothing" else "error"
    if location := re.fullmatch(r":(\d+)(?::(\d+))?(\D.*)?", problem.where):
        where = f"column {location[2]}" if location[2] else (location[3] or "")
        return Finding(severity, problem.file, int(location[1]), where, problem.message)
    return Finding(severity, problem.file, lines.of_entry(problem), problem.where, problem.message)


class LineFinder:
    """Finds the lines of passages and entries in the files of a folder; each file is read once, when first needed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home
        self._texts: dict[str, str] = {}
        self._starts: dict[tuple[str, int], dict[str | int, int]] = {}

    def of_passage(self, passage: Passage) -> int | None:
        """Return the line of a passage's words, or None if the file writes them in another form."""
        text = self._text(self._folder / passage.file)
        # The beginning of a text is enough to find it; further on, cleaning and splitting may have changed it.
        for words in (passage.text, passage.title, passage.id):
            # JSON may hold other scripts' letters as they are or as \u escapes.
            for ascii_only in (False, True):
                offset = text.find(json.dumps(words[:60], ensure_ascii=ascii_only)[1:-1]) if words else -1
                if offset >= 0:
                    return text.count("\n", 0, offset) + 1
        return None

    def of_entry(self, problem: Problem) -> int | None:
        """Return the line on which the entry of a problem begins, or None if it is not known."""
        if not problem.where:
            return None
        text = self._text(Path(problem.file))
        try:
            # Of a list the places of all members are kept: each of its entries may have a problem.
            *above, last = steps_of(problem.where)
            offset = text.find(text.strip()[:1])
            for step in above:
                offset = self._members(problem.file, offset)[step]
            offset = self._members(problem.file, offset)[last]
        except (KeyError, ValueError, IndexError):
            return None
        return text.count("\n", 0, offset) + 1

    def _members(self, file: str, offset: int) -> dict[str | int, int]:
        if (file, offset) not in self._starts:
            self._starts[file, offset] = member_starts(self._text(Path(file)), offset)
        return self._starts[file, offset]

    def _text(self, file: Path) -> str:
        if str(file) not in self._texts:
            try:
                self._texts[str(file)] = read_text(file, self._home)
            except InvalidFile:
                # The fault itself is one of the loader's problems; no line can be found.
                self._texts[str(file)] = ""
        return self._texts[str(file)]


def steps_of(where: str) -> list[str | int]:
    """Return the keys and positions of a location such as `.faqs[3]` or `["Opening hours"]`. Raises ValueError."""
    steps: list[str | int] = []
    decoder, offset = json.JSONDecoder(), 0
    while offset < len(where):
        if key := re.compile(r"\.(\w+)").match(where, offset):
            steps.append(key[1])
            offset = key.end()
        elif where[offset] == "[":
            step, offset = decoder.raw_decode(where, offset + 1)
            steps.append(step)
            offset += 1
        else:
            raise ValueError(where)
    return steps


def member_starts(text: str, offset: int) -> dict[str | int, int]:
    """Return the offsets of the members of the list or object at `offset`, by position or key. Raises ValueError."""
    starts: dict[str | int, int] = {}
    decoder, blanks = json.JSONDecoder(), re.compile(r"[\s,:]*")
    is_object, offset = text[offset] == "{", offset + 1
    while between := blanks.match(text, offset):
        offset = between.end()
        if offset >= len(text) or text[offset] in "]}":
            break
        key: str | int = len(starts)
        start = offset
        if is_object:
            key, offset = decoder.raw_decode(text, offset)
            colon = blanks.match(text, offset)
            offset = colon.end() if colon else offset
        # An object's member is named by its key, but its own members are looked for behind it.
        starts[key] = offset if is_object else start
        _, offset = decoder.raw_decode(text, offset)
    return starts
