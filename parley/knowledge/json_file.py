"""One knowledge file: its bytes checked and read, its JSON parsed. What its value means is `documents.py`'s to say."""

import json
import re
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 20 << 20
PIECE_BYTES = 1 << 20
WINDOW = 1 << 15
"""Characters that are decoded in one call at most: half a millisecond."""
LONGEST_CUT = 3
"""Characters that may follow a number in a window and belong to it nevertheless: `e`, `+` and one to be safe."""
_BLANKS = re.compile(r"[ \t\n\r]*")


class Faulty(Exception):
    """A file or an entry can't be used; the message says why, `where` where inside the file."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


def read(path: Path, home: Path, breathe: Callable[[], None] = lambda: None) -> str:
    """Return the text of a file that lies in `home`, also where links lead to it. Raises Faulty."""
    try:
        if not path.resolve().is_relative_to(home.resolve()):
            raise Faulty("is a link that leads out of the knowledge folder")
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise Faulty("is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):  # a named pipe would keep us waiting for ever
            raise Faulty("is not a regular file")
        with path.open("rb") as file:
            raw = bytearray()
            while len(raw) <= MAX_FILE_BYTES and (piece := file.read(PIECE_BYTES)):
                raw += piece
                breathe()
    except (OSError, RuntimeError) as exc:  # pathlib's RuntimeError: links that lead in a circle
        raise Faulty(f"can't be read: {getattr(exc, 'strerror', None) or 'its links lead in a circle'}") from exc
    if len(raw) > MAX_FILE_BYTES:
        raise Faulty(f"is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    return _decoded(raw)


def _decoded(raw: bytes | bytearray) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_bare_utf_16(raw):
        raise Faulty("is UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise Faulty(f"is not UTF-8 but perhaps Latin-1 (line {line}); save it as UTF-8") from exc


def _is_bare_utf_16(raw: bytes | bytearray) -> bool:
    """Without a mark: JSON begins with an ASCII character, which leaves a NUL beside it."""
    return len(raw) > 1 and raw[:2].count(0) == 1


def parse(text: str, breathe: Callable[[], None]) -> tuple[Any, list[str]]:
    """Return the value of a JSON text, and the keys that some object in it gives twice. Raises Faulty.

    `breathe` is called for each object and each step, which is why a large file stops no stream.
    """
    if not text or text.isspace():
        raise Faulty("is empty")
    steps = _Steps(text, breathe)
    try:
        return steps.decode(), steps.repeated
    except json.JSONDecodeError as exc:
        message = exc.msg[0].lower() + exc.msg[1:].replace("xpecting ", "xpected ", 1)
        message = message.removesuffix(" at").removesuffix(" starting")
        raise Faulty(message, where=f":{exc.lineno}:{exc.colno}") from exc
    except RecursionError as exc:
        raise Faulty("is nested too deeply") from exc
    except ValueError as exc:  # Python's limit on the digits of an integer
        raise Faulty("holds a number with too many digits") from exc


class _Steps:
    """A JSON text that is decoded in steps.

    The standard library's decoder is C: in one call it holds the interpreter until it has read everything, a tenth of a
    second for a large file, in a thread as well. So it is given a window of the text, and decodes there one value
    after the other. A value that does not end inside its window is taken apart here: an object or a list
    member by member, each of them in turn a value of this kind; a long string or number by one call after all.

        text    [ {"a": 1}, {"b": [ ... longer than a window ... ]}, "c" ]
        window    |<------------------->|                                   decodes {"a": 1}
                            |<------------------->|                         {"b": does not end in it: member by member
    """

    def __init__(self, text: str, breathe: Callable[[], None]) -> None:
        self.repeated: list[str] = []
        self._text = text
        self._breathe = breathe
        self._names: dict[str, str] = {}
        self._decoder = json.JSONDecoder(object_pairs_hook=self._unique)
        self._look_at(0)

    def decode(self) -> Any:
        """Return the value that is the whole text. Raises JSONDecodeError, RecursionError and ValueError."""
        value, end = self._value(self._after_blanks(0))
        end = self._after_blanks(end)
        if end < len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, end)
        return value

    def _value(self, at: int) -> tuple[Any, int]:
        """Return the value that begins at `at`, and the position behind it."""
        self._breathe()
        if decoded := self._decoded(at):
            return decoded
        if self._start != at:
            self._look_at(at)
            if decoded := self._decoded(at):
                return decoded
        if self._text[at] == "{":
            return self._object(at + 1)
        if self._text[at] == "[":
            return self._list(at + 1)
        self._look_at(at, len(self._text))
        decoded = self._decoded(at)
        assert decoded, "in the last window it raises instead"
        self._look_at(decoded[1])
        return decoded

    def _look_at(self, start: int, characters: int | None = None) -> None:
        self._start, self._window = start, self._text[start : start + (characters or WINDOW)]
        self._is_last = start + len(self._window) >= len(self._text)
        self._limit = len(self._window) - (0 if self._is_last else LONGEST_CUT)

    def _decoded(self, at: int) -> tuple[Any, int] | None:
        """Return the value at `at` if it ends inside the window. Raises JSONDecodeError in the text's last window."""
        try:
            value, end = self._decoder.raw_decode(self._window, at - self._start)
        except json.JSONDecodeError as exc:
            if self._is_last:
                raise json.JSONDecodeError(exc.msg, self._text, self._start + exc.pos) from exc
            return None
        return (value, self._start + end) if end <= self._limit else None  # "1" may begin "1e+9"

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        """Return the object whose first member begins behind the blanks at `at`, and the position behind it."""
        members: dict[str, Any] = {}
        repeated: dict[str, None] = {}
        at = self._after_blanks(at)
        while True:
            if self._character(at) != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self._text, at)
            name, at = self._value(at)
            at = self._after_blanks(at)
            if self._character(at) != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", self._text, at)
            if name in members:
                repeated[name] = None
            members[name], at = self._value(self._after_blanks(at + 1))
            at = self._after_blanks(at)
            if self._character(at) == "}":
                self.repeated.extend(repeated)
                return members, at + 1
            at = self._after_comma(at)

    def _list(self, at: int) -> tuple[list[Any], int]:
        """Return the list whose first member begins behind the blanks at `at`, and the position behind it."""
        members: list[Any] = []
        at = self._after_blanks(at)
        while True:
            member, at = self._value(at)
            members.append(member)
            at = self._after_blanks(at)
            if self._character(at) == "]":
                return members, at + 1
            at = self._after_comma(at)

    def _character(self, at: int) -> str:
        """Return the character at `at`, or nothing behind the end."""
        return self._text[at : at + 1]

    def _after_comma(self, at: int) -> int:
        if self._character(at) != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", self._text, at)
        return self._after_blanks(at + 1)

    def _after_blanks(self, at: int) -> int:
        while True:
            blanks = _BLANKS.match(self._text, at, at + WINDOW)
            assert blanks, "it also matches nothing"
            if blanks.end() < at + WINDOW:
                return blanks.end()
            at = blanks.end()
            self._breathe()

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._breathe()
        # One string for a name that all entries have: the decoder forgets names from one call to the next.
        kept = {self._names.setdefault(name, name): value for name, value in pairs}
        if len(kept) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            self.repeated.extend(name for name, count in counted.items() if count > 1)
        return kept
