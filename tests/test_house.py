"""How the code is worded and cut, as far as it can be counted: `python tests/support/house.py` prints the counts."""

from pathlib import Path

import house
import pytest

MOST_HELPERS = 16
"""Private functions and methods in 1 000 lines of the product."""
LEAST_COMMENTS, MOST_COMMENTS = 3, 8
"""Comments in 100 lines, in the files with functions longer than `house.LONG_FUNCTION` lines, and in all."""


def test_a_forbidden_opener_is_found() -> None:
    assert house.FORBIDDEN_OPENER.match("Whether it is closed.") and house.FORBIDDEN_OPENER.match("The same, later.")
    assert not house.FORBIDDEN_OPENER.match("Return whether it is closed.") and not house.FORBIDDEN_OPENER.match(
        "Items."
    )


@pytest.mark.parametrize("file", house.PRODUCT, ids=house.path_of)
def test_docstrings_name_their_subject_first(file: Path) -> None:
    bad = [f"{one.line}: {one.text[:60]}" for one in house.docstrings(file) if house.FORBIDDEN_OPENER.match(one.text)]
    assert bad == []


@pytest.mark.parametrize("file", house.PRODUCT, ids=house.path_of)
def test_long_functions_have_comments(file: Path) -> None:
    functions = house.functions(file)
    if any((one.end_lineno or 0) - one.lineno + 1 > house.LONG_FUNCTION for one in functions):
        assert 100 * len(house.comment_lines(file)) / house.lines_of(file) >= LEAST_COMMENTS


@pytest.mark.slow
def test_the_product_has_comments_but_not_too_many() -> None:
    comments = sum(len(house.comment_lines(file)) for file in house.PRODUCT)
    assert LEAST_COMMENTS <= 100 * comments / sum(map(house.lines_of, house.PRODUCT)) <= MOST_COMMENTS


@pytest.mark.slow
def test_private_helpers_are_few() -> None:
    helpers = sum(len(house.private_helpers(file)) for file in house.PRODUCT)
    assert 1000 * helpers / sum(map(house.lines_of, house.PRODUCT)) <= MOST_HELPERS
