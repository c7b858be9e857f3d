"""llms.txt: a heading, a summary, and each page of the documentation once."""

import re

from running_server import ROOT

TEXT = (ROOT / "llms.txt").read_text()
LINKS = re.findall(r"^- \[([^\]]+)\]\(([^)]+)\): \S.*$", TEXT, re.MULTILINE)
PAGES = {"README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"}


def test_every_page_is_listed_once() -> None:
    pages = {*PAGES, *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))}
    assert sorted(path for _, path in LINKS) == sorted(pages)


def test_it_has_the_usual_form() -> None:
    head, _, rest = TEXT.partition("\n## ")
    assert head.startswith("# Parley\n\n> ") and len(LINKS) == len(re.findall(r"^- ", rest, re.MULTILINE))


def test_each_page_bears_its_name() -> None:
    for name, path in LINKS:
        title = (ROOT / path).read_text().partition("\n")[0]
        assert path in PAGES or name.lower() in title.lower(), path
