"""The view Try with sound: what is played, heard, highlighted, saved; gaps and silences; barge-in, broadcasts."""

import base64
import io
import json
import re
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from fake_voice import says, tone
from playground import ask, expect_state, figure, last_answer, open_try, say
from playwright.sync_api import Page, expect
from running_server import ROOT, RunningServer
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.page]
WATCH = """() => {
  window.seen = [];
  const look = () => {
    const spans = [...document.querySelectorAll(".word")];
    const at = spans.findIndex((span) => span.classList.contains("now"));
    if (at >= 0) window.seen.push([Number(document.querySelector(".sound").dataset.heard), at]);
  };
  const watched = { attributes: true, attributeFilter: ["data-heard"], subtree: true };
  new MutationObserver(look).observe(document.body, watched);
}"""
"""Notes what was heard and the word that is marked, whenever they change."""
ASSETS = ROOT / "audio_assets"
NEAR_MS = 60
"""Milliseconds between a word's time and its highlight, both by the player's clock."""
FAR_AHEAD = "3000"
"""Milliseconds of sound that come so early that a busy machine makes no gap in it."""
TIMES = 12
"""Welcomes in the long recording, which nobody can hear to its end by mistake."""


@pytest.fixture(scope="module")
def recorded(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """Return a server with a short recording, the welcome, and a long one."""
    folder = tmp_path_factory.mktemp("audio")
    for name in ("welcome.wav", "welcome.txt", "welcome.words.json"):
        shutil.copy(ASSETS / name, folder)
    write_long(folder)
    return servers(AUDIO_DIR=str(folder), AUDIO_LEAD_MS=FAR_AHEAD)


def write_long(folder: Path) -> None:
    """Write the recording `long`: the welcome again and again."""
    with wave.open(str(ASSETS / "welcome.wav")) as file:
        parameters, pcm, ms = file.getparams(), file.readframes(file.getnframes()), 1000 * file.getnframes() // 16_000
    with wave.open(str(folder / "long.wav"), "wb") as file:
        file.setparams(parameters)
        file.writeframes(pcm * TIMES)
    (folder / "long.txt").write_text(" ".join([(ASSETS / "welcome.txt").read_text().strip()] * TIMES))
    words = json.loads((ASSETS / "welcome.words.json").read_text())
    times = ("start_ts", "end_ts")
    later = [word | {time: word[time] + ms * number for time in times} for number in range(TIMES) for word in words]
    (folder / "long.words.json").write_text(json.dumps(later))


@pytest.fixture
def voice() -> Iterator[FakeUpstream]:
    """Yield an API's voice."""
    with FakeUpstream() as fake:
        fake.script = says(tone(0.4))
        yield fake


def recording(server: RunningServer, name: str) -> tuple[list[dict[str, int | str]], bytes]:
    """Return the words of a recording and its sound, as a plain client gets them."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "asset": name, "stream": False}
    whole = requests.post(f"{server.url}/audio/chat/completions", json=body, timeout=30).json()
    audio = whole["choices"][0]["message"]["audio"]
    with wave.open(io.BytesIO(base64.b64decode(audio["data"]))) as file:
        return audio["words"], file.readframes(file.getnframes())


def test_a_recording_is_heard_word_by_word(page: Page, recorded: RunningServer) -> None:
    words, pcm = recording(recorded, "welcome")
    open_try(page, recorded, "audio")
    page.locator("#asset").select_option("welcome")
    page.evaluate(WATCH)
    # All at once: where a busy machine is late with a chunk, the page would tell of a gap, and rightly.
    page.route("**/audio/chat/completions", lambda route: route.fulfill(response=route.fetch()))
    say(page, "Hello?")
    expect_state(page, "complete")
    expect(page.locator("#interrupt")).to_be_disabled()

    seen = page.evaluate("window.seen")
    assert len({at for _, at in seen}) > 5
    for heard, at in seen:
        assert int(words[at]["start_ts"]) <= heard + NEAR_MS, (heard, words[at])
        assert at + 1 == len(words) or int(words[at + 1]["start_ts"]) > heard - NEAR_MS, (heard, words[at])
    expect(page.locator("#sound-figures")).to_contain_text("0 gaps")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download WAV").click()
    with wave.open(io.BytesIO(saved.value.path().read_bytes())) as file:
        assert file.getframerate() == 16_000 and file.readframes(file.getnframes()) == pcm


def test_a_barge_in_keeps_what_was_heard(page: Page, recorded: RunningServer) -> None:
    words, _ = recording(recorded, "long")
    open_try(page, recorded, "audio")
    page.locator("#asset").select_option("long")
    say(page, "Hello?")
    expect(page.locator(".word.heard").nth(1)).to_be_visible()
    page.locator("#interrupt").click()
    expect_state(page, "interrupted")

    heard_ms = float(page.locator(".sound").get_attribute("data-heard") or 0)
    heard = [str(word["text"]) for word in words if int(word["end_ts"]) <= heard_ms]
    shown = last_answer(page).locator("p.text").evaluate("(text) => text.childNodes[1].data")
    # A mark is a word of its own.
    assert heard and "".join(shown.split()) == "".join(heard)
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
    expect(page.locator("#sound-figures")).to_contain_text(re.compile(r"(?!0\.0)\d\.\d s of silence by the server"))
    expect(figure(page, "First sound")).to_contain_text("ms")


def test_another_view_falls_silent(page: Page, recorded: RunningServer) -> None:
    open_try(page, recorded, "audio")
    page.locator("#asset").select_option("long")
    say(page, "Hello?")
    expect(page.locator(".word.now")).to_be_visible()
    page.locator("#tab-turns").click()
    page.locator("#tab-try").click()

    expect_state(page, "interrupted")
    page.locator("#asset").select_option("welcome")
    ask(page, "Again?")
