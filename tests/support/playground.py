"""What tests do on the playground's view Try."""

import re

from playwright.sync_api import Locator, Page, expect
from running_server import RunningServer


def open_try(page: Page, server: RunningServer, endpoint: str = "chat", preset: str = "", host: str = "") -> Page:
    """Open the view with an endpoint, and a platform if one is named."""
    address = f"http://{host}:{server.port}" if host else server.url
    page.goto(f"{address}/playground#try/{endpoint}/{preset}".rstrip("/"))
    expect(page.locator(f"#endpoint-{endpoint}")).to_be_checked()
    # What the server tells is known, and the platforms are offered.
    expect(page.locator("#facts li").first).to_be_visible()
    expect(page.locator("#platform option")).not_to_have_count(0)
    return page


def say(page: Page, words: str) -> None:
    """Enter words and send them."""
    page.locator("#words").fill(words)
    page.keyboard.press("Enter")


def last_answer(page: Page) -> Locator:
    """Return the newest answer."""
    return page.locator(".entry.agent").last


def expect_state(page: Page, state: str) -> None:
    """Wait until the newest answer is in this state."""
    expect(last_answer(page)).to_have_attribute("data-state", state)


def ask(page: Page, words: str, state: str = "complete") -> Locator:
    """Send words and wait for the answer's end; return the answer."""
    count = page.locator(".entry.agent").count()
    say(page, words)
    expect(page.locator(".entry.agent")).to_have_count(count + 1)
    expect_state(page, state)
    return last_answer(page)


def press_copy(page: Page, name: str) -> None:
    """Press a button that copies, and have the page tell that it did."""
    # The page tells it for a moment only: time stands still meanwhile.
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.clock.run_for(2000)
    expect(page.get_by_role("button", name="Copied")).to_have_count(0)
    page.clock.resume()


def copy_by(page: Page, name: str) -> str:
    """Press a button that copies; return what was copied."""
    press_copy(page, name)
    return str(page.evaluate("navigator.clipboard.readText()"))


def figure(page: Page, name: str, column: int = 0) -> Locator:
    """Return a figure of this turn, or of the one before (column 1)."""
    row = page.locator("#figures tr").filter(has=page.locator("th", has_text=re.compile(f"^{name}$")))
    return row.locator("td.value").nth(column)


def milliseconds(cell: Locator) -> float:
    """Return a figure's milliseconds, once it has some."""
    expect(cell).to_have_text(re.compile(r"\d (ms|s)$"))
    number, unit = (cell.text_content() or "").split(" ")
    return float(number) * (1000 if unit == "s" else 1)
