"""The view Try where something fails: every state has its cause, its code and its next step."""

import re
import threading

import pytest
from fake_upstream import HANG, FakeUpstream, answer, chunks, events, held, refusal, reset, whole
from playground import ask, expect_state, last_answer, open_try, say
from playwright.sync_api import Page, expect
from running_server import RunningServer, running_server
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
KEY = "sk-callers-0123456789abcdef"
QUICK = {"TTFT_TIMEOUT": "1", "PRECOMMIT_TIMEOUT": "2", "IDLE_TIMEOUT": "5", "BREAKER_FAILURES": "1000"}
REFUSED = [
    (lambda: refusal(404, {"message": "None", "code": "model_not_found"}), "404 model_not_found", "in the request"),
    (lambda: refusal(429, {"message": "Slow down"}, {"retry-after": "7"}), "429", "7 s to wait"),
    (lambda: refusal(401, {"message": "Bad key"}), "502 upstream_auth_failed", "LLM_API_KEY"),
    (lambda: refusal(503, {"message": "Later"}), "503 upstream_error", "Ask again"),
    (lambda: whole(b"<html>", 200, {"content-type": "text/html"}), "502 upstream_bad_response", "flask doctor"),
    (lambda: [HANG], "504 upstream_timeout", "TTFT_TIMEOUT"),
]  # fmt: skip


def expect_failure(page: Page, state: str, code: str, step: str) -> None:
    """Wait for the newest answer's failure: its code, and a part of its next step."""
    expect_state(page, state)
    expect(last_answer(page).locator(".failure code")).to_have_text(re.compile(f"^{re.escape(code)}"))
    expect(last_answer(page).locator(".failure")).to_contain_text(step)


def test_refusals_name_their_cause_and_next_step(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    open_try(page, servers(**QUICK))
    for script, code, step in REFUSED:
        upstream.script = script()
        say(page, "Hello?")
        expect_failure(page, "refused", code, step)
        page.locator("#new").click()

    # What was refused is not remembered.
    upstream.script = answer("Hello there")
    ask(page, "Again?")
    assert [one["content"] for one in upstream.calls[-1].json["messages"]] == ["Again?"]


def test_a_failed_turn_can_be_asked_again(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    upstream.script = refusal(422, {"message": "Not now"})
    open_try(page, servers(**QUICK))
    ask(page, "Hello?", "refused")
    upstream.script = answer("Now.")
    page.get_by_role("button", name="Ask again").click()

    expect_state(page, "complete")
    expect(page.locator(".entry.user").last).to_contain_text("Hello?")


def test_an_error_frame_leaves_the_words(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    upstream.script = [*events(chunks("We are open today")[:3]), 0.1, reset]
    open_try(page, servers(**QUICK))
    say(page, "Open?")

    expect_failure(page, "failed", "upstream_disconnected", "Ask again")
    expect(last_answer(page).locator(".text")).to_contain_text("We are")


def test_a_cut_stream_is_incomplete(page: Page, upstream: FakeUpstream) -> None:
    upstream.script = held("We are open today", {2: threading.Event()})
    # A server that ends at once, in mid answer.
    with running_server({"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-ours-0123456789abcdef"}) as server:
        open_try(page, server)
        say(page, "Open?")
        expect(last_answer(page).locator(".text")).to_contain_text("We are")
        server.stop(timeout=0.1)
        expect_failure(page, "incomplete", "incomplete", "Ask again".lower())
        expect(last_answer(page)).to_contain_text("ended without DONE")

        say(page, "Still there?")
        expect_failure(page, "unreachable", "unreachable", "make run")
        expect(page.locator("#facts")).to_contain_text("can't be reached")


def test_no_key_is_told_and_a_key_mends_it(page: Page, servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(API_KEYS=KEY)
    page.goto(f"{server.url}/playground")
    expect(page.locator("#facts")).to_contain_text("This server wants one of its API_KEYS")
    ask(page, "Hello?", "refused")
    expect_failure(page, "refused", "401 invalid_api_key", "at the top of the page")
    page.locator("#key").fill(KEY)
    page.locator("#key").press("Enter")
    expect(page.locator("#facts")).to_contain_text("model")
    ask(page, "Hello?")


ERROR = '{{"error": {{"message": "Told so", "code": "{code}"}}}}'


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        (403, "forbidden_origin", "TRUSTED_PROXIES"),
        (500, "internal_error", "log"),
        (503, "warming_up", "Wait"),
        (503, "not_configured", "LLM_API_KEY"),
    ],
)
def test_what_a_server_seldom_says_is_told(
    page: Page, patient: RunningServer, status: int, code: str, step: str
) -> None:
    open_try(page, patient)
    body = ERROR.format(code=code)
    page.route(
        "**/chat/completions", lambda route: route.fulfill(status=status, content_type="application/json", body=body)
    )
    say(page, "Hello?")

    expect_failure(page, "refused", f"{status} {code}", step)
    if code == "warming_up":
        expect(last_answer(page).locator(".clock")).to_contain_text("Ready after")


def test_a_proxys_own_page_is_told_from_an_answer(page: Page, patient: RunningServer) -> None:
    open_try(page, patient)
    page.route(
        "**/chat/completions", lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Bad</h1>")
    )
    say(page, "Hello?")

    expect_failure(page, "refused", "502 http_502", "flask doctor --url")
    expect(last_answer(page)).to_contain_text("a proxy on the way answered")


def test_filters_that_are_no_json_are_told(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    open_try(page, patient, "rag")
    page.locator(".options summary").click()
    page.locator("#filters").fill("{language: en}")
    say(page, "Hello?")

    expect_failure(page, "refused", "filters", "as JSON")
    assert upstream.calls == []
