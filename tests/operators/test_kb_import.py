"""Documents become entries as the server reads them: by headings, by rows, or as a whole."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from office_files import write_docx, write_pdf

from parley.knowledge import documents
from parley.knowledge.documents import Passage
from parley.operators import kb_import
from parley.operators.kb_import import ImportFailed

converter = pytest.mark.skipif(not find_spec("markitdown"), reason="needs requirements-import.txt")


def write(file: Path, content: str) -> None:
    file.write_text(content)


def passages(file: Path) -> list[Passage]:
    """Return the passages of an imported document, as the server reads them."""
    folder = file.parent / "kb"
    folder.mkdir()
    kb_import.write(kb_import.entries_of(file), folder / kb_import.target_name(file))
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


def test_text_becomes_one_entry(tmp_path: Path) -> None:
    write(tmp_path / "About us.txt", "# not a heading\nWe mend bicycles.\n")

    assert imported(tmp_path / "About us.txt") == [("About us", "# not a heading\nWe mend bicycles.")]
    assert kb_import.target_name(tmp_path / "About us.txt") == "about-us.json"


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        ("Question,Answer,Topic\nWhere?,Here.,place\nWhen?,,time\n", [("Where?", "Here.")]),
        ("title;text\nA;b, c\n", [("A", "b, c")]),
        ("Bike,Price\nCity,25\nCargo,40\n", [("City", "Bike: City. Price: 25."), ("Cargo", "Bike: Cargo. Price: 40.")]),
    ],
)
def test_csv_becomes_an_entry_a_row(tmp_path: Path, content: str, entries: list[tuple[str, str]]) -> None:
    write(tmp_path / "t.csv", content)

    found = imported(tmp_path / "t.csv")

    assert [entry for entry in found if entry[1] != "Question: When?. Topic: time."] == entries


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


@converter
@pytest.mark.filterwarnings("default")
def test_a_word_document_becomes_entries_by_its_headings(tmp_path: Path) -> None:
    write_docx(tmp_path / "a.docx", [("Hours", "We open at 9."), ("Sunday", "Closed.")])

    assert imported(tmp_path / "a.docx") == [("Hours", "We open at 9."), ("Sunday", "Closed.")]


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
        ("a.txt", b"caf\xe9", "is not UTF-8"),
        ("a.md", b" \n", "contains no text"),
    ],
)
def test_a_document_that_can_not_be_used_tells_why(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ImportFailed, match=fault):
        kb_import.entries_of(tmp_path / name)


@converter
@pytest.mark.filterwarnings("default")
def test_an_error_of_the_converter_is_a_failed_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import markitdown

    def fail(*_: object) -> None:
        raise KeyError("an error of some library")

    monkeypatch.setattr(markitdown.MarkItDown, "convert_local", fail)
    write(tmp_path / "a.html", "x")

    with pytest.raises(ImportFailed, match="can't be converted: KeyError"):
        kb_import.entries_of(tmp_path / "a.html")


def test_a_missing_document_tells_so(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="can't be read: No such file"):
        kb_import.entries_of(tmp_path / "none.txt")


def test_a_target_that_can_not_be_written_is_a_failed_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(os, "replace", read_only)

    with pytest.raises(ImportFailed, match=r"a\.json can't be written: Read-only file system"):
        kb_import.write([{"text": "x"}], tmp_path / "a.json")
