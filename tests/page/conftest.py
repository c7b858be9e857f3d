"""A browser for the page's tests, servers by their settings, and a guard in every test.

def test_something(page: Page, patient: RunningServer) -> None:
    page.goto(f"{patient.url}/playground#live")

No page may print an error, break its policy, ask anybody but its server, or throw: `page` and `open_page` see to it.
A browser is asked as seldom as once a second: a state that passes is awaited only while it is held, by an Event in the
script of the model (`fake_upstream.held`) or by the page's clock (`page.clock`). A recording is to be a long one.
Under the page's policy `wait_for_function` fails (it evaluates strings): use locators and `expect`.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_upstream import FakeUpstream, answer, models
from pictures import CHROMIUM, FLAGS
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from running_server import RunningServer
from servers import Servers, shared_servers

LAN_NAME = "--host-resolver-rules=MAP lan.test 127.0.0.1"
"""Flag for a name that is no loopback name, so that http is not a secure context."""
OUR_KEY = "sk-ours-0123456789abcdef"
KEPT_SERVERS = 4
PATIENCE_MS = 30_000
"""Milliseconds that a locator is waited for, on a busy machine."""
REPORTED = "addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective}`))"
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield Debian's Chromium; without it tests fail in CI, and are skipped elsewhere."""
    if not shutil.which(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing: .ci/run installs it")
        pytest.skip(f"the page is NOT tested here: {CHROMIUM} is missing (apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    # For a module: while Playwright runs, its event loop does, and no test beside these could begin one of its own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, LAN_NAME])
        yield browser
        browser.close()


class Guard:
    """What a page did that it must not do."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("request", self._request)
        page.add_init_script(REPORTED)

    def _console(self, message: ConsoleMessage) -> None:
        # A refused request is a state of the page, not a fault of it; a missing file of its own would be one.
        is_file = urlsplit(message.location["url"]).path.endswith((".js", ".css", ".svg"))
        if message.type == "error" and (is_file or not message.text.startswith("Failed to load resource")):
            self.found.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        self.hosts |= {url.netloc} if url.scheme in ("http", "https", "ws", "wss") else set()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Yield a function that opens a page in a context of its own, with these options, and guards it."""
    opened: list[tuple[Page, Guard]] = []

    def open_one(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        opened.append((page, Guard(page)))
        return page

    yield open_one
    found = [fault for _, guard in opened for fault in guard.found]
    hosts = [guard.hosts for _, guard in opened]
    for page, _ in opened:
        page.context.close()
    assert not found
    assert all(len(asked) <= 1 for asked in hosts), hosts


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """Return a guarded page."""
    return open_page()


@pytest.fixture(scope="session")
def _fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def upstream(_fake: FakeUpstream) -> Iterator[FakeUpstream]:
    """Yield the servers' upstream, without calls and with its first scripts; a test leaves no call open."""
    _fake.calls.clear()
    _fake.script, _fake.models_script = answer("Hello there"), models(["fake-model"])
    yield _fake
    _fake.wait_until(lambda: _fake.open_calls == 0)


@pytest.fixture(scope="session")
def servers(_fake: FakeUpstream) -> Iterator[Servers]:
    """Yield servers by their settings; those not given have their defaults."""
    with shared_servers({"LLM_BASE_URL": _fake.base_url, "LLM_API_KEY": OUR_KEY}) as servers:
        yield servers


@pytest.fixture(scope="module", autouse=True)
def _few_servers(servers: Servers) -> Iterator[None]:
    """Leave the next module no more servers than a small machine can hold."""
    yield
    servers.stop(keep=KEPT_SERVERS)


@pytest.fixture
def patient(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """Return a server with every default."""
    return servers()
