"""Tables as entries: one for each row, by the names of its columns.

Only the delimiter is guessed; a CSV file is read by RFC 4180 otherwise, and whatever does not fit is a fault that names
its line. Reading workbooks lives in `kb_workbook.py`.

    rows  ->  header  ->  which columns hold question and answer  ->  entries; rows with the same answer become one
"""

import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from parley.knowledge.entries import Draft, refuse_drafts
from parley.knowledge.field_names import Fields, fields_of, fold
from parley.knowledge.markup import plain

DELIMITERS = ",;\t|"
MAX_CELL = 20 << 20
"""Most characters of a cell: those of a knowledge file."""
HEADER_WITHIN = 10
"""Rows in which the names of the columns are looked for."""
_SEP = re.compile(r'"?sep=(.|\\t)"?\r?\n', re.IGNORECASE)
_QUESTION = re.compile(r"[?？؟]\s*$")


class BadTable(Exception):
    """A table can't be read without losing something; the message names the line and the way out."""


@dataclass(frozen=True)
class Columns:
    """The columns that the operator names: `questions` and `answers`, or each row as one text (`as_rows`)."""

    questions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    as_rows: bool = False


@dataclass(frozen=True)
class Row:
    """A row that is not blank. `place` is "line 3", or "row 3" of a workbook."""

    place: str
    cells: list[str]


@dataclass
class Entries:
    """The entries of a table; `left_out` names the rows that gave none, `notes` tells what else is worth knowing."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    encoding: str | None = None


def read_csv(text: str, is_tsv: bool = False) -> list[Row]:
    """Return the rows of a text with delimiters, blank ones left out. Raises BadTable."""
    csv.field_size_limit(MAX_CELL)
    first_line = 1
    delimiters = "\t,;|" if is_tsv else DELIMITERS
    # Excel writes and reads a first line that names the delimiter.
    if named := _SEP.match(text):
        text, first_line = text[named.end() :], 2
        delimiters = "\t" if named[1] == "\\t" else named[1]
    tried: list[tuple[tuple[bool, bool, int, int], list[Row] | BadTable]] = []
    # Blanks between a delimiter and a quote are no part of RFC 4180: they are skipped only where nothing else fits.
    for preference, (skip, delimiter) in enumerate(itertools.product((False, True), delimiters)):
        try:
            rows = rows_by(text, delimiter, first_line, skip)
        except BadTable as fault:
            count = text.partition("\n")[0].count(delimiter)
            tried.append(((False, False, count, -preference), fault))
            continue
        widths = [len(row.cells) for row in rows]
        top = rows[:HEADER_WITHIN]
        header = next((row.cells for at, row in enumerate(top) if is_header(row.cells, Columns(), at == 0)), None)
        # A header that is known tells more than the count of columns; without one, rows of one length do.
        known = bool(header) and len(header or ()) > 1
        uniform = len(set(widths)) == 1 and widths[0] > 1
        score = (known, uniform, widths[0] if widths else 0, -preference)
        tried.append((score, rows))
    _, best = max(tried, key=lambda each: each[0])
    if isinstance(best, BadTable):
        raise best
    return best


def rows_by(text: str, delimiter: str, first_line: int, skip_blanks: bool = False) -> list[Row]:
    """Return the rows by one delimiter. Raises BadTable."""
    if delimiter == "\t" and (plain_rows := unquoted_rows(text, first_line)):
        return plain_rows
    rows = []
    # Strict: otherwise the reader takes whatever stands behind a closing quote for more of the cell.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=skip_blanks, strict=True)
    before = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(Row(f"line {before + first_line}", cells))
            before = reader.line_num
    except csv.Error as exc:
        line = f"line {before + first_line}"
        if "unexpected end" in str(exc):
            raise BadTable(f"{line}: a quote is opened here and never closed") from exc
        if "expected after" not in str(exc):
            raise BadTable(f"{line}: {exc}") from exc
        raise BadTable(
            f'{line}: text stands behind a closing quote; write a quote inside a quoted cell twice ("")'
        ) from exc
    return rows


def unquoted_rows(text: str, first_line: int) -> list[Row]:
    """Return the rows of a text whose tabs all part cells, or none: as IANA defines it, such a file has no quoting."""
    lines = re.split(r"\r\n|\n|\r", text) if '"' in text and '""' not in text else []
    rows = [Row(f"line {at}", line.split("\t")) for at, line in enumerate(lines, first_line) if line.strip()]
    quoted = any(cell[:1] == '"' and cell[-1:] == '"' for row in rows for cell in row.cells)
    return rows if rows and not quoted and len({len(row.cells) for row in rows}) == 1 else []


def entries_of_rows(rows: Sequence[Row], columns: Columns, slug: str) -> Entries:
    """Return the entries of a table whose first rows name its columns. Raises BadTable."""
    if not rows:
        raise BadTable("contains no rows")
    found = Entries()
    names, body = header_of(rows, columns, found)
    fields = fields_to_use(names, columns)
    ids = [at for at, name in enumerate(names) if fold(name) == "id"]
    for row in body:
        cells = fitted(row, names)
        entry = entry_of(cells, names, fields, columns, ids)
        try:
            refuse_drafts({name.lower(): value.lower() for name, value in zip(names, cells, strict=True)})
        except Draft as exc:
            found.notes.append(f"{row.place}: {exc}")
            continue
        if not entry["text"]:
            found.left_out.append(f"{row.place}: has no answer ({beginning_of(cells)})")
            continue
        # With the file's name in front: the ids of two tables are often 1, 2, 3 ...
        if id_ := "-".join(cells[at].strip() for at in ids if cells[at].strip()):
            entry = {"id": f"{slug}-{id_}", **entry}
        found.entries.append(entry)
    if not body:
        raise BadTable("has a header and no rows below it")
    found.entries = merged(found.entries)
    return found


def header_of(rows: Sequence[Row], columns: Columns, found: Entries) -> tuple[list[str], Sequence[Row]]:
    """Return the names of the columns, and the rows below them. Raises BadTable."""
    at = next((at for at, row in enumerate(rows[:HEADER_WITHIN]) if is_header(row.cells, columns, at == 0)), None)
    if at is None and by_number(columns):
        found.notes.append(f"{rows[0].place}: read as a row like the others, since the columns are named by number")
        return [f"column {number}" for number in range(1, 1 + max(len(row.cells) for row in rows))], rows
    pairs = not columns.answers and not any("".join(row.cells[2:]).strip() for row in rows)
    if at is None and pairs and _QUESTION.search(rows[0].cells[0]):
        found.notes.append(f"{rows[0].place}: no header; the first column is read as the question")
        return ["question", "answer"], rows
    if at is None:
        header = ", ".join(f'"{name.strip()}"' for name in rows[0].cells if name.strip())
        asked = " and ".join(f'"{name}"' for name in (*columns.questions, *columns.answers))
        problem = f"has no columns {asked}" if asked else "names no column for the answer"
        raise BadTable(
            f"{rows[0].place}: the header {problem}; it has {header}. Name the columns: "
            "--question NAME --answer NAME (by number, if there is no header: --question 1 --answer 2), or take each "
            "row as one text: --table"
        )
    found.notes += [
        f"{row.place}: stands above the header and is not read ({beginning_of(row.cells)})" for row in rows[:at]
    ]
    names: list[str] = []
    # Each column has a name of its own, so that none of its cells is lost; pandas leaves that of its index empty.
    for number, cell in enumerate(rows[at].cells, start=1):
        name = cell.strip() or f"column {number}"
        while name in names:
            name = f"{name} {number}"
        names.append(name)
    return names, rows[at + 1 :]


def by_number(columns: Columns) -> bool:
    """Return true if the operator names the columns by their numbers."""
    named = (*columns.questions, *columns.answers)
    return bool(named) and all(name.isdecimal() for name in named)


def is_header(cells: Sequence[str], columns: Columns, is_first: bool) -> bool:
    """Return true for a row that names the columns; one that is not the first must name question and answer."""
    if columns.as_rows:
        return True
    if columns.questions or columns.answers:
        return {*map(fold, cells)}.issuperset(map(fold, (*columns.questions, *columns.answers)))
    # A sentence that holds a word such as "answer" is no name.
    shortened = tuple(cell if len(cell) <= 40 and not _QUESTION.search(cell) else "" for cell in cells)
    fields = fields_of(shortened)
    if fields.titles or not fields.texts or not is_first:
        return bool(fields.titles and fields.texts)
    name = fold(cells[fields.texts[0]])
    return len(name) > 1 and " " not in name


def fields_to_use(names: list[str], columns: Columns) -> Fields:
    """Return which columns hold the title and the text: those that the operator names, or else by their names."""
    if columns.as_rows:
        return Fields()
    known = fields_of(tuple(names))
    # What the operator names counts, and what it leaves out is found by the names.
    folded = [fold(name) for name in names]
    if by_number(columns):
        folded = [str(number) for number in range(1, 1 + len(names))]
    missing = [name for name in (*columns.questions, *columns.answers) if fold(name) not in folded]
    if missing:
        raise BadTable(f"there is no column {missing[0]}; there are {len(names)}")
    titles, texts = (
        tuple(folded.index(fold(name)) for name in wanted) for wanted in (columns.questions, columns.answers)
    )
    texts = texts or tuple(at for at in known.texts if at not in titles)
    if not texts:
        raise BadTable("no column for the answer is named; add --answer NAME")
    return Fields(titles or tuple(at for at in known.titles if at not in texts), texts)


def fitted(row: Row, names: list[str]) -> list[str]:
    """Return a row's cells, as many as the header has. Raises BadTable for surplus or missing cells."""
    cells = row.cells
    # Excel fills rows up with empty cells.
    while len(cells) > len(names) and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) != len(names):
        more = "write cells that contain the delimiter in quotes" if len(cells) > len(names) else "a cell is missing"
        count = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
        raise BadTable(f"{row.place}: has {count}, the header {len(names)}; {more}")
    return cells


def entry_of(cells: list[str], names: list[str], fields: Fields, columns: Columns, ids: list[int]) -> dict[str, Any]:
    """Return the entry of a row; its text is empty if the row has none."""
    values = [plain(cell.replace("\r\n", "\n").replace("\r", "\n").strip())[0].strip() for cell in cells]
    if columns.as_rows:
        shown = [f"{name}: {value}" for name, value in zip(names, values, strict=True) if value]
        return {"title": next(filter(None, values), ""), "text": ". ".join(shown) + "." * bool(shown)}
    used = {*fields.titles, *fields.texts, *ids}
    title = " / ".join(dict.fromkeys(values[at] for at in fields.titles if values[at]))
    text = "\n".join(dict.fromkeys(values[at] for at in fields.texts if values[at]))
    metadata = {name: value for at, (name, value) in enumerate(zip(names, values, strict=True)) if at not in used}
    return {"title": title, "text": text, **beside(metadata)}


def beside(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata that stand beside a title and a text, under other names than these, without empty values."""
    taken = ("id", "title", "text")
    return {
        f"{name} (column)" if fold(name) in taken else name: value
        for name, value in metadata.items()
        if value not in ("", None)
    }


def merged(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries, those that differ in their question alone as one with several questions."""
    kept: dict[str, dict[str, Any]] = {}
    for entry in entries:
        key = repr({name: value for name, value in entry.items() if name != "title"})
        if key not in kept:
            kept[key] = entry
        elif entry["title"] and entry["title"] not in kept[key]["title"].split(" / "):
            kept[key]["title"] = f"{kept[key]['title']} / {entry['title']}"
    return list(kept.values())


def beginning_of(cells: Sequence[str]) -> str:
    """Return the beginning of a row's first cell, so that a reader finds it."""
    first = next((" ".join(cell.split()) for cell in cells if cell.strip()), "")
    return first[:40] + "…" * (len(first) > 40)
