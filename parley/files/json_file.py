"""Reading one JSON file of the operator's: its bytes are checked and decoded, its JSON is parsed in small steps.

The meaning of the parsed value lives with those who read it: knowledge and tools.
"""

import json
import re
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 20 << 20
"""Largest file, in bytes."""
PIECE_BYTES = 1 << 20
"""Bytes read in one step."""
WINDOW = 1 << 15
"""Characters decoded in one step: half a millisecond of work."""
LONGEST_CUT = 3
"""Characters at the end of a window in which a number may still go on: `e`, `+` and one to be safe."""
HINT_OF_LINES = "; a file that holds a value in each line is called .jsonl"
"""End of the message for a second value behind the first: of use where such files are read."""
_BLANKS = re.compile(r"[ \t\n\r]*")


class InvalidFile(Exception):
    """A file or an entry can't be used. The message says why, `where` gives the location inside the file."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


def read_text(path: Path, home: Path, breathe: Callable[[], None] = lambda: None) -> str:
    """Return the text of a file that lies in `home`, symbolic links resolved. Raises InvalidFile."""
    try:
        if not path.resolve().is_relative_to(home.resolve()):
            raise InvalidFile("is a link that leads out of its folder")
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InvalidFile("is a directory, not a file")
        # Opening a named pipe would block until another process writes to it.
        if not stat.S_ISREG(status.st_mode):
            raise InvalidFile("is not a regular file")
        with path.open("rb") as file:
            raw = bytearray()
            while len(raw) <= MAX_FILE_BYTES and (piece := file.read(PIECE_BYTES)):
                raw += piece
                breathe()
    except (OSError, RuntimeError) as exc:
        # Where links lead in a circle, pathlib raises RuntimeError.
        reason = getattr(exc, "strerror", None) or "its links lead in a circle"
        raise InvalidFile(f"can't be read: {reason}") from exc
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidFile(f"is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    return _decode(raw)


def _decode(raw: bytearray) -> str:
    """Return the bytes as text, which must be UTF-8, with or without a mark. Raises InvalidFile."""
    # UTF-16 without a mark shows in the first two bytes: JSON begins with an ASCII character, and a NUL belongs to it.
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(raw) > 1 and raw[:2].count(0) == 1):
        raise InvalidFile("is UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise InvalidFile(f"is not UTF-8 but perhaps Latin-1 (line {line}); save it as UTF-8") from exc


def parse_lines(text: str, breathe: Callable[[], None]) -> tuple[list[tuple[int, Any]], list[InvalidFile]]:
    """Return the value of each line with the line's number, from 1, and the faults of lines that are no JSON."""
    values: list[tuple[int, Any]] = []
    faults = []
    # Not splitlines(): a text in JSON may contain separators that Python takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        breathe()
        if not line or line.isspace():
            continue
        try:
            values.append((number, parse(line, breathe)[0]))
        except InvalidFile as exc:
            column = exc.where.rpartition(":")[2]
            faults.append(InvalidFile(str(exc), where=f":{number}:{column}" if column else f":{number}"))
    return values, faults


def parse(text: str, breathe: Callable[[], None]) -> tuple[Any, list[str]]:
    """Return the value of a JSON text, and the keys that an object in it gives twice. Raises InvalidFile.

    `breathe` is called for each object and each step, so that the event loop runs while a large file is parsed.
    """
    if not text or text.isspace():
        raise InvalidFile("is empty")
    decoder = _SteppedDecoder(text, breathe)
    try:
        return decoder.decode(), decoder.repeated
    except json.JSONDecodeError as exc:
        # "Expecting ',' delimiter" and "Unterminated string starting at", as they read after a file's name.
        message = exc.msg[0].lower() + exc.msg[1:].replace("xpecting ", "xpected ", 1)
        if exc.msg == "Extra data":
            message += HINT_OF_LINES
        message = message.removesuffix(" at").removesuffix(" starting")
        raise InvalidFile(message, where=f":{exc.lineno}:{exc.colno}") from exc
    except RecursionError as exc:
        raise InvalidFile("is nested too deeply") from exc
    except ValueError as exc:
        # Python limits the digits of an integer (sys.set_int_max_str_digits).
        raise InvalidFile("holds a number with too many digits") from exc


class _SteppedDecoder:
    """A JSON text that is decoded in steps.

    The standard library's decoder is C code: one call holds the interpreter until it has read everything, a tenth of a
    second for a large file, even in a thread. Here the decoder gets a window of the text and decodes one value after
    the other there. A value that does not end inside its window is taken apart: an object or a list member by member,
    each decoded as a value in turn; a long string or number by one call after all.

        text    [ {"a": 1}, {"b": [ ... longer than a window ... ]}, "c" ]
        window    |<------------------->|                                   decodes {"a": 1}
                            |<------------------->|                         {"b": does not end in it: member by member
    """

    def __init__(self, text: str, breathe: Callable[[], None]) -> None:
        self.repeated: list[str] = []
        self._text = text
        self._breathe = breathe
        # One string for a name that all entries have: the decoder forgets names from one call to the next.
        self._names: dict[str, str] = {}
        self._decoder = json.JSONDecoder(object_pairs_hook=self._unique)
        self._move_window(0)

    def decode(self) -> Any:
        """Return the value of the text. Raises JSONDecodeError, RecursionError and ValueError."""
        value, end = self._decode_value(self._after_blanks(0))
        end = self._after_blanks(end)
        if end < len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, end)
        return value

    def _decode_value(self, at: int) -> tuple[Any, int]:
        """Return the value that begins at `at`, and the position behind it.

        in the window               decoded there
        not in it                   the window moves to `at`
        longer than a window        an object or a list: member by member
                                    a string or a number: in a window up to the end of the text
        """
        self._breathe()
        if decoded := self._decode_in_window(at):
            return decoded
        if self._start != at:
            self._move_window(at)
            if decoded := self._decode_in_window(at):
                return decoded
        if self._text[at] == "{":
            return self._decode_object(at + 1)
        if self._text[at] == "[":
            return self._decode_list(at + 1)
        self._move_window(at, len(self._text))
        decoded = self._decode_in_window(at)
        assert decoded, "in the text's last window `_decode_in_window` raises instead"
        self._move_window(decoded[1])
        return decoded

    def _move_window(self, start: int, characters: int | None = None) -> None:
        """Move the window to `start`; values that end behind `_limit` may go on behind the window."""
        self._start, self._window = start, self._text[start : start + (characters or WINDOW)]
        self._is_last = start + len(self._window) >= len(self._text)
        self._limit = len(self._window) - (0 if self._is_last else LONGEST_CUT)

    def _decode_in_window(self, at: int) -> tuple[Any, int] | None:
        """Return the value at `at` if it ends inside the window. Raises JSONDecodeError in the text's last window."""
        try:
            value, end = self._decoder.raw_decode(self._window, at - self._start)
        except json.JSONDecodeError as exc:
            if self._is_last:
                raise json.JSONDecodeError(exc.msg, self._text, self._start + exc.pos) from exc
            return None
        # A number may go on behind the window: "1" may begin "1e+9".
        return (value, self._start + end) if end <= self._limit else None

    def _decode_object(self, at: int) -> tuple[dict[str, Any], int]:
        """Return the object whose first member begins behind the blanks at `at`, and the position behind it."""
        members: dict[str, Any] = {}
        repeated: dict[str, None] = {}
        at = self._after_blanks(at)
        if self._text[at : at + 1] == "}":
            return members, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self._text, at)
            name, at = self._decode_value(at)
            at = self._after_blanks(at)
            if self._text[at : at + 1] != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", self._text, at)
            if name in members:
                repeated[name] = None
            members[name], at = self._decode_value(self._after_blanks(at + 1))
            at = self._after_blanks(at)
            if self._text[at : at + 1] == "}":
                self.repeated.extend(repeated)
                return members, at + 1
            at = self._after_comma(at)

    def _decode_list(self, at: int) -> tuple[list[Any], int]:
        """Return the list whose first member begins behind the blanks at `at`, and the position behind it."""
        members: list[Any] = []
        at = self._after_blanks(at)
        # Blanks alone may be longer than a window.
        if self._text[at : at + 1] == "]":
            return members, at + 1
        while True:
            member, at = self._decode_value(at)
            members.append(member)
            at = self._after_blanks(at)
            if self._text[at : at + 1] == "]":
                return members, at + 1
            at = self._after_comma(at)

    def _after_comma(self, at: int) -> int:
        """Return the position of the next member, whose comma must stand at `at`. Raises JSONDecodeError."""
        if self._text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", self._text, at)
        return self._after_blanks(at + 1)

    def _after_blanks(self, at: int) -> int:
        """Return the position behind the blanks at `at`; a long stretch of them is passed in steps."""
        while True:
            blanks = _BLANKS.match(self._text, at, at + WINDOW)
            assert blanks, "the pattern also matches an empty string"
            if blanks.end() < at + WINDOW:
                return blanks.end()
            at = blanks.end()
            self._breathe()

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return the members as a dictionary, and note the names given twice; the decoder calls this per object."""
        self._breathe()
        kept = {self._names.setdefault(name, name): value for name, value in pairs}
        if len(kept) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            self.repeated.extend(name for name, count in counted.items() if count > 1)
        return kept
