"""Conversion of documents to knowledge files: text, Markdown, tables, JSON and YAML of other tools, HTML, PDF, Word.

The result is a list of entries as `docs/knowledge.md` documents them, which can then be edited by hand. Whatever of a
document does not become part of an entry is named; a document that can't be read without loss is refused.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parley.files.json_file import MAX_FILE_BYTES, InvalidFile, parse, parse_lines
from parley.knowledge.entries import Draft, document_of
from parley.knowledge.markup import plain
from parley.knowledge.shapes import Finder
from parley.operators import atomic_file, kb_workbook
from parley.operators.decoding import Undecodable, decode
from parley.operators.kb_tables import BadTable, Columns, Entries, beside, entries_of_rows, read_csv

TEXTS = (".md", ".markdown", ".txt")
TABLES = (".csv", ".tsv", ".tab")
WORKBOOKS = (".xlsx", ".xlsm", ".xls")
DATA = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
CONVERTED = (".html", ".htm", ".pdf", ".docx")
KNOWN = (*TEXTS, *TABLES, *WORKBOOKS, *DATA, *CONVERTED)
SAVE_AS = {
    **dict.fromkeys((".xlsb", ".ods", ".numbers"), "save it as .xlsx, or as CSV in UTF-8"),
    **dict.fromkeys((".doc", ".odt", ".rtf", ".pages"), "save it as .docx"),
    ".xml": "export it as JSON or CSV",
    ".zip": "unpack it, and import its files",
}
"""Suffixes that are not read, and what to do about them."""
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
"""Beginnings of workbooks in the new and the old format, which often bear another suffix."""
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class ImportFailed(Exception):
    """A document can't become a knowledge file; the message says why."""


@dataclass(frozen=True)
class Options:
    """Options for reading documents: the columns of tables, and the encoding of texts, as the operator names them."""

    columns: Columns = field(default_factory=Columns)
    encoding: str | None = None


def read_document(file: Path, options: Options = Options()) -> Entries:
    """Return the entries of a document, at least one. Raises ImportFailed."""
    suffix = file.suffix.lower()
    if suffix not in KNOWN:
        if suffix in SAVE_AS:
            raise ImportFailed(f"is of a kind that is not read; {SAVE_AS[suffix]}")
        raise ImportFailed(f"has an unknown suffix; the known ones are {', '.join(KNOWN)}")
    try:
        found = entries_of(file, suffix, options)
    except (BadTable, Undecodable, InvalidFile) as exc:
        where = re.sub(r":(\d+):(\d+)", r"line \1, column \2: ", getattr(exc, "where", ""))
        raise ImportFailed(f"{where}{exc}") from exc
    except OSError as exc:
        raise ImportFailed(f"can't be read: {exc.strerror}") from exc
    if not found.entries:
        told = [*found.left_out[:3], *found.notes[:3]]
        reason = f": {'; '.join(told)}" if told else ""
        raise ImportFailed(f"contains no text{reason}")
    found.entries = [
        {"id": f"{slug(file.stem)}-{number}", "source": file.name, **entry}
        for number, entry in enumerate(found.entries, start=1)
    ]
    return found


def entries_of(file: Path, suffix: str, options: Options) -> Entries:
    """Return the entries of a document of a known suffix. Raises BadTable, Undecodable, InvalidFile, OSError."""
    if suffix in CONVERTED:
        return Entries(list(markdown_entries(_convert(file), title_of(file))))
    raw = file.read_bytes()
    # The bytes tell what a file is; its name may say otherwise.
    if suffix in WORKBOOKS + TABLES and raw.startswith(_ZIP):
        return workbook_entries(raw, file, options.columns)
    if suffix in WORKBOOKS + TABLES and raw.startswith(_OLE):
        raise BadTable("is a workbook of old Excel, or one with a password; save it as .xlsx without one")
    text, encoding = decode(raw, options.encoding)
    if suffix in WORKBOOKS and text.lstrip().startswith("<"):
        raise BadTable("is HTML or XML under the name of a workbook; open it in Excel and save it as .xlsx")
    if suffix in DATA:
        found = data_entries(text, suffix, slug(file.stem))
    elif suffix in TABLES + WORKBOOKS:
        found = entries_of_rows(read_csv(text, suffix in (".tsv", ".tab")), options.columns, slug(file.stem))
    else:
        read = text_entries if suffix == ".txt" else markdown_entries
        found = Entries(list(read(text, title_of(file))))
    # UTF-8 is the rule and certain; anything else the operator should see.
    found.encoding = encoding
    if encoding != "UTF-8":
        found.notes.insert(0, f"read as {encoding}")
    return found


def workbook_entries(raw: bytes, file: Path, columns: Columns) -> Entries:
    """Return the entries of all visible sheets of a workbook. Raises BadTable and ImportFailed."""
    found, faults = Entries(), []
    try:
        sheets = list(kb_workbook.sheets_of(raw))
    except ImportError as exc:
        raise ImportFailed("reading Excel workbooks needs `pip install -r requirements-import.txt`") from exc
    # Each sheet has a header of its own, and ids of its own.
    for name, rows in sheets:
        prefix = f'sheet "{name}", ' if len(sheets) > 1 else ""
        try:
            of_sheet = entries_of_rows(rows, columns, slug(f"{file.stem} {name}" if prefix else file.stem))
        except BadTable as fault:
            faults.append(f"{prefix}{fault}")
            continue
        found.entries += of_sheet.entries
        found.left_out += [prefix + line for line in of_sheet.left_out]
        found.notes += [prefix + line for line in of_sheet.notes]
    # A sheet of notes beside the questions keeps nothing else out, but a workbook without a readable sheet is at fault.
    if faults and not found.entries:
        raise BadTable(faults[0])
    found.left_out += faults
    return found


def data_entries(text: str, suffix: str, stem: str) -> Entries:
    """Return the entries of a file of JSON, of lines of JSON, or of YAML. Raises InvalidFile and ImportFailed."""
    found = Entries()
    if suffix in (".yaml", ".yml"):
        value = yaml_value(text)
    elif suffix == ".json" and not is_lines_of_json(text):
        value, repeated = parse(text, lambda: None)
        found.left_out += [f'the key "{key}" is given twice in one object; the last one counts' for key in repeated]
    else:
        lines, faults = parse_lines(text, lambda: None)
        value = [line for _, line in lines]
        found.left_out += [f"line {fault.where.strip(':').replace(':', ', column ')}: {fault}" for fault in faults]
    if not isinstance(value, list | dict):
        raise InvalidFile("must hold a list or an object")
    for where, id_, entry in Finder(stem, found.notes.append).entries(value):
        try:
            document = document_of(entry, id_, lambda: None)
        except Draft as exc:
            found.notes.append(f"{where}: {exc}")
        except InvalidFile as exc:
            found.left_out.append(f"{where}: {exc}")
        else:
            found.notes += [f"{where}: {note}" for note in document.notes]
            title, body = plain(document.title)[0], plain(document.text)[0].strip()
            found.entries.append({"id": document.id, "title": title, "text": body, **beside(document.metadata)})
    return found


def is_lines_of_json(text: str) -> bool:
    """Return true for objects in a line each, which databases export under the name of one JSON value."""
    lines = [line for line in text.split("\n") if line.strip()][:2]
    try:
        return len(lines) == 2 and all(isinstance(parse(line, lambda: None)[0], dict) for line in lines)
    except InvalidFile:
        return False


def yaml_value(text: str) -> Any:
    """Return the value of a YAML text. Raises InvalidFile and ImportFailed."""
    try:
        import yaml
    except ImportError as exc:
        raise ImportFailed("reading YAML files needs `pip install -r requirements-import.txt`") from exc
    try:
        # Through JSON: dates become texts, and keys too.
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, TypeError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InvalidFile(f"is no YAML: {getattr(exc, 'problem', None) or exc}", where) from exc


def write(entries: list[dict[str, Any]], target: Path) -> None:
    """Write a knowledge file in one step, because a server may be reading the folder. Raises ImportFailed."""
    content = (json.dumps(entries, ensure_ascii=False, indent=1) + "\n").encode()
    if len(content) > MAX_FILE_BYTES:
        raise ImportFailed(f"becomes a knowledge file larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    try:
        atomic_file.write(target, content)
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
