"""The file `.env`: its bytes as text, and which of its lines are settings.

A file that is there but can't be read stops the start: going on without it could leave the server open to everybody.
"""

import codecs
import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

BYTE_ORDER_MARKS = (
    # The mark of UTF-32 begins with that of UTF-16, so it comes first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
"""Byte order marks, and Python's names of the encodings."""
MARKS = (
    *BYTE_ORDER_MARKS,
    # Without a mark: the first character of a settings file is an ASCII one.
    (b"\0\0\0", "utf-32-be"),
    (b"\0", "utf-16-be"),
)
"""Encodings by a file's first bytes; any other file is UTF-8, or UTF-16 if its second byte is 0."""


class EnvFileError(Exception):
    """The file is there and can't be used; the message names it and never quotes it."""


@dataclass(frozen=True)
class EnvFile:
    """`statements` is the text of the lines NAME=value, `values` what they set, `ignored` the other lines by number."""

    statements: str
    values: dict[str, str]
    ignored: dict[int, str]


def load(path: Path) -> EnvFile | None:
    """Add what the file sets to the environment, where it is not set; return the file. Raises EnvFileError."""
    # Here, because gunicorn's master must not load it without need.
    from dotenv import load_dotenv

    file = read(path)
    if file:
        load_dotenv(stream=io.StringIO(file.statements), override=False)
    return file


def read(path: Path) -> EnvFile | None:
    """Return the file's content; None if there is none. Raises EnvFileError."""
    if path.is_dir():
        if (path / "pyvenv.cfg").exists():
            # A virtual environment by that name is no settings file.
            return None
        raise EnvFileError(f"{path} is a folder; settings belong into a file of that name")
    if not path.exists() and not path.is_symlink():
        # An editor has added its ending, or other capitals were typed.
        looks = {path.name, f"{path.name}.txt"}
        with contextlib.suppress(OSError):  # a folder that may not be listed
            for name in sorted(os.listdir(path.parent)):
                if name.lower().strip() in looks:
                    raise EnvFileError(f"{path.with_name(name)} is not read; rename it to {path}")
        return None
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise EnvFileError(f"{path} can't be read: {exc.strerror}") from None
    return parse(decode(content, path))


def decode(content: bytes, path: Path) -> str:
    """Return the text of a file by its byte order mark, else as UTF-8. Raises EnvFileError."""
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and content[1:2] == b"\0":
        encoding = "utf-32-le" if content[2:4] == b"\0\0" else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as exc:
        # Not read as Latin-1: whether it is that, or another one, is a guess.
        line = content.count(b"\n", 0, exc.start) + 1
        raise EnvFileError(f"{path} is not valid {encoding.upper()} (line {line}); save it as UTF-8") from None
    if "\0" in text:
        raise EnvFileError(f"{path} holds a NUL character; save it as UTF-8 text")
    return text


def parse(text: str) -> EnvFile:
    """Return the statements of the text, and the lines that are none."""
    from dotenv.parser import parse_stream

    statements, values, ignored = [], {}, {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.key is None and not binding.error:
            continue
        if binding.error or binding.value is None or not str(binding.key).isidentifier():
            whole = binding.original.string
            line = binding.original.line + whole[: len(whole) - len(whole.lstrip())].count("\n")
            ignored[line] = whole.strip()
        else:
            statements.append(binding.original.string)
            values[str(binding.key)] = binding.value
    return EnvFile("".join(statements), values, ignored)
