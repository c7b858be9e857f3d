"""A whole call as Agora's engine leads it in audio-only mode: tests/support/engine.py asks, plays and remembers."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, Heard
from fake_upstream import FakeUpstream
from running_server import ROOT, RunningServer
from waiting import wait_until

from parley.speech import placeholder, sound_file, word_timing

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

GREETING = "Welcome to Harbour Bicycle Works. How can I help you today?"
RATE = 16_000


@pytest.fixture
def server(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """The sample recordings with every default."""
    return servers()


def recorded(name: str, rate: int = RATE) -> bytes:
    return sound_file.read(ROOT / "audio_assets" / f"{name}.wav", rate).pcm


def is_in_time(heard: Heard) -> None:
    """The words are the transcript's, in order, and end within the sound."""
    at = 0
    for word in heard.words:
        assert word.keys() == {"text", "start_ts", "end_ts", "duration"}
        assert at <= word["start_ts"] <= word["end_ts"] and word["duration"] == word["end_ts"] - word["start_ts"]
        at = word["end_ts"]
    assert at <= heard.seconds(len(heard.pcm)) * 1000
    assert [word["text"] for word in heard.words] == word_timing.tokens(heard.transcript)


def test_a_greeting_is_voiced_word_for_word_without_a_gap(server: RunningServer) -> None:
    heard = asyncio.run(Engine(server.url).greet(GREETING))

    assert (heard.transcripts, bytes(heard.pcm)) == ([GREETING], recorded("welcome"))
    assert heard.is_done and heard.finish_reason == "stop" and heard.underruns(1.0) == 0
    assert max(held for _, held in heard.played()) < 0.2 + 1.5
    is_in_time(heard)


def test_another_greeting_never_gets_a_recordings_words(server: RunningServer) -> None:
    heard = asyncio.run(Engine(server.url).greet("I did not catch that.", source="silence"))

    assert heard.transcript == "I did not catch that."
    assert bytes(heard.pcm) == placeholder.utterance(heard.transcript, RATE).pcm
    is_in_time(heard)


def test_after_a_barge_in_the_memory_ends_at_the_last_heard_word(server: RunningServer) -> None:
    engine = Engine(server.url)

    heard = asyncio.run(engine.ask("Where are you?", barge_in_ms=1200))

    said = engine.memory[-1]
    assert said["metadata"] == {"source": "llm", "interrupted": True, "original": heard.transcript}
    assert (
        said["content"]
        and word_timing.tokens(heard.transcript)[: len(said["content"].split())] == said["content"].split()
    )
    assert heard.seconds(len(heard.pcm)) < 1.2 + 0.2 + 2.0 and not heard.is_done


def test_a_call_of_several_turns_keeps_its_ids_and_its_order(server: RunningServer) -> None:
    async def call() -> list[Heard]:
        engine = Engine(server.url)
        first = await engine.greet(GREETING)
        second = await engine.ask("Hello?", barge_in_ms=100)
        return [first, second, await engine.ask("And now?")]

    answers = asyncio.run(call())

    ids = [{chunk["id"] for chunk in heard.chunks} for heard in answers]
    assert all(len(each) == 1 for each in ids) and len(set.union(*ids)) == 3
    assert all(len(set(heard.audio_ids)) == 1 for heard in answers)
    assert bytes(answers[2].pcm) == recorded("default")


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_the_words_keep_their_times_at_every_rate(upstream: FakeUpstream, servers: Servers, rate: int) -> None:
    server = servers(AUDIO_SAMPLE_RATE=str(rate), AUDIO_LEAD_MS="5000")

    heard = asyncio.run(Engine(server.url, rate=rate).ask("Hello?"))

    assert bytes(heard.pcm) == recorded("default", rate)
    is_in_time(heard)


def test_the_two_commands_of_the_readme_add_a_greeting(
    upstream: FakeUpstream, servers: Servers, tmp_path: Path
) -> None:
    section = (ROOT / "README.md").read_text().partition("## Add a greeting")[2]
    commands = section.partition("```sh\n")[2].partition("```")[0]
    assert len(commands.strip().splitlines()) == 2
    (tmp_path / "audio_assets").mkdir()
    shutil.copy(ROOT / "audio_assets" / "welcome.wav", tmp_path / "hello.wav")
    server = servers(AUDIO_DIR=str(tmp_path / "audio_assets"), AUDIO_LEAD_MS="5000")
    greeting = "Hi, this is Harbour Bicycle Works."
    assert bytes(asyncio.run(Engine(server.url).greet(greeting)).pcm) != recorded("welcome")

    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True)
    before = server.worker_pids()
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.worker_pids() and set(before).isdisjoint(server.worker_pids()))

    heard = asyncio.run(Engine(server.url).greet(greeting))
    assert (bytes(heard.pcm), heard.transcript) == (recorded("welcome"), greeting)


def test_words_that_were_measured_are_preferred_to_the_estimate(
    upstream: FakeUpstream, servers: Servers, tmp_path: Path
) -> None:
    for file in (ROOT / "audio_assets").glob("welcome.*"):
        shutil.copy(file, tmp_path)
    shutil.copy(tmp_path / "welcome.wav", tmp_path / "guessed.wav")
    (tmp_path / "guessed.txt").write_text("Welcome to Harbour Bicycle Works, how can I help you today?")
    measured = [
        word_timing.Word(text, place * 100, place * 100 + 90) for place, text in enumerate(word_timing.tokens(GREETING))
    ]
    (tmp_path / "welcome.words.json").write_text(word_timing.to_json(measured))
    server = servers(AUDIO_DIR=str(tmp_path), AUDIO_LEAD_MS="5000")

    heard: list[dict[str, Any]] = asyncio.run(Engine(server.url).greet(GREETING)).words

    assert [(word["text"], word["start_ts"], word["end_ts"]) for word in heard] == [tuple(word) for word in measured]
    (told,) = [line for line in server.lines() if "words_estimated" in line]
    assert "guessed" in told and "welcome" not in told
