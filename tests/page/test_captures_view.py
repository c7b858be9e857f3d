"""Captures on the page: what was sent in a turn, in red that it is kept, and sending it again in Try."""

import json
import re

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from playground import expect_state, last_answer
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page, pytest.mark.row("PG-15")]
WORDS = "When are you open? <b>sk-abcdefgh0123</b>"


@pytest.fixture
def keeping(servers: Servers, upstream: FakeUpstream) -> RunningServer:
    """Return a server that keeps requests and answers."""
    upstream.script = answer("We are open.")
    return servers(CAPTURE="20")


def ask(server: RunningServer, path: str = "/chat/completions", **fields: object) -> str:
    """Ask, and return the request's id."""
    body = {"messages": [{"role": "user", "content": WORDS}], "stream": True, "temperature": 0.25, **fields}
    return str(requests.post(server.url + path, json=body, timeout=20).headers["x-request-id"])


def open_row(page: Page, server: RunningServer, name: str) -> None:
    """Open the row of a turn."""
    page.goto(f"{server.url}/playground#turns")
    # What the server tells of itself has come.
    expect(page.locator("#facts li").first).to_be_visible()
    page.locator("#turns-wanted").fill(name)
    page.locator(".opener").click()


def test_a_row_shows_what_was_sent(page: Page, keeping: RunningServer) -> None:
    open_row(page, keeping, ask(keeping))

    expect(page.locator("#facts .fact.bad", has_text="keeps what callers say (CAPTURE=20)")).to_be_visible()
    details = page.locator(".captured details")
    details.nth(0).locator("summary").click()
    details.nth(1).locator("summary").click()
    expect(details.nth(0).locator("pre")).to_contain_text('"content": "When are you open? <b>sk-***</b>"')
    expect(details.nth(1).locator("pre")).to_contain_text("data: [DONE]")


@pytest.mark.parametrize("path", ["/chat/completions", "/rag/v1/chat/completions?waiting=off"], ids=["chat", "rag"])
def test_a_request_is_sent_again_in_try(page: Page, keeping: RunningServer, upstream: FakeUpstream, path: str) -> None:
    open_row(page, keeping, ask(keeping, path))
    page.get_by_role("button", name="Send again in Try").click()

    expect(page.locator("#panel-try")).to_be_visible()
    expect(page.locator(f"#endpoint-{'rag' if 'rag' in path else 'chat'}")).to_be_checked()
    expect(page.locator("#request")).to_have_value(re.compile('"temperature": 0.25'))
    expect(page.locator(".editor code")).to_have_text(path)
    assert json.loads(page.locator("#request").input_value())["messages"][0]["content"].startswith("When are you open")
    assert "open" not in page.url
    upstream.calls.clear()
    page.locator("#send").click()
    expect_state(page, "complete")
    expect(last_answer(page)).to_contain_text("We are open.")
    assert upstream.calls[0].json["temperature"] == 0.25


def test_try_that_was_used_before_takes_it_up(page: Page, keeping: RunningServer) -> None:
    page.goto(f"{keeping.url}/playground#try")
    page.locator("#edit").click()
    expect(page.locator("#request")).to_have_value(re.compile("Hello!"))
    name = ask(keeping, "/audio/chat/completions", stream=False)
    page.locator("#tab-turns").click()
    page.locator("#turns-wanted").fill(name)
    page.locator(".opener").click()
    page.get_by_role("button", name="Send again in Try").click()

    expect(page.locator("#endpoint-audio")).to_be_checked()
    expect(page.locator("#request")).to_have_value(re.compile('"stream": false'))


def test_a_turn_that_is_not_kept_is_told(page: Page, keeping: RunningServer) -> None:
    name = ask(keeping)
    for _ in range(20):
        ask(keeping)
    open_row(page, keeping, name)

    expect(page.locator("tr.details")).to_contain_text("What was sent in this turn is not kept")
    expect(page.locator(".captured")).to_have_count(0)


def test_a_body_that_was_cut_is_not_sent_again(page: Page, keeping: RunningServer) -> None:
    open_row(page, keeping, ask(keeping, messages=[{"role": "user", "content": "x" * 300_000}]))

    expect(page.locator(".captured summary").first).to_contain_text("cut: this is its beginning")
    expect(page.get_by_role("button", name="Send again in Try")).to_be_disabled()


@pytest.mark.row("PG-10")
def test_by_default_no_view_asks_for_captures(page: Page, patient: RunningServer) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_row(page, patient, ask(patient))

    expect(page.locator("tr.details pre")).to_be_visible()
    assert not [url for url in asked if "capture" in url]
    expect(page.locator("#facts .fact.bad", has_text="CAPTURE")).to_have_count(0)


def test_each_worker_is_asked_until_one_has_it(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(CAPTURE="50", WEB_CONCURRENCY="2")
    names = [ask(server) for _ in range(4)]
    for name in names[-2:]:
        open_row(page, server, name)
        expect(page.locator(".captured")).to_be_visible()
