"""The view Try with sound: what is played, heard, highlighted, saved; gaps and silences; barge-in, broadcasts."""

import base64
import io
import json
import re
import wave
from collections.abc import Iterator

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from fake_voice import says, tone
from playground import ask, expect_state, figure, last_answer, open_try, say
from playwright.sync_api import Page, expect
from running_server import RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
NOW = """() => {
  const spans = [...document.querySelectorAll(".word")];
  const at = spans.findIndex((span) => span.classList.contains("now"));
  return [Number(document.querySelector(".sound").dataset.heard), at];
}"""
NEAR_MS = 60
"""Milliseconds between a word's time and its highlight, both by the player's clock."""
FAR_AHEAD = {"AUDIO_LEAD_MS": "3000"}
"""Sound that comes so early that a busy machine makes no gap in it."""


@pytest.fixture
def voice() -> Iterator[FakeUpstream]:
    """Yield an API's voice."""
    with FakeUpstream() as fake:
        fake.script = says(tone(0.4))
        yield fake


def welcome(server: RunningServer) -> tuple[list[dict[str, int | str]], bytes]:
    """Return the words of the recording and its sound, as a plain client gets them."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "asset": "welcome"}
    stream = requests.post(f"{server.url}/audio/chat/completions", json=body, timeout=30).text
    chunks = [json.loads(one[6:]) for one in stream.split("\n\n") if one.startswith("data: {")]
    audio = [chunk["choices"][0]["delta"].get("audio", {}) for chunk in chunks]
    words = [word for one in audio for word in one.get("words", [])]
    return words, b"".join(base64.b64decode(one.get("data", "")) for one in audio)


def test_a_recording_is_heard_word_by_word(page: Page, servers: Servers) -> None:
    server = servers(**FAR_AHEAD)
    words, pcm = welcome(server)
    open_try(page, server, "audio")
    page.locator("#asset").select_option("welcome")
    say(page, "Hello?")
    expect(page.locator(".word.now")).to_be_visible()
    seen = []
    while len(seen) < 5:
        heard, at = page.evaluate(NOW)
        if at >= 0 and heard not in [before for before, _ in seen]:
            seen.append((heard, at))
        page.wait_for_timeout(150)

    for heard, at in seen:
        assert int(words[at]["start_ts"]) <= heard + NEAR_MS, (heard, words[at])
        assert at + 1 == len(words) or int(words[at + 1]["start_ts"]) > heard - NEAR_MS, (heard, words[at])
    expect_state(page, "complete")
    expect(page.locator("#sound-figures")).to_contain_text("0 gaps")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download WAV").click()
    with wave.open(io.BytesIO(saved.value.path().read_bytes())) as file:
        assert file.getframerate() == 16_000 and file.readframes(file.getnframes()) == pcm


def test_a_barge_in_keeps_what_was_heard(page: Page, patient: RunningServer) -> None:
    words, _ = welcome(patient)
    open_try(page, patient, "audio")
    page.locator("#asset").select_option("welcome")
    say(page, "Hello?")
    expect(page.locator(".word.heard").nth(1)).to_be_visible()
    page.locator("#interrupt").click()
    expect_state(page, "interrupted")

    heard_ms = float(page.locator(".sound").get_attribute("data-heard") or 0)
    heard = [str(word["text"]) for word in words if int(word["end_ts"]) <= heard_ms]
    shown = last_answer(page).locator("p.text").evaluate("(text) => text.childNodes[1].data")
    assert heard and shown.split() == heard
    page.locator("#edit").click()
    expect(page.locator("#request")).not_to_have_value("")
    assistant = [one for one in json.loads(page.locator("#request").input_value())["messages"] if one["role"] != "user"]
    assert assistant[-1]["content"] == shown and assistant[-1]["metadata"]["interrupted"] is True


def test_a_broadcast_is_said_as_it_is(page: Page, patient: RunningServer, upstream: FakeUpstream) -> None:
    open_try(page, patient, "audio")
    page.locator("#words").fill("We close in five minutes.")
    page.locator("#broadcast").click()

    expect_state(page, "complete")
    expect(last_answer(page).locator(".text")).to_have_text("We close in five minutes.")
    assert upstream.calls == []


def test_a_pause_of_the_server_is_silence_and_no_gap(
    page: Page, servers: Servers, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    upstream.script = [1.5, *answer("It costs 65 dollars.")]
    settings = {
        "AUDIO_MODE": "speech",
        "TTS_BASE_URL": voice.base_url,
        "TTS_API_KEY": "sk-voice-0123456789abcdef",
    }
    server = servers(alone="speaking", **settings, WAITING_MESSAGES="One moment, please.")
    open_try(page, server, "audio")
    page.locator(".options summary").click()
    page.locator("#grounded").check()
    say(page, "How much is a tune-up?")
    expect(last_answer(page).locator(".waiting")).to_contain_text("One moment, please.")

    expect_state(page, "complete")
    # The whole pause is the server's: none of it is counted as a gap.
    expect(page.locator("#sound-figures")).to_contain_text(re.compile(r"\d\.[1-9] s of silence by the server"))
    expect(figure(page, "First sound")).to_contain_text("ms")


def test_another_view_falls_silent(page: Page, patient: RunningServer) -> None:
    open_try(page, patient, "audio")
    page.locator("#asset").select_option("welcome")
    say(page, "Hello?")
    expect(page.locator(".word.now")).to_be_visible()
    page.locator("#tab-turns").click()
    page.locator("#tab-try").click()

    expect_state(page, "interrupted")
    ask(page, "Again?")
