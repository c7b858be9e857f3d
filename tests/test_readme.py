"""README.md and the other documents keep to what the code says."""

import json
import re
from pathlib import Path

import pytest

from blueprints.cli.settings import markdown_table

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if ".venv" not in path.parts)
README = (ROOT / "README.md").read_text()


def test_the_settings_table_is_the_one_that_the_code_makes() -> None:
    table = README.partition("(made by `flask settings`) -->\n")[2].partition("\n<!-- settings: end -->")[0]

    assert table == markdown_table()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_json_example_is_json(document: Path) -> None:
    for example in re.findall(r"```json\n(.*?)```", document.read_text(), re.DOTALL):
        json.loads(example)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_first_screen_says_what_it_is_and_how_to_start() -> None:
    first_screen = "\n".join(README.splitlines()[:12])

    assert "custom LLM server for voice agents" in first_screen
    assert "make run" in first_screen and "make test" in first_screen
