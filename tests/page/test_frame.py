"""The page's frame: tabs, hash, theme, key."""

import pytest
from playwright.sync_api import Page, expect
from running_server import RunningServer

pytestmark = [pytest.mark.server, pytest.mark.page]


def test_tabs_follow_the_arrows(page: Page, patient: RunningServer) -> None:
    page.goto(f"{patient.url}/playground")
    page.locator("#tab-try").focus()
    page.keyboard.press("ArrowLeft")

    expect(page.locator("#panel-connect")).to_be_visible()
    expect(page.locator("#tab-connect")).to_be_focused()
    expect(page.locator("#tab-connect")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#panel-try")).to_be_hidden()
    assert page.url.endswith("#connect")
    page.keyboard.press("Home")
    expect(page.locator("#panel-try")).to_be_visible()
