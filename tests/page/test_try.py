"""The view Try with text: figures, the waiting message, passages, what a platform remembers, barge-in."""

import json
import re
import subprocess
import threading
import time

import pytest
import requests
from fake_upstream import DONE, END, FakeUpstream, answer, chunk, completion, event, head, held, text_chunk
from playground import ask, copy_by, expect_state, figure, last_answer, milliseconds, open_try, say
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

from parley.operators.platforms import PLATFORMS

pytestmark = [pytest.mark.server, pytest.mark.page]
TEXT = "We are open from nine to six. Come in."
WAITING = "One moment, please."
SLOW = 5.0
"""Seconds that a figure may be off on a busy machine: above the delay, never below it."""


@pytest.fixture
def knowing(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """Return a server with knowledge and one waiting message, which shows signs of life every second."""
    return servers(WAITING_MESSAGES=WAITING, HEARTBEAT="1")


def test_a_chat_streams_with_its_figures(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    second, rest = threading.Event(), threading.Event()
    upstream.script = [0.4, *held(TEXT, {1: second, 6: rest}, interval=0.03)]
    open_try(page, patient)
    say(page, "When are you open?")
    expect_state(page, "speaking")
    second.set()
    expect(figure(page, "Rate")).to_contain_text("chunks/s")

    rest.set()
    expect_state(page, "complete")
    expect(last_answer(page).locator(".text")).to_have_text(TEXT)
    content, sentence = (milliseconds(figure(page, name)) for name in ("First content", "First sentence"))
    assert 400 <= content < 400 + SLOW * 1000 and sentence > content
    # Kept after the answer, joined with the server's own figures, and shown beside those of the next turn.
    expect(figure(page, "Rate")).to_contain_text("chunks/s")
    assert milliseconds(figure(page, "Ours")) + milliseconds(figure(page, "Model")) <= content
    upstream.script = answer("Yes.", usage=True)
    ask(page, "Also today?")
    assert milliseconds(figure(page, "First content", 1)) == content


def test_a_rate_is_of_tokens_where_usage_is_told(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    rest = threading.Event()
    upstream.script = held(TEXT, {1: rest}, interval=0.03, usage=True)
    open_try(page, patient)
    say(page, "When?")
    expect_state(page, "speaking")
    rest.set()
    expect_state(page, "complete")

    expect(figure(page, "Rate")).to_contain_text("tokens/s")


def test_a_silent_model_is_told_from_a_dead_one(page: Page, knowing: RunningServer, upstream: FakeUpstream) -> None:
    go_on = threading.Event()
    upstream.script = held("Well then", {1: go_on})
    open_try(page, knowing)
    say(page, "Well?")

    expect(last_answer(page).locator(".state")).to_contain_text(re.compile(r"server alive, \d\.\d s of silence"))
    expect(page.locator(".event.comment").first).to_contain_text("keep-alive")
    go_on.set()
    expect_state(page, "complete")


def test_the_waiting_message_is_grey_and_passages_shown(
    page: Page, knowing: RunningServer, upstream: FakeUpstream
) -> None:
    upstream.script = answer("It costs 65 dollars.")
    question = {"messages": [{"role": "user", "content": "How much is a tune-up?"}]}
    told = requests.post(f"{knowing.url}/rag/chat/completions", json=question, timeout=20).text
    titles = [one["title"] for one in json.loads(re.search(r": citations (.*)", told)[1])]  # type: ignore[index]
    go_on = threading.Event()
    upstream.script = [go_on, *answer("It costs 65 dollars.")]
    open_try(page, knowing, "rag")
    say(page, "How much is a tune-up?")
    expect_state(page, "filled")
    expect(last_answer(page).locator(".waiting")).to_have_text(WAITING)
    go_on.set()

    expect_state(page, "complete")
    expect(last_answer(page).locator(".text")).to_have_text(f"{WAITING} It costs 65 dollars.")
    assert milliseconds(figure(page, "Waiting message")) < milliseconds(figure(page, "First content"))
    assert page.locator("#passages strong").all_text_contents() == titles
    page.get_by_role("button", name="Why?").click()
    expect(page.locator(".why")).to_contain_text("cosine" if page.get_by_text("cosine").count() else "stems")


def test_nothing_found_is_told(page: Page, knowing: RunningServer, upstream: FakeUpstream) -> None:
    open_try(page, knowing, "rag")
    ask(page, "Who was the second emperor of Byzantium?")

    expect(page.locator(".inspector")).to_contain_text("No passage was sent")


def test_a_barge_in_closes_the_stream_and_is_remembered(
    page: Page, patient: RunningServer, upstream: FakeUpstream
) -> None:
    # More than can be said in the time that a busy machine takes to interrupt it.
    whole = f"Welcome to the house of bicycles {'and tricycles ' * 100}and tandems."
    upstream.script = held(whole, {208: threading.Event()})
    open_try(page, patient)
    say(page, "Hello?")
    expect(last_answer(page).locator(".text")).to_contain_text("tandems")
    page.keyboard.press("Escape")
    pressed = time.monotonic()

    (call,) = upstream.wait_for_calls(1)
    assert call.finished.wait(5) and call.outcome == "peer_left"
    assert call.peer_left_at is not None and call.peer_left_at - pressed < SLOW
    expect_state(page, "interrupted")
    heard = (last_answer(page).locator(".text").text_content() or "").removesuffix(
        last_answer(page).locator("s").text_content() or ""
    )
    assert heard.startswith("Welcome") and "tandems" not in heard
    # What the platform sends next.
    upstream.script = answer("It is closed.")
    page.locator("#edit").click()
    expect(page.locator("#request")).to_have_value(re.compile("interrupted"))
    body = json.loads(page.locator("#request").input_value())
    (marked,) = [one for one in body["messages"] if one["role"] == "assistant"]
    assert marked["content"] == heard and marked["metadata"]["interrupted"] is True
    assert marked["metadata"]["original"].startswith(heard) and "turn_id" in marked
    page.keyboard.press("Escape")


def test_new_words_interrupt(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.enqueue(held("One two three four five.", {3: threading.Event()}))
    upstream.script = answer("Ten.")
    open_try(page, patient)
    say(page, "Count")
    expect_state(page, "speaking")
    say(page, "Just the last")

    expect(page.locator(".entry.agent")).to_have_count(2)
    expect(page.locator(".entry.agent").first).to_have_attribute("data-state", "interrupted")
    expect_state(page, "complete")


def test_each_platforms_request_is_accepted(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    allowed = {"model", "messages", "stream", "stream_options", "temperature", "tools", "max_tokens", "user"}
    open_try(page, patient)
    page.locator(".options summary").click()
    page.locator("#system").fill("Be brief.")
    for platform in [name for name, one in PLATFORMS.items() if "chat" in one.endpoints]:
        page.locator("#platform").select_option(platform)
        page.locator("#new").click()
        ask(page, "Hello?")
        ask(page, "And now?")

        sent = upstream.calls[-1].json
        assert set(sent) <= allowed, (platform, set(sent) - allowed)
        assert {key for message in sent["messages"] for key in message} == {"role", "content"}
        assert [one["content"] for one in sent["messages"]] == ["Be brief.", "Hello?", "Hello there", "And now?"]


def test_the_request_can_be_written(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    open_try(page, patient)
    page.locator("#words").fill("Draft")
    page.locator("#edit").click()
    expect(page.locator("#request")).to_have_value(re.compile("Draft"))
    page.locator("#request").fill('{\n"messages": [],\n"stream" true}')
    expect(page.locator("#request-error")).to_contain_text("Line 3")
    page.locator("#send").click()
    assert upstream.calls == []

    page.locator("#request").fill(
        json.dumps({"messages": [{"role": "user", "content": "Mine"}], "top_p": 0.5, "stream": True})
    )
    page.locator("#send").click()
    expect_state(page, "complete")
    expect(page.locator(".entry.user")).to_contain_text("Mine")
    assert upstream.calls[-1].json["top_p"] == 0.5


def test_an_answer_in_one_piece_is_shown(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = completion("All at once.")
    open_try(page, patient)
    page.locator("#edit").click()
    page.locator("#request").fill(json.dumps({"messages": [{"role": "user", "content": "Mine"}], "stream": False}))
    page.locator("#send").click()

    expect_state(page, "complete")
    expect(last_answer(page).locator(".text")).to_have_text("All at once.")


def test_events_are_filtered_copied_and_saved(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    open_try(page, patient)
    ask(page, "Hello?")
    expect(page.locator(".event").last).to_contain_text("[DONE]")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save .sse").click()
    stream = saved.value.path().read_text()
    assert stream.endswith("data: [DONE]\n\n") and '"content":" there"' in stream

    page.locator("#event-filter").fill("done")
    expect(page.locator(".event")).to_have_count(1)


def test_the_copied_command_asks_the_same(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_try(page, patient)
    page.locator("#words").fill("It's me, is it?")
    command = copy_by(page, "curl")

    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    assert printed.stdout.endswith("data: [DONE]\n\n"), printed
    assert upstream.calls[-1].json["messages"][-1]["content"] == "It's me, is it?"
    for kind in ("Python", "openai-node", "Agora join"):
        assert str(patient.port) in copy_by(page, kind)


def test_the_keyboard_alone_holds_a_conversation(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = held("One two three four five.", {3: threading.Event()})
    page.goto(f"{patient.url}/playground")
    expect(page.locator("#platform option")).not_to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("Hello")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("there")
    page.keyboard.press("Enter")
    expect_state(page, "speaking")
    page.keyboard.press("Escape")
    expect_state(page, "interrupted")
    upstream.script = answer("Bye.")
    page.keyboard.type("Bye")
    page.keyboard.press("Enter")
    expect_state(page, "complete")
    expect(page.locator("#announcer")).to_contain_text("complete, first content after")
    page.keyboard.press("Alt+2")
    expect(page.locator("#panel-turns")).to_be_visible()

    assert upstream.calls[0].json["messages"][-1]["content"] == "Hello\nthere"


def test_a_refresh_keeps_the_view_and_loses_words(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    open_try(page, patient, "rag", "vapi")
    ask(page, "Hello?")
    page.reload()
    expect(page.locator("#endpoint-rag")).to_be_checked()
    expect(page.locator("#platform")).to_have_value("vapi")
    expect(page.locator(".entry")).to_have_count(0)
    expect(page.locator("#words")).to_have_value("")

    page.locator("#tab-live").click()
    expect(page.locator("#panel-live")).to_be_visible()
    page.go_back()
    expect(page.locator("#panel-try")).to_be_visible()
    assert "Hello" not in page.url


def test_a_long_stream_keeps_the_page_fluent(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    many = [event(text_chunk("chatcmpl-fake", f"word{number} ")) for number in range(3000)]
    first = event(chunk({"role": "assistant", "content": ""}))
    upstream.script = [head(), first, *many, event(chunk({}, "stop")), event(DONE), END]
    open_try(page, patient)
    ask(page, "Go on")

    expect(last_answer(page).locator(".text")).to_contain_text("word2999")
    assert page.locator(".event").count() <= 300
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save .sse").click()
    assert saved.value.path().read_text().count("data: ") == 3003
