"""The view Recordings: what the folder holds, and each recording heard through /audio."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect
from running_server import ROOT, RunningServer
from servers import Servers
from wav_files import tone, wav

pytestmark = [pytest.mark.server, pytest.mark.page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a whole recording, one with estimated words and a minute long, and one without its sound."""
    folder = tmp_path_factory.mktemp("audio")
    for name in ("welcome.wav", "welcome.txt", "welcome.words.json"):
        shutil.copy(ROOT / "audio_assets" / name, folder)
    shutil.copy(ROOT / "audio_assets" / "default.txt", folder / "guessed.txt")
    # Nobody hears its end by mistake.
    (folder / "guessed.wav").write_bytes(wav(tone(16_000, 60.0), 16_000))
    (folder / "silent.txt").write_text("There is no sound for this.")
    return folder


@pytest.fixture(scope="module")
def recorded(folder: Path, servers: Servers) -> RunningServer:
    """Return the server of these recordings."""
    return servers(AUDIO_MODE="assets", AUDIO_DIR=str(folder))


def test_recordings_are_told_with_what_they_lack(page: Page, recorded: RunningServer) -> None:
    page.goto(f"{recorded.url}/playground#recordings")
    cards = page.locator(".recording")

    expect(cards).to_have_count(3)
    expect(cards.filter(has_text="welcome")).to_contain_text("measured")
    expect(cards.filter(has_text="guessed")).to_contain_text("estimated")
    expect(cards.filter(has_text="silent").locator(".problems")).to_contain_text("silent")


def test_playing_asks_audio_for_the_asset(page: Page, recorded: RunningServer) -> None:
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "/audio/" in request.url else None)
    page.goto(f"{recorded.url}/playground#recordings")
    page.get_by_role("button", name="Play welcome").click()

    expect(page.locator("#panel-recordings .playback")).to_contain_text("Welcome")
    expect(page.get_by_role("button", name="Play welcome")).to_be_visible(timeout=20_000)
    (request,) = asked
    body: Any = json.loads(request.post_data or "")
    assert request.url == f"{recorded.url}/audio/chat/completions"
    assert (body["asset"], body["stream"]) == ("welcome", True)


def test_a_press_stops_what_plays(page: Page, recorded: RunningServer) -> None:
    page.goto(f"{recorded.url}/playground#recordings")
    page.get_by_role("button", name="Play guessed").click()
    page.get_by_role("button", name="Stop guessed").click()

    expect(page.get_by_role("button", name="Play guessed")).to_be_visible()


def test_without_recordings_the_next_step_is_told(page: Page, servers: Servers, tmp_path: Path) -> None:
    page.goto(f"{servers(AUDIO_MODE='assets', AUDIO_DIR=str(tmp_path)).url}/playground#recordings")

    expect(page.locator("#panel-recordings .notice")).to_contain_text("flask audio make hello --text")
