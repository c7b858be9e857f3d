"""Excel workbooks: each cell as the sheet shows it."""

import datetime
import io
from typing import Any

import pytest

from parley.operators.kb_tables import BadTable
from parley.operators.kb_workbook import sheets_of, shown_text

openpyxl = pytest.importorskip("openpyxl")
pytestmark = pytest.mark.row("RC-02")


def workbook(*rows: list[Any]) -> Any:
    book = openpyxl.Workbook()
    book.active.title = "FAQ"
    for row in rows:
        book.active.append(row)
    return book


def saved(book: Any) -> bytes:
    raw = io.BytesIO()
    book.save(raw)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (None, "General", ""),
        ("text", "@", "text"),
        (65, "General", "65"),
        (65.0, "General", "65"),
        (1.5, "General", "1.5"),
        (0.19, "0%", "19%"),
        (65, '#,##0.00 "€"', "65.00 €"),
        (65.5, "[$$-409]#,##0.00", "$65.50"),
        (True, "General", "true"),
        (datetime.datetime(2026, 5, 1), "dd.mm.yyyy", "2026-05-01"),
        (datetime.datetime(2026, 5, 1, 9, 30), "General", "2026-05-01 09:30"),
        (datetime.time(9, 5), "h:mm", "09:05"),
    ],
)
def test_a_value_is_shown_as_the_sheet_does(value: object, number_format: str, shown: str) -> None:
    assert shown_text(value, number_format) == shown


def test_visible_sheets_give_their_rows_with_their_numbers() -> None:
    book = workbook(["Question", "Answer"], [], ["Where?", "Here."])
    book.create_sheet("Hidden").append(["x"])
    book["Hidden"].sheet_state = "hidden"
    book.create_sheet("Empty")

    ((name, rows),) = sheets_of(saved(book))

    assert (name, [(row.place, row.cells) for row in rows]) == (
        "FAQ",
        [("row 1", ["Question", "Answer"]), ("row 3", ["Where?", "Here."])],
    )


def test_cells_merged_downwards_have_their_value_in_each_row() -> None:
    book = workbook(["Question", "Answer"], ["When?", "At 9."], ["At what time?", None])
    book.active.merge_cells("B2:B3")

    ((_, rows),) = sheets_of(saved(book))

    assert [row.cells for row in rows[1:]] == [["When?", "At 9."], ["At what time?", "At 9."]]


def test_a_formula_without_its_result_is_a_fault() -> None:
    with pytest.raises(BadTable, match='sheet "FAQ", cell B2: a formula without its result'):
        list(sheets_of(saved(workbook(["Question", "Answer"], ["Where?", "=A2"]))))


def test_a_file_that_is_no_workbook_is_a_fault() -> None:
    with pytest.raises(BadTable, match="can't be read as an Excel workbook"):
        list(sheets_of(b"PK\x03\x04 and no more"))
