"""The check of a knowledge folder: every fault with its line, near-duplicates, and suspicious texts."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zlib import crc32

from parley.knowledge import documents
from parley.knowledge.bases import folders_of
from parley.knowledge.documents import Passage, Problem
from parley.knowledge.json_file import InvalidKnowledge, read_text
from parley.knowledge.prompt import are_near_duplicates
from parley.knowledge.red_flags import KEY, red_flags

SIGNATURE_HASHES = 3
"""Hashes of word sequences kept for each passage; passages are compared if they share one."""
MAX_BUCKET = 50
"""Passages that are compared for one hash, so that boilerplate does not make the check quadratic."""


@dataclass(frozen=True)
class Finding:
    """One thing to correct. An error keeps text from callers or reveals a secret; a warning does neither.

    `line` counts from 1 and is None if it is not known; `where` is the entry's location or the passage's id.
    """

    severity: Literal["error", "warning"]
    file: str
    line: int | None
    where: str
    message: str

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.file}{line}{' ' + self.where if self.where else ''}: {self.message}"


@dataclass(frozen=True)
class KnowledgeReport:
    """The sizes of one knowledge base, and the findings in it."""

    kb: str
    folder: str
    files: int
    passages: int
    characters: int
    invisible_characters: int
    findings: list[Finding]


def inspect(home: Path) -> list[KnowledgeReport]:
    """Return a report on each knowledge base of a folder."""
    try:
        folders = folders_of(home)
    except OSError:
        # Reading the folder itself as a base reports why it can't be read.
        folders = {"": home}
    return [inspect_base(name, folder, home) for name, folder in folders.items()]


def inspect_base(name: str, folder: Path, home: Path) -> KnowledgeReport:
    """Return the report on the knowledge base `name` in `folder`, which lies in `home`."""
    loaded = documents.load(folder, home)
    lines = LineFinder(folder, home)
    findings = [finding_of(problem, lines) for problem in loaded.problems]
    for passage in loaded.passages:
        for flag in red_flags(passage):
            severity: Literal["error", "warning"] = "error" if flag == KEY else "warning"
            line = lines.of_passage(passage)
            findings.append(Finding(severity, str(folder / passage.file), line, f"[{passage.id}]", flag))
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
        findings,
    )


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
    severity: Literal["error", "warning"] = "warning" if problem.lost == "nothing" else "error"
    if location := re.fullmatch(r":(\d+):(\d+)", problem.where):
        return Finding(severity, problem.file, int(location[1]), f"column {location[2]}", problem.message)
    return Finding(severity, problem.file, lines.of_entry(problem), problem.where, problem.message)


class LineFinder:
    """Finds the lines of passages and entries in the files of a folder; each file is read once, when first needed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home
        self._texts: dict[str, str] = {}
        self._entry_starts: dict[str, list[int]] = {}

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
        text = self._text(Path(problem.file))
        if listed := re.fullmatch(r"(?:\.documents)?\[(\d+)\]", problem.where):
            if problem.file not in self._entry_starts:
                self._entry_starts[problem.file] = entry_starts(text)
            starts = self._entry_starts[problem.file]
            offset = starts[int(listed[1])] if int(listed[1]) < len(starts) else -1
        else:
            # `["key"]` without its brackets is the key as the file quotes it.
            offset = text.find(problem.where[1:-1]) if problem.where else -1
        return text.count("\n", 0, offset) + 1 if offset >= 0 else None

    def _text(self, file: Path) -> str:
        if str(file) not in self._texts:
            try:
                self._texts[str(file)] = read_text(file, self._home)
            except InvalidKnowledge:
                # The fault itself is one of the loader's problems; no line can be found.
                self._texts[str(file)] = ""
        return self._texts[str(file)]


def entry_starts(text: str) -> list[int]:
    """Return the offsets of the entries in a valid knowledge file that is a list or has a list `documents`."""
    documents_key = re.match(r'\s*\{.*?"documents"\s*:\s*\[', text, re.DOTALL)
    offset = documents_key.end() if documents_key else text.find("[") + 1
    starts: list[int] = []
    decoder = json.JSONDecoder()
    while between := re.compile(r"[\s,]*").match(text, offset):
        offset = between.end()
        if offset >= len(text) or text[offset] == "]":
            break
        starts.append(offset)
        _, offset = decoder.raw_decode(text, offset)
    return starts
