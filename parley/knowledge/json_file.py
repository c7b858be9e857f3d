"""One knowledge file: its bytes checked and read, its JSON parsed. What its value means is `documents.py`'s to say."""

import json
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 20 << 20


class Faulty(Exception):
    """A file or an entry can't be used; the message says why, `where` where inside the file."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.where = where


def read(path: Path, home: Path) -> str:
    """The text of a file that lies in `home`, also where links lead to it. Raises Faulty."""
    try:
        if not path.resolve().is_relative_to(home.resolve()):
            raise Faulty("is a link that leads out of the knowledge folder")
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise Faulty("is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):  # a named pipe would keep us waiting for ever
            raise Faulty("is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, RuntimeError) as exc:  # pathlib's RuntimeError: links that lead in a circle
        raise Faulty(f"can't be read: {getattr(exc, 'strerror', None) or 'its links lead in a circle'}") from exc
    if len(raw) > MAX_FILE_BYTES:
        raise Faulty(f"is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    return _decoded(raw)


def _decoded(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_bare_utf_16(raw):
        raise Faulty("is UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise Faulty(f"is not UTF-8 but perhaps Latin-1 (line {line}); save it as UTF-8") from exc


def _is_bare_utf_16(raw: bytes) -> bool:
    """Without a mark: JSON begins with an ASCII character, which leaves a NUL beside it."""
    return len(raw) > 1 and raw[:2].count(0) == 1


def parse(text: str, breathe: Callable[[], None]) -> tuple[Any, list[str]]:
    """The value of a JSON text, and the keys that some object in it gives twice. Raises Faulty.

    `breathe` is called for each object, which is why a large file stops nobody.
    """
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        breathe()
        kept = dict(pairs)
        if len(kept) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            repeated.extend(name for name, count in counted.items() if count > 1)
        return kept

    if not text or text.isspace():
        raise Faulty("is empty")
    try:
        return json.loads(text, object_pairs_hook=unique), repeated
    except json.JSONDecodeError as exc:
        message = exc.msg[0].lower() + exc.msg[1:].replace("xpecting ", "xpected ", 1)
        message = message.removesuffix(" at").removesuffix(" starting")
        raise Faulty(message, where=f":{exc.lineno}:{exc.colno}") from exc
    except RecursionError as exc:
        raise Faulty("is nested too deeply") from exc
    except ValueError as exc:  # Python's limit on the digits of an integer
        raise Faulty("holds a number with too many digits") from exc
