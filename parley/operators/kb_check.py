"""A knowledge folder looked over for its keeper: every fault with its line, what is doubled, what is suspicious."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
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

_ALIKE_STARTS = 3
"""Passages are compared that share one of so many rare-looking word sequences."""
_MOST_IN_A_BUCKET = 50


@dataclass(frozen=True)
class Finding:
    """Something that the keeper should know: an error keeps text from callers or gives a secret away.

    `line` counts from 1, None where it is not known; `where` is the entry's location or the passage's id.
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
    """One knowledge base: its sizes, and what was found."""

    kb: str
    folder: str
    files: int
    passages: int
    characters: int
    invisible_characters: int
    findings: list[Finding]


def inspect(home: Path, breathe: Callable[[], None] = lambda: None) -> list[KnowledgeReport]:
    """Every knowledge base of a folder; `breathe` is called at every step, for a progress bar."""
    try:
        folders = folders_of(home)
    except OSError:
        folders = {"": home}  # reading it tells why
    return [_report(name, folder, home, breathe) for name, folder in folders.items()]


def _report(name: str, folder: Path, home: Path, breathe: Callable[[], None]) -> KnowledgeReport:
    loaded = documents.load(folder, home, breathe)
    lines = _Lines(folder, home)
    findings = [_of_problem(problem, lines) for problem in loaded.problems]
    for passage in loaded.passages:
        breathe()
        findings += [
            Finding(
                "error" if flag == KEY else "warning",
                str(folder / passage.file),
                lines.of_passage(passage),
                f"[{passage.id}]",
                flag,
            )
            for flag in red_flags(passage)
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
        findings,
    )


def near_duplicates(passages: Sequence[Passage]) -> Iterator[tuple[Passage, Passage]]:
    """Pairs of passages of different documents that say the same, each passage in one pair at most."""
    buckets: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        words = re.findall(r"\w+", passage.text.casefold())
        starts = sorted({crc32(repr(words[at : at + 3]).encode()) for at in range(max(1, len(words) - 2))})[
            :_ALIKE_STARTS
        ]
        candidates = [other for start in starts for other in buckets[start]]
        same = next((other for other in candidates if _repeats(passage, other)), None)
        if same is not None:
            yield passage, same
            continue
        for start in starts:
            if len(buckets[start]) < _MOST_IN_A_BUCKET:
                buckets[start].append(passage)


def _repeats(one: Passage, other: Passage) -> bool:
    return one.document != other.document and are_near_duplicates(one, other)


def _of_problem(problem: Problem, lines: "_Lines") -> Finding:
    location = re.fullmatch(r":(\d+):(\d+)", problem.where)
    severity: Literal["error", "warning"] = "warning" if problem.lost == "nothing" else "error"
    if location:
        return Finding(severity, problem.file, int(location[1]), f"column {location[2]}", problem.message)
    return Finding(severity, problem.file, lines.of_entry(problem), problem.where, problem.message)


class _Lines:
    """Finds lines in the files of a folder; each is read when first asked for."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._home = home
        self._texts: dict[str, str] = {}
        self._starts: dict[str, list[int]] = {}

    def of_passage(self, passage: Passage) -> int | None:
        """Where the passage's words stand, as far as they stand there in the same form."""
        text = self._text(self._folder / passage.file)
        for words in (passage.text, passage.title, passage.id):
            for ascii_only in (False, True):
                at = text.find(json.dumps(words[:60], ensure_ascii=ascii_only)[1:-1]) if words else -1
                if at >= 0:
                    return text.count("\n", 0, at) + 1
        return None

    def of_entry(self, problem: Problem) -> int | None:
        """Where the entry of a problem begins."""
        text = self._text(Path(problem.file))
        if listed := re.fullmatch(r"(?:\.documents)?\[(\d+)\]", problem.where):
            starts = self._entry_starts(problem.file, text)
            at = starts[int(listed[1])] if int(listed[1]) < len(starts) else -1
        else:
            at = text.find(problem.where[1:-1]) if problem.where else -1
        return text.count("\n", 0, at) + 1 if at >= 0 else None

    def _entry_starts(self, file: str, text: str) -> list[int]:
        """The offsets of a list's entries in a file that is known to be JSON."""
        if file not in self._starts:
            documents_key = re.match(r'\s*\{.*?"documents"\s*:\s*\[', text, re.DOTALL)
            at = documents_key.end() if documents_key else text.find("[") + 1
            self._starts[file] = starts = []
            decoder = json.JSONDecoder()
            while found := re.compile(r"[\s,]*").match(text, at):
                at = found.end()
                if at >= len(text) or text[at] == "]":
                    break
                starts.append(at)
                _, at = decoder.raw_decode(text, at)
        return self._starts[file]

    def _text(self, file: Path) -> str:
        if str(file) not in self._texts:
            try:
                self._texts[str(file)] = read_text(file, self._home)
            except InvalidKnowledge:
                self._texts[str(file)] = ""
        return self._texts[str(file)]
