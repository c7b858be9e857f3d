"""The page by axe-core: no violation in any view, scheme or width; and nothing that has to be scrolled sideways."""

from typing import Any

import page_kits
import pytest
from fake_upstream import FakeUpstream, answer
from page_traffic import call_once
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
VIEWS = ("try", "turns", "live", "knowledge", "recordings", "connect")
FOUND = """async () => (await axe.run()).violations.map(
  (one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" ")}`)"""


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the source of axe-core."""
    try:
        return (page_kits.modules() / "axe-core" / "axe.min.js").read_text()
    except page_kits.KitsMissing as exc:
        pytest.skip(f"the page's accessibility is NOT checked here: {exc}")


@pytest.fixture
def called(servers: Servers, upstream: FakeUpstream) -> RunningServer:
    """Return a server whose views have something to show."""
    upstream.script = answer("We are open.")
    server = servers(alone="called")
    for number in (1, 3, 7):
        call_once(server.url, number)
    return server


def fill(page: Page, view: str) -> None:
    """Have a view show more than it does at first."""
    if view == "turns":
        page.locator(".opener").first.click()
        expect(page.locator("tr.details pre").first).to_be_visible()
    if view == "live":
        page.locator("figure.chart summary").first.click()
    if view == "knowledge":
        page.locator("#search-question").fill("How much is a tune-up?")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".hits")).to_be_visible()
        page.get_by_role("button", name="Open the passages").first.click()
        expect(page.locator(".passages li").first).to_be_visible()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(page: Page, called: RunningServer, axe: str, view: str) -> None:
    page.goto(f"{called.url}/playground#{view}")
    page.locator(f"#panel-{view}").wait_for()
    fill(page, view)
    # By the debugger's way, which no policy of the page's forbids.
    page.evaluate(f"{axe};0")
    found: dict[str, Any] = {}
    for scheme in ("light", "dark"):
        for width in (1200, 320):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            found[f"{scheme} {width}"] = page.evaluate(FOUND)
            assert page.evaluate("document.documentElement.scrollWidth") <= width

    assert not any(found.values()), found
