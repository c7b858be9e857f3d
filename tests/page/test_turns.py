"""The view Turns: every caller's turns, of all workers, whoever made them."""

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

from parley.operators.platform_requests import Message
from parley.operators.platforms import PLATFORMS

pytestmark = [pytest.mark.server, pytest.mark.page]
POLL_MS = 2000
"""Milliseconds between two questions of the page for turns."""


@pytest.fixture
def turning(servers: Servers, upstream: FakeUpstream) -> RunningServer:
    """Return a server with two workers that nobody else uses."""
    upstream.script = answer("We are open.")
    return servers(alone="turns", WEB_CONCURRENCY="2")


def ask(server: RunningServer, platform: str = "agora", path: str = "/chat/completions") -> str:
    """Have a platform ask, and return the request's id."""
    body = PLATFORMS[platform].request([Message("user", "When are you open?")], "m")
    return str(requests.post(server.url + path, json=body, timeout=20).headers["x-request-id"])


def asked_while(page: Page, ms: int) -> list[str]:
    """Return the questions for turns that the page asks while so much time passes, by its clock."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/turns" in request.url else None)
    page.clock.run_for(ms)
    # What was asked before this is told before its answer.
    page.evaluate("fetch('/health').then((response) => response.status)")
    return list(asked)


def workers(server: RunningServer) -> set[int]:
    """Return the workers whose turns are kept."""
    turns = requests.get(f"{server.url}/playground/api/turns?limit=200", timeout=30).json()["turns"]
    return {turn["worker"] for turn in turns}


def test_turns_of_both_workers_are_shown(page: Page, turning: RunningServer) -> None:
    asked = [ask(turning)]
    while len(workers(turning)) < 2:
        asked.append(ask(turning))
    page.goto(f"{turning.url}/playground#turns")

    for name in asked[-2:]:
        page.locator("#turns-wanted").fill(name)
        row = page.locator("tr.turn")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("complete")
        expect(row).to_contain_text("agora")


def test_a_row_opens_its_waterfall_and_log_line(page: Page, turning: RunningServer) -> None:
    name = ask(turning, "vapi", "/rag/chat/completions")
    page.goto(f"{turning.url}/playground#turns")
    page.locator("#turns-wanted").fill(name)
    page.locator(".opener").click()

    details = page.locator("tr.details")
    expect(details.locator(".waterfall")).to_contain_text("model")
    expect(details.locator(".waterfall")).to_contain_text("first content at")
    expect(details.locator("pre")).to_contain_text(f'"id": "{name}"')
    assert '"client"' not in (details.locator("pre").text_content() or "")


def test_new_turns_appear_and_a_pause_holds_them_back(page: Page, turning: RunningServer) -> None:
    ask(turning)
    page.clock.install()
    page.goto(f"{turning.url}/playground#turns")
    expect(page.locator("tr.turn").first).to_be_visible()
    name = ask(turning)
    expect(page.locator("tr.turn").first.locator(".opener")).to_be_visible()
    page.locator("#turns-wanted").fill(name)
    page.clock.run_for(POLL_MS)
    expect(page.locator("tr.turn")).to_have_count(1)

    page.get_by_role("button", name="Pause").click()
    later = ask(turning)
    page.locator("#turns-wanted").fill(later)
    asked = asked_while(page, 5 * POLL_MS)
    assert asked == []
    expect(page.locator("tr.turn")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("tr.turn")).to_have_count(1)


def test_the_slowest_can_come_first(page: Page, turning: RunningServer, upstream: FakeUpstream) -> None:
    ask(turning)
    upstream.enqueue([0.5, *answer("Late.")])
    slow = ask(turning)
    ask(turning)
    page.goto(f"{turning.url}/playground#turns")
    page.locator("#turns-order").select_option("slowest first content")
    page.locator(".opener").first.click()

    expect(page.locator("tr.details").first).to_contain_text(slow)


def test_a_refused_turn_is_told_by_its_code(page: Page, turning: RunningServer) -> None:
    refused = requests.post(f"{turning.url}/chat/completions", json={"messages": "none"}, timeout=30)
    page.goto(f"{turning.url}/playground#turns")
    page.locator("#turns-wanted").fill(refused.headers["x-request-id"])

    expect(page.locator("tr.turn")).to_contain_text("refused")
    expect(page.locator("tr.turn code")).to_have_text(refused.json()["error"]["code"])


def test_without_turns_the_next_step_is_told(page: Page, servers: Servers) -> None:
    page.goto(f"{servers(alone='no turns').url}/playground#turns")

    expect(page.locator("#panel-turns")).to_contain_text("No turn yet. Point a platform at this URL (Connect)")


@pytest.mark.row("PG-12")
def test_a_view_that_nobody_sees_asks_for_nothing(page: Page, turning: RunningServer) -> None:
    page.clock.install()
    with page.expect_response("**/api/turns*"):
        page.goto(f"{turning.url}/playground#turns")
    expect(page.locator("#panel-turns")).to_be_visible()
    assert asked_while(page, 2 * POLL_MS)
    page.goto(f"{turning.url}/playground#connect")
    expect(page.locator("#panel-turns")).to_be_hidden()

    assert asked_while(page, 5 * POLL_MS) == []
