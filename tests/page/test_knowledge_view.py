"""The view Knowledge: the search tester, the passages, and what is wrong with the files."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
HOSTILE = "<img src=x onerror=alert(1)></script><b>javascript:alert(1)</b> \u202egnol"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> tuple[Path, RunningServer]:
    """Return a folder of knowledge with faults and a long file, and the server that reads it."""
    folder = tmp_path_factory.mktemp("kb")
    entries = [
        {"title": f"Part {number}", "text": f"Part number {number} costs {number} dollars."} for number in range(230)
    ]
    (folder / "parts.json").write_text(json.dumps(entries))
    (folder / "faq.json").write_text('[\n  {"question": "Open?", "answer": "Always."},\n  {"question": "Lost?"}\n]\n')
    (folder / "odd.json").write_text(json.dumps([{"title": HOSTILE, "text": f"Zebras sell here. {HOSTILE}"}]))
    return folder, servers(KB_DIR=str(folder))


def search(page: Page, question: str) -> None:
    """Search by the form."""
    page.locator("#search-question").fill(question)
    page.locator("#search-question").press("Enter")


def test_a_search_tells_why_a_passage_was_found(page: Page, patient: RunningServer) -> None:
    page.goto(f"{patient.url}/playground#knowledge")
    search(page, "How much is a tune-up?")

    first = page.locator(".hits .hit").first
    expect(first).to_contain_text("A tune-up costs 65 dollars")
    expect(first).to_contain_text("services.json")
    expect(first).to_contain_text("sent")
    expect(first).to_contain_text("“tune”")
    page.get_by_text("What goes upstream").click()
    expect(page.get_by_role("region", name="What goes upstream")).to_contain_text("How much is a tune-up?")


def test_a_search_goes_on_from_what_was_said_before(page: Page, patient: RunningServer) -> None:
    page.goto(f"{patient.url}/playground#knowledge")
    page.locator("#search-before").fill("Do you do tune-ups?")
    search(page, "How much is it?")

    expect(page.locator(".facts")).to_contain_text("Do you do tune-ups?")
    expect(page.locator(".hits .hit").first).to_contain_text("tune-up")


def test_a_search_without_a_result_shows_the_nearest(page: Page, patient: RunningServer) -> None:
    page.goto(f"{patient.url}/playground#knowledge")
    search(page, "Is there a cheap dentist in Lisbon?")

    expect(page.locator("#panel-knowledge .result")).to_contain_text(
        "Nothing was found: the best passage reaches coverage"
    )
    expect(page.locator("#panel-knowledge .result")).to_contain_text("is needed")
    expect(page.locator(".hits.greyed .hit").first).to_contain_text("not sent")


def test_filters_that_are_no_json_are_named(page: Page, patient: RunningServer) -> None:
    page.goto(f"{patient.url}/playground#knowledge")
    page.locator("#search-filters").fill("{price")
    search(page, "How much is a tune-up?")

    expect(page.locator("#panel-knowledge .result")).to_contain_text("The filters are no JSON")


def test_passages_come_a_hundred_a_page(page: Page, folder: tuple[Path, RunningServer]) -> None:
    page.goto(f"{folder[1].url}/playground#knowledge")
    page.get_by_role("button", name="Open the passages").first.click()
    page.locator("#passages-file").select_option("parts.json")

    where = page.locator("#panel-knowledge .count")
    expect(where).to_have_text("1 to 100 of 230")
    page.get_by_role("button", name="Next 100").click()
    expect(where).to_have_text("101 to 200 of 230")
    page.get_by_role("button", name="Next 100").click()
    expect(where).to_have_text("201 to 230 of 230")
    expect(page.get_by_role("button", name="Next 100")).to_be_disabled()
    expect(page.locator(".passages li")).to_have_count(30)


def test_faults_are_shown_with_file_and_line(page: Page, folder: tuple[Path, RunningServer]) -> None:
    page.goto(f"{folder[1].url}/playground#knowledge")
    expect(page.get_by_role("row", name="degraded")).to_be_visible()
    page.get_by_role("button", name="Open the passages").first.click()

    expect(page.locator(".faults")).to_contain_text("faq.json, line 3")


@pytest.mark.row("PG-06")
def test_what_a_passage_holds_is_text(page: Page, folder: tuple[Path, RunningServer]) -> None:
    page.goto(f"{folder[1].url}/playground#knowledge")
    search(page, f"Do zebras sell here? {HOSTILE}")
    page.get_by_role("button", name="Open the passages").first.click()
    page.locator("#passages-file").select_option("odd.json")

    expect(page.locator(".facts")).to_contain_text("<img src=x onerror=alert(1)></script><b>")
    # Tags of HTML are taken out of knowledge when it is read; what is left is text.
    for shown in (".hits .text", ".passages .text"):
        expect(page.locator(shown).first).to_contain_text("Zebras sell here. </script>javascript:alert(1)")
    assert page.locator("#panel-knowledge img, #panel-knowledge script").count() == 0


def test_without_knowledge_the_next_step_is_told(page: Page, servers: Servers, tmp_path: Path) -> None:
    page.goto(f"{servers(KB_DIR=str(tmp_path)).url}/playground#knowledge")

    expect(page.locator("#panel-knowledge .notice")).to_contain_text("flask kb import FILES")
