"""What a browser loads for the page: from this server alone, and not much."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Response, expect
from running_server import ROOT, RunningServer

pytestmark = [pytest.mark.server, pytest.mark.page]
VIEWS = ("turns", "live", "knowledge", "recordings", "connect", "try")
MOST_REQUESTS = 25
MOST_TRANSFERRED = 90_000
"""Bytes of the page's files as they are sent."""
MOST_DECODED = 250_000
PAGE = ROOT / "blueprints" / "playground_page"


@pytest.fixture
def responses(page: Page) -> Iterator[list[Response]]:
    """Yield all responses that the page gets."""
    seen: list[Response] = []
    page.on("response", lambda response: seen.append(response))
    yield seen


@pytest.mark.row("PG-13")
def test_nothing_comes_from_elsewhere(page: Page, patient: RunningServer) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in VIEWS:
        page.goto(f"{patient.url}/playground#{view}")
        expect(page.locator(f"#panel-{view}")).to_be_visible()
    page.wait_for_timeout(500)

    assert len(asked) > 5
    assert [url for url in asked if not url.startswith(f"{patient.url}/") and not url.startswith("data:")] == []


def test_the_page_is_small(page: Page, patient: RunningServer, responses: list[Response]) -> None:
    page.goto(f"{patient.url}/playground")
    page.wait_for_load_state("networkidle")
    files = [one for one in responses if "/api/" not in one.url and not one.url.endswith("/metrics")]

    transferred = sum(one.request.sizes()["responseBodySize"] for one in files)
    decoded = sum(len(one.body()) for one in files)
    # An icon that is shown twice is asked for once.
    asked = {one.url for one in responses}
    figures = f"{transferred} bytes as sent, {decoded} unpacked, {len(asked)} requests"
    assert all(one.status == 200 for one in files)
    assert transferred <= MOST_TRANSFERRED and decoded <= MOST_DECODED and len(asked) <= MOST_REQUESTS, figures


def test_a_second_visit_transfers_no_file(page: Page, patient: RunningServer, responses: list[Response]) -> None:
    page.goto(f"{patient.url}/playground")
    page.wait_for_load_state("networkidle")
    responses.clear()
    page.reload()
    page.wait_for_load_state("networkidle")

    files = [one for one in responses if one.url.endswith((".js", ".css"))]
    assert files and {one.status for one in files} <= {200, 304}
    assert sum(one.request.sizes()["responseBodySize"] for one in files) == 0
