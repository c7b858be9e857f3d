"""docs/reliability.md names the tests of each row; the collector and the page agree (tests/support/rows.py)."""

import ast
from pathlib import Path

import pytest
import rows

PAGE = rows.PAGE.read_text()
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
    *(f"RG-{number:02}" for number in range(1, 5)),
    *(f"PG-{number:02}" for number in range(1, 16)),
    *(f"DB-{number:02}" for number in range(1, 16)),
    *(f"RL-{number:02}" for number in range(1, 8)),
    *(f"OB-{number:02}" for number in range(1, 6)),
    *(f"SE-{number:02}" for number in range(1, 9)),
    *(f"BR-{number:02}" for number in range(1, 7)),
    *(f"HC-{number:02}" for number in range(1, 10)),
    *(f"KB-{number:02}" for number in range(1, 11)),
    *(f"PI-{number:02}" for number in range(1, 7)),
    *(f"MM-{number:02}" for number in range(1, 7)),
    *(f"PF-{number:02}" for number in range(1, 6)),
    *(f"RA-{number:02}" for number in range(1, 15)),
    *(f"RB-{number:02}" for number in range(1, 6)),
    *(f"RC-{number:02}" for number in range(1, 7)),
    *(f"RD-{number:02}" for number in range(1, 6)),
    *(f"RE-{number:02}" for number in range(1, 12)),
    *(f"TL-{number:02}" for number in range(1, 26)),
    *("IT-01", "IT-02", "IT-03", "FC-01", "FC-02", "AG-01", "AG-02", "PF-06"),
    *(f"SP-{number:02}" for number in range(1, 6)),
    *(f"RF-{number:02}" for number in (5, 6, 7, 8, *range(10, 19), *range(20, 28))),
    *(f"MC-{number:02}" for number in range(1, 5)),
    *(f"MH-{number:02}" for number in range(1, 5)),
    *(f"SH-{number:02}" for number in range(1, 16)),
}


HELD_OTHERWISE = {"RL-02"}
"""Rows whose faults take minutes to show: `make soak` holds them."""
MODULE = """
pytestmark = [pytest.mark.server, pytest.mark.row("AA-01")]
@pytest.mark.row("BB-01", "BB-02")
def test_marked(): ...
def test_up_02_named(): ...
def test_um_07_to_09_several(): ...
def helper(): ...
class TestGroup:
    @pytest.mark.row("CC-01")
    def test_inside(self): ...
"""


def test_every_promise_is_in_the_list() -> None:
    assert {row for row, _, _ in rows.ROW.findall(PAGE)} == OWNED


@pytest.mark.slow
def test_the_page_names_the_tests_that_there_are() -> None:
    assert rows.rendered(PAGE, rows.collect()) == PAGE, "run `make rows`"


def test_every_row_has_a_test_or_says_how_it_is_held() -> None:
    assert {row for row, _, held in rows.ROW.findall(PAGE) if "`test_" not in held} == HELD_OTHERWISE


def test_the_legend_explains_each_prefix_and_no_other() -> None:
    assert rows.prefixes(PAGE) == {row[:2] for row in OWNED}


def test_a_test_belongs_to_rows_by_its_marker_or_its_name() -> None:
    found: dict[str, set[str]] = {}
    for row, test in rows.rows_of(ast.parse(MODULE)):
        found.setdefault(test, set()).add(row)

    assert found == {
        "test_marked": {"AA-01", "BB-01", "BB-02"},
        "test_up_02_named": {"AA-01", "UP-02"},
        "test_um_07_to_09_several": {"AA-01", "UM-07", "UM-08", "UM-09"},
        "test_inside": {"AA-01", "CC-01"},
    }


def test_only_the_tests_of_a_row_are_written_anew() -> None:
    page = "| UP | the upstream |\n\n| UP-01 | a title | `test_old` |\n| UP-02 | another | `make soak` |\n"

    made = rows.rendered(page, {"UP-01": {"test_b": Path(), "test_a": Path()}})

    assert made == page.replace("`test_old`", "`test_a`<br>`test_b`")


def test_a_row_that_the_page_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="UP-99"):
        rows.rendered(PAGE, {"UP-99": {"test_x": Path()}})
