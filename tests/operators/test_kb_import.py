"""Documents become entries as the server reads them: by headings, by rows, or as a whole."""

# ruff: noqa: RUF001 - texts of other scripts

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from office_files import write_docx, write_pdf

from parley.knowledge import documents
from parley.knowledge.documents import Passage
from parley.operators import kb_import
from parley.operators.kb_import import ImportFailed, Options
from parley.operators.kb_tables import Columns

converter = pytest.mark.skipif(not find_spec("markitdown"), reason="needs requirements-import.txt")


def write(file: Path, content: str) -> None:
    file.write_text(content)


def passages(file: Path) -> list[Passage]:
    """Return the passages of an imported document, as the server reads them."""
    folder = file.parent / "kb"
    folder.mkdir()
    kb_import.write(kb_import.read_document(file).entries, folder / kb_import.target_name(file))
    loaded = documents.load(folder)
    assert not loaded.problems
    return list(loaded.passages)


def imported(file: Path) -> list[tuple[str, str]]:
    """Return titles and texts of an imported document."""
    return [(passage.title, passage.text) for passage in passages(file)]


def test_markdown_becomes_an_entry_a_heading(tmp_path: Path) -> None:
    file = tmp_path / "house-rules.md"
    write(
        file,
        "Welcome.\n\n# Hours\n\nWe open at **9**. See [the map](https://x.example).\n\n```\n# no heading\n```\n\n"
        "## Sunday ##\n\n![a door](x.png)\nClosed.\n\n# Empty\n",
    )

    assert imported(file) == [
        ("house rules", "Welcome."),
        ("Hours", "We open at 9. See the map.\n\n```\n# no heading\n```"),
        ("Sunday", "a door\nClosed."),
    ]


@pytest.mark.row("RC-03")
def test_a_line_of_json_ends_only_where_json_ends_one(tmp_path: Path) -> None:
    write(tmp_path / "a.json", '{"q": "Where\u2028is it?", "a": "Here."}\n{"q": "When?", "a": "Now."}\n')

    assert len(kb_import.read_document(tmp_path / "a.json").entries) == 2


def test_lines_of_json_may_be_called_json(tmp_path: Path) -> None:
    write(tmp_path / "faq.json", '{"question": "q", "answer": "a"}\n{"question": "r", "answer": "b"}\n')

    assert imported(tmp_path / "faq.json") == [("q", "a"), ("r", "b")]


def test_text_becomes_one_entry(tmp_path: Path) -> None:
    write(tmp_path / "About us.txt", "# not a heading\nWe mend bicycles.\n")

    assert imported(tmp_path / "About us.txt") == [("About us", "# not a heading\nWe mend bicycles.")]
    assert kb_import.target_name(tmp_path / "About us.txt") == "about-us.json"


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        ("Question,Answer,Topic\nWhere?,Here.,place\n", [("Where?", "Here.")]),
        ("title;text\nA;b, c\n", [("A", "b, c")]),
    ],
)
def test_csv_becomes_an_entry_a_row(tmp_path: Path, content: str, entries: list[tuple[str, str]]) -> None:
    write(tmp_path / "t.csv", content)

    assert imported(tmp_path / "t.csv") == entries


def test_further_columns_and_the_source_become_metadata(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    write(file, "question,answer,language\nWhere?,Here.,en\n")

    assert passages(file)[0].metadata == {"language": "en", "source": "t.csv"}


@converter
@pytest.mark.filterwarnings("default")
@pytest.mark.slow
def test_html_becomes_entries_by_its_headings(tmp_path: Path) -> None:
    write(tmp_path / "a.html", "<html><body><h1>Hours</h1><p>We open at <b>9</b>.</p><h2>Sunday</h2><p>Closed.</p>")

    assert imported(tmp_path / "a.html") == [("Hours", "We open at 9."), ("Sunday", "Closed.")]


@pytest.mark.slow
@converter
@pytest.mark.filterwarnings("default")
def test_a_word_document_becomes_entries_by_its_headings(tmp_path: Path) -> None:
    write_docx(tmp_path / "a.docx", [("Hours", "We open at 9."), ("Sunday", "Closed.")])

    assert imported(tmp_path / "a.docx") == [("Hours", "We open at 9."), ("Sunday", "Closed.")]


@pytest.mark.slow
@converter
@pytest.mark.filterwarnings("default")
def test_a_pdf_becomes_an_entry_named_after_its_file(tmp_path: Path) -> None:
    write_pdf(tmp_path / "opening-hours.pdf", ["We open at 9.", "On Sundays we stay closed."])

    entries = imported(tmp_path / "opening-hours.pdf")
    assert entries == [("opening hours", "We open at 9.\nOn Sundays we stay closed.")]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.exe", b"x", "has an unknown suffix"),
        ("a.ods", b"x", "is of a kind that is not read; save it as .xlsx"),
        ("a.txt", "привет, мир".encode("windows-1251"), "is neither UTF-8 nor Windows-1252"),
        ("a.csv", b"\xd0\xcf\x11\xe0old", "is a workbook of old Excel"),
        ("a.xls", b"<html><table>", "is HTML or XML under the name of a workbook"),
        ("a.json", b'{"a":\n x}', "^line 2, column 2: expected value"),
        ("a.json", b"3", "must hold a list or an object"),
        ("a.csv", b"question,answer\nWhere?,\n", r"contains no text: line 2: has no answer \(Where\?\)"),
        ("a.md", b" \n", "contains no text"),
    ],
)
def test_a_document_that_can_not_be_used_tells_why(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ImportFailed, match=fault):
        kb_import.read_document(tmp_path / name)


@pytest.mark.slow
@converter
@pytest.mark.filterwarnings("default")
def test_an_error_of_the_converter_is_a_failed_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import markitdown

    def fail(*_: object) -> None:
        raise KeyError("an error of some library")

    monkeypatch.setattr(markitdown.MarkItDown, "convert_local", fail)
    write(tmp_path / "a.html", "x")

    with pytest.raises(ImportFailed, match="can't be converted: KeyError"):
        kb_import.read_document(tmp_path / "a.html")


def test_a_missing_document_tells_so(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="can't be read: No such file"):
        kb_import.read_document(tmp_path / "none.txt")


def test_a_target_that_can_not_be_written_is_a_failed_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(os, "replace", read_only)

    with pytest.raises(ImportFailed, match=r"a\.json can't be written: Read-only file system"):
        kb_import.write([{"text": "x"}], tmp_path / "a.json")


@pytest.mark.row("RC-02")
@pytest.mark.parametrize("name", ["faq.xlsx", "faq.xls", "faq.csv"])
def test_a_workbook_is_known_by_its_bytes(tmp_path: Path, name: str) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Our questions"], ["Frage", "Antwort", "Preis"], ["Wo?", "Hier.", 65]):
        book.active.append(row)
    book.create_sheet("Notes").append(["to be done"])
    with (tmp_path / name).open("wb") as file:
        book.save(file)

    found = kb_import.read_document(tmp_path / name)

    assert [(entry["title"], entry["text"], entry["Preis"]) for entry in found.entries] == [("Wo?", "Hier.", "65")]
    assert found.notes == ['sheet "Sheet", row 1: stands above the header and is not read (Our questions)']
    assert found.left_out[0].startswith('sheet "Notes", row 1: the header names no column for the answer')


@pytest.mark.row("RC-02")
@pytest.mark.parametrize(
    ("name", "raw", "note"),
    [
        ("a.csv", "Frage;Antwort\r\nWo?;Grüße\r\n".encode("windows-1252"), ["read as Windows-1252"]),
        ("a.tsv", "Frage\tAntwort\r\nWo?\tGrüße\r\n".encode("utf-16"), ["read as UTF-16"]),
        ("a.csv", "Frage,Antwort\nWo?,Grüße\n".encode("utf-16-le"), ["read as UTF-16 without a mark"]),
        ("a.csv", "Frage,Antwort\nWo?,Grüße\n".encode("utf-8-sig"), ["read as UTF-8 with a byte order mark"]),
        ("a.csv", "Frage,Antwort\nWo?,Grüße\n".encode(), []),
        ("a.xls", "Frage\tAntwort\nWo?\tGrüße\n".encode(), []),
        ("a.txt", "Grüße".encode("windows-1252"), ["read as Windows-1252"]),
        ("a.json", '{"Wo?": "Grüße"}'.encode("utf-16"), ["read as UTF-16"]),
    ],
)
def test_texts_are_read_in_their_encoding_and_it_is_told(
    tmp_path: Path, name: str, raw: bytes, note: list[str]
) -> None:
    (tmp_path / name).write_bytes(raw)

    found = kb_import.read_document(tmp_path / name)

    assert ([entry["text"] for entry in found.entries], found.notes) == (["Grüße"], note)


@pytest.mark.row("RC-02")
def test_the_operator_names_columns_and_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("тема;цена\nЦепь;35 рублей\n".encode("windows-1251"))

    found = kb_import.read_document(tmp_path / "a.csv", Options(Columns(("тема",), ("цена",)), "windows-1251"))

    assert [(entry["title"], entry["text"]) for entry in found.entries] == [("Цепь", "35 рублей")]


@pytest.mark.row("RC-03")
def test_data_of_other_tools_become_entries_of_ours(tmp_path: Path) -> None:
    articles = [
        {"id": 3601, "title": "Hours", "body": "<p>We open at&nbsp;9.</p>", "draft": False, "source": "theirs"},
        {"id": 3602, "title": "Later", "body": "x", "draft": True},
        {"id": 3603, "title": "Nothing", "body": None},
    ]
    write(tmp_path / "articles.json", json.dumps({"articles": articles, "count": 3, "next_page": None}))

    found = kb_import.read_document(tmp_path / "articles.json")

    assert found.entries == [
        {"id": "3601", "title": "Hours", "text": "We open at 9.", "draft": False, "source": "theirs"}
    ]
    assert found.notes == ['.articles[1]: "draft" says that it is not published: it is left out']
    assert found.left_out == [".articles[2]: the body is empty"]


@pytest.mark.row("RC-03")
def test_a_line_that_is_no_json_is_left_out_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"q": "Where?", "a": "Here."}\n{"q": \n')

    found = kb_import.read_document(tmp_path / "a.jsonl")

    assert [(entry["title"], entry["text"]) for entry in found.entries] == [("Where?", "Here.")]
    assert found.left_out == ["line 2, column 7: expected value"]


@pytest.mark.row("RC-03")
def test_yaml_of_a_bot_is_read(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    write(
        tmp_path / "domain.yml",
        "version: '3.1'\nnlu:\n- intent: faq/hours\n  examples: |\n    - when do you open\n    - opening hours\n"
        "responses:\n  utter_faq/hours:\n  - text: We open at 9.\n  utter_parking:\n  - text: Behind the shop.\n",
    )

    assert imported(tmp_path / "domain.yml") == [
        ("when do you open / opening hours", "We open at 9."),
        ("parking", "Behind the shop."),
    ]


@pytest.mark.row("RC-03")
def test_yaml_that_is_broken_says_where(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    write(tmp_path / "a.yaml", "a: [b\nc: d")

    with pytest.raises(ImportFailed, match=r"^line 2, column 2: is no YAML"):
        kb_import.read_document(tmp_path / "a.yaml")


@pytest.mark.slow
@pytest.mark.row("RC-01")
def test_a_file_that_no_server_would_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="becomes a knowledge file larger than 20 MiB"):
        kb_import.write([{"text": "x" * (20 << 20)}], tmp_path / "a.json")

    assert not (tmp_path / "a.json").exists()
