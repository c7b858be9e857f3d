"""Excel workbooks as tables: what a reader of the sheet sees, as text. Read by openpyxl."""

import datetime
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

from parley.operators.kb_tables import BadTable, Row

_CURRENCY = re.compile(r'\[\$([^\]-]+)[^\]]*\]|"([^"]+)"|([$€£¥])')
_DECIMALS = re.compile(r"0\.(0+)")


def sheets_of(raw: bytes) -> Iterator[tuple[str, list[Row]]]:
    """Yield name and rows of each visible sheet with content. Raises BadTable, and ImportError without openpyxl."""
    import openpyxl

    try:
        # Of parts that it does not know, such as drawings, openpyxl warns.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            values = openpyxl.load_workbook(io.BytesIO(raw), data_only=True)
            formulas = openpyxl.load_workbook(io.BytesIO(raw))
    except Exception as exc:
        # A workbook is a zip of XML files, and each part has errors of its own.
        raise BadTable(f"can't be read as an Excel workbook ({type(exc).__name__}); save it anew as .xlsx") from exc
    for sheet in values.worksheets:
        if sheet.sheet_state == "visible":
            rows = list(rows_of(sheet, formulas[sheet.title]))
            if rows:
                yield sheet.title, rows


def rows_of(sheet: Any, formulas: Any) -> Iterator[Row]:
    """Yield the rows that are not blank. Raises BadTable."""
    filled = {}
    for merged in sheet.merged_cells.ranges:
        # One answer for several questions: merged downwards, its value stands in the first row alone.
        for row in range(merged.min_row, merged.max_row + 1):
            filled[row, merged.min_col] = sheet.cell(merged.min_row, merged.min_col)
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        texts = []
        # Of a formula openpyxl gives either its text or the result that Excel stored, so the workbook is read twice.
        for cell in cells:
            shown = filled.get((number, cell.column), cell)
            if shown.value is None and str(formulas[shown.coordinate].value or "").startswith("="):
                raise BadTable(
                    f'sheet "{sheet.title}", cell {cell.coordinate}: a formula without its result; open and save the '
                    "workbook in Excel"
                )
            if shown.data_type == "e":
                raise BadTable(f'sheet "{sheet.title}", cell {cell.coordinate}: holds the error {shown.value}')
            texts.append(shown_text(shown.value, shown.number_format or ""))
        if any(text.strip() for text in texts):
            yield Row(f"row {number}", texts)


def shown_text(value: object, number_format: str) -> str:
    """Return a cell's value as the sheet shows it: dates without a time of zero, percent, currency, decimals."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        has_time = value.time() != datetime.time()
        return value.strftime("%Y-%m-%d %H:%M" if has_time else "%Y-%m-%d")
    if isinstance(value, datetime.time):
        return value.strftime("%H:%M")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if "%" in number_format:
        return f"{value * 100:.10g}%"
    decimals = _DECIMALS.search(number_format)
    number = f"{value:.{len(decimals[1])}f}" if decimals else f"{value:.15g}"
    if currency := _CURRENCY.search(number_format):
        sign = next(filter(None, currency.groups())).strip()
        return f"{sign}{number}" if currency.start() < number_format.find("0") else f"{number} {sign}"
    return number
