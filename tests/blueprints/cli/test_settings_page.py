"""docs/settings.md is made from the settings table, and has advice on each setting."""

import dataclasses
import re
from pathlib import Path

from blueprints.cli import settings_page
from blueprints.cli.settings import page
from parley.settings import Settings

ROOT = Path(__file__).parents[3]
ROWS = dataclasses.fields(Settings)
PAGE = page()


def test_the_page_in_the_repository_is_the_one_that_is_made() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == PAGE + "\n", "run `make settings`"


def test_each_setting_has_one_place_on_the_page() -> None:
    names = [name for group in settings_page.GROUPS for name in group.settings]

    assert sorted(names) == sorted(row.name.upper() for row in ROWS)


def test_the_page_advises_in_whole_sentences() -> None:
    for group in settings_page.GROUPS:
        for name, advice in group.settings.items():
            for text in advice:
                assert re.fullmatch(r"[A-Z`].*[.]`?", text), name


def test_the_page_tells_default_form_and_aliases_of_each_setting() -> None:
    for row in ROWS:
        section = PAGE.partition(f"### `{row.name.upper()}`\n")[2].partition("\n#")[0]
        default = row.metadata["shown"] or row.metadata["default"] or "unset"
        for fact in (default, row.metadata["kind"].accepted, *row.metadata["aliases"]):
            assert fact in section, row.name
