"""The operator's pronunciations: written words, and what the voice says in their place.

`pronunciation.json` lies beside the recordings:

    {"Agora": "uh gora", "New Relic": "new rellick", "US": {"spoken": "you ess", "case_sensitive": true}}

What is written is a whole word, or several of them. Transcripts keep it. A changed file is read again when the next
answer is spoken; while it is faulty, the last good one holds.
"""

import functools
import json
import re
import stat
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from parley.speech.normalization import has_digits, split_marks
from parley.telemetry.logs import log

FILE_NAME = "pronunciation.json"
MAX_BYTES = 1 << 20
"""Limit on the file, in bytes."""
MAX_CHARACTERS = 200
"""Limit on a written or a spoken text, in characters."""
LOOK_SECONDS = 2.0
"""Seconds between two looks at the file."""
_JSON = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_JOINTS = re.compile(r"([-–—/+&])")
_APOSTROPHES = str.maketrans("’‘", "''")
_POSSESSIVE = re.compile(r"['’]s?\Z")


class PronunciationError(ValueError):
    """A file that can't be used; the message says where and why."""


class Entry(NamedTuple):
    """One pronunciation. With `case_sensitive` it holds for `written` in exactly these capitals."""

    written: str
    spoken: str
    case_sensitive: bool = False


@dataclass(frozen=True)
class Pronunciations:
    """The entries by `written`, folded; those that are sensitive to case come first."""

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Pronunciations":
        """Return a table of these entries."""
        table: dict[str, tuple[Entry, ...]] = {}
        for entry in sorted(entries, key=lambda entry: not entry.case_sensitive):
            table[folded(entry.written)] = (*table.get(folded(entry.written), ()), entry)
        return cls(table)

    @functools.cached_property
    def _most_words(self) -> int:
        return max((written.count(" ") + 1 for written in self.entries), default=0)

    def __len__(self) -> int:
        return sum(map(len, self.entries.values()))

    def applied(
        self, words: Sequence[str], readings: Sequence[str], read: Callable[[str], str] = str
    ) -> tuple[tuple[str, str], ...]:
        """Return the words with their readings. The words of one entry are joined, so that they are timed together.

        `read` reads what an entry leaves of a compound word.
        """
        pairs: list[tuple[str, str]] = []
        most = self._most_words
        # The longest entry first: "New Relic" before "New".
        start = 0
        while start < len(words):
            for size in range(min(most, len(words) - start), 0, -1):
                written = " ".join(words[start : start + size])
                if reading := self._reading(written) or (size == 1 and self._compound(written, read)):
                    pairs.append((written, read(reading) if has_digits(reading) else reading))
                    start += size
                    break
            else:
                pairs.append((words[start], readings[start]))
                start += 1
        return tuple(pairs)

    def _reading(self, written: str) -> str | None:
        """Return the reading of a word, or of several, with the marks around it; None if no entry is for it."""
        opening, _, closing = split_marks(written)
        # As few marks as possible are taken away: they may be a part of the name.
        # dict.fromkeys: no opening marks are tried once, not twice.
        for head in dict.fromkeys(("", opening)):
            for cut in range(len(closing) + 1):
                core, tail = written[len(head) : len(written) - cut], written[len(written) - cut :]
                # "Agora's" is said as "Agora" is, and an "s".
                owner = _POSSESSIVE.search(core)
                if spoken := self._spoken(core):
                    return f"{head}{spoken}{tail}"
                if owner and (spoken := self._spoken(core[: owner.start()])):
                    return f"{head}{spoken}{owner[0]}{tail}"
        return None

    def _compound(self, written: str, read: Callable[[str], str]) -> str | None:
        """Return the reading of a word of several parts ("Agora-based") if there is an entry for one of them."""
        parts = _JOINTS.split(written)
        spoken = [self._reading(part) for part in parts]
        if len(parts) == 1 or not any(spoken):
            return None
        rest = [read(part) if has_digits(part) else part for part in parts]
        return "".join(one or part for one, part in zip(spoken, rest, strict=True))

    def _spoken(self, written: str) -> str | None:
        for entry in self.entries.get(folded(written), ()):
            if not entry.case_sensitive or normal(entry.written) == normal(written):
                return entry.spoken
        return None


NO_PRONUNCIATIONS = Pronunciations()


def normal(text: str) -> str:
    """Return a text in one form of its accents, apostrophes and blanks."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_APOSTROPHES).split())


def folded(text: str) -> str:
    """Return a text for comparison without regard to case."""
    return normal(text).casefold()


class PronunciationFile:
    """The file of a folder, read when it is first needed and again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._good = NO_PRONUNCIATIONS
        self._seen: tuple[int, ...] | None = None
        self._next_look = 0.0

    def current(self) -> Pronunciations:
        """Return the pronunciations that hold now; a fault is logged once."""
        now = time.monotonic()
        if now < self._next_look:
            # No look at the file system for each of many answers.
            return self._good
        self._next_look = now + LOOK_SECONDS
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            # A file that was taken away takes its entries with it.
            seen, self._good = None, NO_PRONUNCIATIONS
        if seen != self._seen:
            self._seen = seen
            if seen is not None:
                self._load()
        return self._good

    def _load(self) -> None:
        try:
            self._good = read(self._path)
        except PronunciationError as exc:
            log.warning("pronunciation_fault", fault=str(exc), in_use=len(self._good))
        else:
            log.info("pronunciations_loaded", entries=len(self._good))


def read(path: Path) -> Pronunciations:
    """Return the pronunciations in a file. Raises PronunciationError with the line and the column of the fault."""
    try:
        status = path.stat()
        # Opening a FIFO would wait for a writer.
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise PronunciationError(f"{path.name}: not a file of at most {MAX_BYTES >> 20} MiB")
        content = path.read_bytes()
        return parse(content.decode("utf-8-sig"), path.name)
    except OSError as exc:
        raise PronunciationError(f"{path.name}: can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        column = exc.start - content.rfind(b"\n", 0, exc.start)
        raise PronunciationError(f"{path.name}: line {line}, column {column}: not UTF-8") from exc


def parse(text: str, name: str = FILE_NAME) -> Pronunciations:
    """Return the pronunciations in a JSON text; `name` is that of its file. Raises PronunciationError."""
    scanner = _Scanner(text, name)
    entries: dict[tuple[bool, str], Entry] = {}
    scanner.skip("{")
    more = scanner.look() != "}"
    while more:
        written, at_written = scanner.value('"')
        scanner.skip(":")
        spoken, at_spoken = scanner.value()
        if not any(map(str.isalnum, written)) or len(written) > MAX_CHARACTERS:
            raise scanner.fault(f"expected a written word of at most {MAX_CHARACTERS} characters", at_written)
        entry = entry_of(written, spoken)
        if entry is None:
            forms = 'a text, or {"spoken": "a text", "case_sensitive": true}'
            raise scanner.fault(f"{written!r}: expected {forms}, of at most {MAX_CHARACTERS} characters", at_spoken)
        key = (entry.case_sensitive, normal(written) if entry.case_sensitive else folded(written))
        if key in entries:
            raise scanner.fault(f"{written!r} is there twice", at_written)
        entries[key] = entry
        # A comma behind the last entry is a fault, as in all of JSON.
        more = scanner.look() != "}"
        if more:
            scanner.skip(",")
    scanner.skip("}")
    if scanner.look():
        raise scanner.fault("expected the end of the file")
    return Pronunciations.of([*entries.values()])


class _Scanner:
    """Steps through a JSON text and knows where it is, which a parsed value does not tell."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._position = 0

    def fault(self, reason: str, at: int | None = None) -> PronunciationError:
        """Return the error for a fault at a position of the text, or where the scanner is."""
        at = self._position if at is None else at
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        return PronunciationError(f"{self._name}: line {line}, column {column}: {reason}")

    def look(self) -> str:
        """Return the next character that is no blank; empty at the end of the text."""
        match = _BLANKS.match(self._text, self._position)
        self._position = match.end() if match else self._position
        return self._text[self._position : self._position + 1]

    def skip(self, expected: str) -> None:
        """Step over a character. Raises PronunciationError if another one is there."""
        if self.look() != expected:
            raise self.fault(f"expected {expected}")
        self._position += 1

    def value(self, beginning: str = "") -> tuple[Any, int]:
        """Return the next value, which must have this beginning, and its position. Raises PronunciationError."""
        if not self.look().startswith(beginning):
            raise self.fault("expected a word in double quotes")
        begin = self._position
        try:
            found, self._position = _JSON.raw_decode(self._text, begin)
        except json.JSONDecodeError as exc:
            raise self.fault(f"not JSON: {exc.msg}", exc.pos) from exc
        except RecursionError as exc:
            raise self.fault("not JSON: too deep", begin) from exc
        return found, begin


def entry_of(written: str, value: Any) -> Entry | None:
    """Return the entry for a key and its value, None if the value is of neither form."""
    # The short form is the long one without its switch.
    if isinstance(value, str):
        value = {"spoken": value}
    if not isinstance(value, dict) or not value.keys() <= {"spoken", "case_sensitive"}:
        return None
    spoken, case_sensitive = value.get("spoken"), value.get("case_sensitive", False)
    if not isinstance(spoken, str) or not isinstance(case_sensitive, bool) or len(spoken) > MAX_CHARACTERS:
        return None
    return Entry(written, " ".join(spoken.split()), case_sensitive) if any(map(str.isalnum, spoken)) else None
