"""Conversion of documents to knowledge files: Markdown, text and CSV directly, HTML, PDF and Word through markitdown.

The result is a list of entries as `kb_data/README.md` documents them, which can then be edited by hand.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parley.operators import atomic_file

PLAIN = (".md", ".markdown", ".txt", ".csv")
CONVERTED = (".html", ".htm", ".pdf", ".docx")
KNOWN = PLAIN + CONVERTED

_TITLES = ("title", "question", "name", "heading", "topic")
_TEXTS = ("text", "answer", "content", "body", "description")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class ImportFailed(Exception):
    """A document can't become a knowledge file; the message says why."""


def entries_of(file: Path) -> list[dict[str, Any]]:
    """Return the entries of a document, at least one. Raises ImportFailed."""
    suffix = file.suffix.lower()
    if suffix not in KNOWN:
        raise ImportFailed(f"has an unknown suffix; the known ones are {', '.join(KNOWN)}")
    try:
        # Excel writes a byte order mark, which would become a part of the first column's name.
        text = file.read_bytes().decode("utf-8-sig") if suffix in PLAIN else _convert(file)
    except UnicodeDecodeError as exc:
        raise ImportFailed("is not UTF-8; save it as UTF-8") from exc
    except OSError as exc:
        raise ImportFailed(f"can't be read: {exc.strerror}") from exc
    parse = {".csv": csv_entries, ".txt": text_entries}.get(suffix, markdown_entries)
    entries = [
        {"id": f"{slug(file.stem)}-{number}", **entry, "source": file.name}
        for number, entry in enumerate(parse(text, title_of(file)), start=1)
    ]
    if not entries:
        raise ImportFailed("contains no text")
    return entries


def write(entries: list[dict[str, Any]], target: Path) -> None:
    """Write a knowledge file in one step, because a server may be reading the folder. Raises ImportFailed."""
    content = json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
    try:
        atomic_file.write(target, content.encode())
    except OSError as exc:
        raise ImportFailed(f"{target} can't be written: {exc.strerror}") from exc


def target_name(file: Path) -> str:
    """Return the name of the knowledge file for a document."""
    return f"{slug(file.stem)}.json"


def _convert(file: Path) -> str:
    """Return a document as Markdown. Raises ImportFailed."""
    try:
        from markitdown import MarkItDown
    except ImportError as exc:
        needs = f"reading {file.suffix.lower()} files needs `pip install -r requirements-import.txt`"
        raise ImportFailed(needs) from exc
    if not file.is_file():
        raise ImportFailed("can't be read: there is no such file")
    try:
        # `convert` would also take a URL and fetch it; a plugin is any installed package that says so.
        return str(MarkItDown(enable_plugins=False).convert_local(str(file)).text_content)
    except Exception as exc:
        # Each format's library has errors of its own, without a common base.
        raise ImportFailed(f"can't be converted: {type(exc).__name__}") from exc


def text_entries(text: str, title: str) -> Iterator[dict[str, Any]]:
    """Yield plain text as one entry, or none if it is blank."""
    if text.strip():
        yield {"title": title, "text": text.strip()}


def markdown_entries(text: str, title: str) -> Iterator[dict[str, Any]]:
    """Yield one entry for each heading, with the text below it; `title` is that of the text above the first heading."""
    # A `#` inside a fenced code block is no heading.
    fences = [fence.start() for fence in _FENCE.finditer(text)]
    code = [(start, end) for start, end in zip(fences[::2], fences[1::2], strict=False)]
    headings = [
        heading for heading in _HEADING.finditer(text) if not any(start < heading.start() < end for start, end in code)
    ]
    starts = [0, *(heading.end() for heading in headings)]
    ends = [*(heading.start() for heading in headings), len(text)]
    titles = [title, *(without_markup(heading[1]) for heading in headings)]
    for heading_title, start, end in zip(titles, starts, ends, strict=True):
        if body := without_markup(text[start:end]):
            yield {"title": heading_title, "text": body}


def csv_entries(text: str, _title: str) -> Iterator[dict[str, Any]]:
    """Yield one entry for each row.

    A column such as `text` or `answer` is its text, one such as `title` or `question` its title, and all others are
    metadata. Without a text column all columns together make the text.
    """
    try:
        # Only these delimiters: left to itself the sniffer may choose a letter.
        dialect: Any = csv.Sniffer().sniff(text[:4096], ",;\t|")
    # The sniffer finds no delimiter in a file of one column.
    except csv.Error:
        dialect = csv.excel
    for row in csv.DictReader(io.StringIO(text, newline=""), dialect=dialect):
        # `DictReader` puts surplus cells under the key None, and None into the cells that a short row lacks.
        cells = {key.strip(): value.strip() for key, value in row.items() if key and value and value.strip()}
        by_name = {key.lower(): key for key in cells}
        text_key = next((by_name[name] for name in _TEXTS if name in by_name), None)
        title_key = next((by_name[name] for name in _TITLES if name in by_name), None)
        if text_key:
            metadata = {key: value for key, value in cells.items() if key not in (text_key, title_key, "id")}
            yield {"title": cells.get(title_key or "", ""), "text": cells[text_key], **metadata}
        elif cells:
            title = cells.get(title_key or "", next(iter(cells.values())))
            yield {"title": title, "text": ". ".join(f"{key}: {value}" for key, value in cells.items()) + "."}


def without_markup(text: str) -> str:
    """Return Markdown without markup that nobody would say aloud: images, addresses of links, marks of emphasis."""
    text = re.sub(r"!\[([^\]\n]*)\]\([^)\n]*\)", r"\1", text)
    text = re.sub(r"\[([^\]\n]+)\]\([^)\n]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def slug(text: str) -> str:
    """Return the letters and digits of a text in lower case, joined by dashes, as part of ids and file names."""
    return re.sub(r"[^\w]+", "-", text.casefold()).strip("-_") or "imported"


def title_of(file: Path) -> str:
    """Return a file's name as a title: without its suffix, words separated by spaces."""
    return re.sub(r"[-_]+", " ", file.stem).strip()
