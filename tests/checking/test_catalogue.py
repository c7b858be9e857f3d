"""The table of checks, and docs/doctor.md, which has a paragraph on each."""

import re
from pathlib import Path

from parley.checking.catalogue import CHECKS, GROUPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text()


def test_ids_are_unique_and_name_their_group() -> None:
    assert len(CHECKS) == sum(len(group.checks) for group in GROUPS)
    assert all(check.id.startswith(f"{group.id}-") for group in GROUPS for check in group.checks)
    assert all(check.fix and check.name for check in CHECKS.values())


def test_what_opens_connections_is_marked() -> None:
    assert {check.id[:2] for check in CHECKS.values() if check.asks} == {"UP", "CL", "SH", "DB", "SV"}


def test_the_page_has_one_paragraph_for_each_check_in_order() -> None:
    assert re.findall(r"^\*\*([A-Z]{2}-\w+)\*\* ", PAGE, re.MULTILINE) == list(CHECKS)


def test_the_page_for_troubles_leads_to_checks_that_exist() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| what is heard")]
    named = [re.findall(r"\[([A-Z]{2}-\w+)\]\(doctor\.md", row.rsplit("|", 2)[1]) for row in rows]
    assert len(rows) > 15 and all(named) and {one for row in named for one in row} <= set(CHECKS)
