"""Other people's files as knowledge: Markdown, text and CSV by ourselves, HTML, PDF and Word through markitdown.

The result is a list of entries as `kb_data/README.md` documents them, ready to be written as JSON and mended by hand.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLAIN = (".md", ".markdown", ".txt", ".csv")
CONVERTED = (".html", ".htm", ".pdf", ".docx")
KNOWN = PLAIN + CONVERTED
NEEDS = "reading {suffix} files needs `pip install -r requirements-import.txt`"

_TITLES = ("title", "question", "name", "heading", "topic")
_TEXTS = ("text", "answer", "content", "body", "description")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class NotImported(Exception):
    """A file can't become knowledge; the message says why."""


def entries_of(file: Path) -> list[dict[str, Any]]:
    """The entries that a file holds, at least one. Raises NotImported."""
    suffix = file.suffix.lower()
    if suffix not in KNOWN:
        raise NotImported(f"is of no kind that can be imported ({', '.join(KNOWN)})")
    text = _text(file) if suffix in PLAIN else _converted(file)
    read = {".csv": _rows, ".txt": _plain}.get(suffix, _sections)
    entries = [
        {"id": f"{_slug(file.stem)}-{number}", **entry, "source": file.name}
        for number, entry in enumerate(read(text, file.stem), start=1)
    ]
    if not entries:
        raise NotImported("holds no text")
    return entries


def write(entries: list[dict[str, Any]], target: Path) -> None:
    """Write a knowledge file, whole at once: a server may be looking."""
    aside = target.with_name(f".{target.name}.part")
    aside.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    aside.replace(target)


def target_name(file: Path) -> str:
    """The name of the knowledge file for an imported one."""
    return f"{_slug(file.stem)}.json"


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise NotImported("is not UTF-8; save it as UTF-8") from exc
    except OSError as exc:
        raise NotImported(f"can't be read: {exc.strerror}") from exc


def _converted(file: Path) -> str:
    try:
        from markitdown import MarkItDown
    except ImportError as exc:
        raise NotImported(NEEDS.format(suffix=file.suffix.lower())) from exc
    if not file.is_file():
        raise NotImported("can't be read: there is no such file")
    try:
        return str(MarkItDown(enable_plugins=False).convert_local(str(file)).text_content)
    except Exception as exc:
        raise NotImported(f"can't be converted: {type(exc).__name__}") from exc


def _plain(text: str, stem: str) -> Iterator[dict[str, str]]:
    if text.strip():
        yield {"title": _spaced(stem), "text": text.strip()}


def _sections(text: str, stem: str) -> Iterator[dict[str, str]]:
    """One entry a heading, with the text below it; what stands above the first heading is named after the file."""
    fences = [found.start() for found in _FENCE.finditer(text)]
    inside_code = [(start, end) for start, end in zip(fences[::2], fences[1::2], strict=False)]
    headings = [
        found for found in _HEADING.finditer(text) if not any(start < found.start() < end for start, end in inside_code)
    ]
    starts = [0, *(found.end() for found in headings)]
    ends = [*(found.start() for found in headings), len(text)]
    titles = [_spaced(stem), *(_unmarked(found[1]) for found in headings)]
    for title, start, end in zip(titles, starts, ends, strict=True):
        if body := _unmarked(text[start:end]):
            yield {"title": title, "text": body}


def _rows(text: str, stem: str) -> Iterator[dict[str, Any]]:
    """One entry a row: of columns called title or question, and text or answer; else all columns make the text."""
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4096], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    for row in csv.DictReader(io.StringIO(text, newline=""), dialect=dialect):
        cells = {key.strip(): value.strip() for key, value in row.items() if key and value and value.strip()}
        by_name = {key.lower(): key for key in cells}
        text_key = next((by_name[name] for name in _TEXTS if name in by_name), None)
        title_key = next((by_name[name] for name in _TITLES if name in by_name), None)
        if text_key:
            rest = {key: value for key, value in cells.items() if key not in (text_key, title_key, "id")}
            yield {"title": cells.get(title_key or "", ""), "text": cells[text_key], **rest}
        elif cells:
            title = cells.get(title_key or "", next(iter(cells.values())))
            yield {"title": title, "text": ". ".join(f"{key}: {value}" for key, value in cells.items()) + "."}


def _unmarked(text: str) -> str:
    """Markdown without what nobody would say aloud: pictures, addresses of links, marks of emphasis."""
    text = re.sub(r"!\[([^\]\n]*)\]\([^)\n]*\)", r"\1", text)
    text = re.sub(r"\[([^\]\n]+)\]\([^)\n]*\)", r"\1", text)
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _slug(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text.casefold()).strip("-_") or "imported"


def _spaced(stem: str) -> str:
    return re.sub(r"[-_]+", " ", stem).strip()
