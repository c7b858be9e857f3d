"""CONTRIBUTING.md: the files and commands that it names exist, and its list of untested modules is true."""

import re
import runpy
from pathlib import Path

import house
import pytest

from parley.errors import ParleyError

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
MOST_WITHOUT_TESTS = 10


def listed() -> dict[str, str]:
    """The modules that the page lists as untested, with the reason of each."""
    table = PAGE.partition("## Modules without a test file")[2]
    return dict(re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", table, re.MULTILINE))


def test_few_modules_are_listed_as_untested() -> None:
    assert 0 < len(listed()) <= MOST_WITHOUT_TESTS


def test_the_modules_without_a_test_file_are_listed() -> None:
    assert listed().keys() == set(house.untested_modules())


def test_every_path_on_the_page_exists() -> None:
    paths = re.findall(r"`([\w./-]+/[\w./-]*|[\w.]+\.(?:py|md|json))`", PAGE)

    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_make_target_on_the_page_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"`make ([a-z-]+)`", PAGE)) <= set(targets)


@pytest.mark.slow
def test_the_caps_are_those_that_are_held() -> None:
    rules = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))

    assert f"at most {rules['MAX_FUNCTION_LINES']} lines" in PAGE
    assert f"files {rules['MAX_FILE_LINES']} " in PAGE


def test_the_attributes_of_errors_that_it_names_exist() -> None:
    error = PAGE.partition("**An error**")[2].partition("\n2.")[0]
    names = re.findall(r"`([a-z_]+)`", error)

    assert {"code", "retryable"} <= set(names)
    assert [name for name in names if not hasattr(ParleyError, name)] == []
