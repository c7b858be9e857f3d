"""README.md and the other documents keep to what the code says."""

import json
import re
from pathlib import Path

import pytest

from blueprints.cli.settings import markdown_table
from blueprints.cli.settings_page import README_SETTINGS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not {".venv", ".cache"} & set(path.parts))
README = (ROOT / "README.md").read_text()
MOST_LINES = 170


def test_the_settings_table_is_made_from_the_code() -> None:
    table = README.partition("(made by `flask settings --readme`) -->\n")[2].partition("\n<!-- settings: end -->")[0]

    assert table == markdown_table(README_SETTINGS)


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


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_the_readme_leads_to_every_page() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]}

    assert pages - {"README.md", "CHANGELOG.md"} <= set(re.findall(r"\]\(([^)#:]+)\)", README))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_heading_leads_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        page = document.parent / target if target else document
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in slugs, f"{target}#{anchor}"
