"""docs/reliability.md names the tests that hold each promise; this keeps the list true."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "reliability.md").read_text()
ROW = re.compile(r"^\| ([A-Z]{2}-\d\d) \| .* \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"^ *def (test_([a-z]{2})_(\d\d)_\w+)\(", re.MULTILINE)
OWNED = {
    *(f"UP-{number:02}" for number in range(1, 22)),
    *(f"UM-{number:02}" for number in range(1, 19)),
    *(f"CL-{number:02}" for number in range(1, 14)),
    *(f"IN-{number:02}" for number in range(1, 22)),
    *(f"AU-{number:02}" for number in range(1, 9)),
    *(f"HD-{number:02}" for number in range(1, 12)),
    *(f"AF-{number:02}" for number in range(1, 12)),
    *(f"LM-{number:02}" for number in range(1, 10)),
    *(f"SD-{number:02}" for number in range(1, 13)),
    *(f"RG-{number:02}" for number in range(1, 4)),
    *(f"RL-{number:02}" for number in range(1, 8)),
    *(f"OB-{number:02}" for number in range(1, 6)),
    *(f"SE-{number:02}" for number in range(1, 9)),
    *(f"BR-{number:02}" for number in range(1, 7)),
    *(f"HC-{number:02}" for number in range(1, 10)),
    *(f"KB-{number:02}" for number in range(1, 11)),
    *(f"PI-{number:02}" for number in range(1, 7)),
}


def names_by_row() -> dict[str, set[str]]:
    """The names of the tests of each row, as they bear its id."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name, letters, number in NAMED.findall(file.read_text()):
            found.setdefault(f"{letters.upper()}-{number}", set()).add(name)
    return found


def rows() -> dict[str, set[str]]:
    return {row: set(re.findall(r"`(test_\w+)`", cell)) for row, cell in ROW.findall(DOCUMENT)}


def test_every_promise_is_in_the_list() -> None:
    assert rows().keys() == OWNED


def test_the_list_names_the_tests_that_there_are() -> None:
    held = {row: names for row, names in names_by_row().items() if row in OWNED}

    assert {row: names for row, names in rows().items() if names} == held


def test_a_promise_without_a_test_of_its_own_says_how_it_is_held() -> None:
    for row, cell in ROW.findall(DOCUMENT):
        assert "`" in cell, row
