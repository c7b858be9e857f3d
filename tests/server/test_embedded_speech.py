"""`AUDIO_MODE=speech` with the embedded voice: heard in real time by a simulated engine."""

import asyncio
import json
from collections.abc import Callable

import pytest
import requests
from engine import Engine
from fake_upstream import HANG, FakeUpstream, answer, completion, events, text_chunk
from running_server import RunningServer

pytestmark = [pytest.mark.server, pytest.mark.embedded]
Servers = Callable[..., RunningServer]
RATE = 16_000


@pytest.fixture
def server(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    return servers(AUDIO_MODE="speech", WAITING_MESSAGES="One moment, please.")


def test_an_answer_is_heard_without_a_gap_word_by_word(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("Certainly, a tune-up costs $45. Shall I book one?", interval=0.02)

    heard = asyncio.run(Engine(server.url).ask("What does a tune-up cost?"))

    assert heard.transcript == "Certainly, a tune-up costs $45. Shall I book one? "
    assert heard.is_done and heard.finish_reason == "stop"
    assert heard.underruns(tolerance=0.25) == 0
    assert max(held for _, held in heard.played()) < 0.25  # AUDIO_LEAD_MS and a little
    edges = [edge for word in heard.words for edge in (word["start_ts"], word["end_ts"])]
    assert edges == sorted(edges) and edges[-1] <= heard.seconds(len(heard.pcm)) * 1000
    assert [word["text"] for word in heard.words if word["text"].isalpha()] == [
        *("Certainly", "a", "costs", "Shall", "I", "book", "one")
    ]


def test_the_waiting_message_is_heard_while_the_upstream_thinks(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]

    heard = asyncio.run(Engine(server.url).ask("When are you open?", barge_in_ms=100, rag=True))

    assert heard.transcripts[0] == "One moment, " and heard.pcm
    assert upstream.calls[-1].finished.wait(2) and upstream.calls[-1].outcome == "peer_left"


def test_the_memory_after_a_barge_in_is_what_was_heard(server: RunningServer, upstream: FakeUpstream) -> None:
    written = text_chunk("a", "Certainly, a tune-up costs forty-five dollars and takes an hour. ")
    upstream.script = [*events([written]), HANG]
    engine = Engine(server.url)

    asyncio.run(engine.ask("What does a tune-up cost?", barge_in_ms=1500))

    said = engine.memory[-1]
    assert said["metadata"]["interrupted"] and said["content"].startswith("Certainly ,")
    assert len(said["content"].split()) < len(said["metadata"]["original"].split())


def test_it_says_what_it_is(server: RunningServer) -> None:
    ready = requests.get(f"{server.url}/ready", timeout=20).json()

    assert "demonstration voice" in ready["details"]["voice"]
    (start,) = (line for line in server.lines() if '"listening"' in line)
    assert "demonstration voice" in json.loads(start)["voice"]


GERMAN = "Wir haben von neun bis fünf Uhr geöffnet. Kommen Sie gerne vorbei."


def test_an_answer_in_another_language_is_replaced(upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(AUDIO_MODE="speech", FALLBACK_TEXT="Sorry, please call again.")
    upstream.script = answer(GERMAN)

    heard = asyncio.run(Engine(server.url).ask("Wann haben Sie geöffnet?"))

    assert "".join(heard.transcripts) == "Sorry, please call again. " and heard.finish_reason == "stop"
    assert heard.pcm and server.output().count("voice_cannot_say") == 1
    assert '"language":"de"' in server.output().replace(" ", "")


def test_an_answer_in_another_language_is_an_error(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = completion(GERMAN)
    body = {"messages": [{"role": "user", "content": "Wann haben Sie geöffnet?"}], "stream": False}

    sent = requests.post(f"{server.url}/audio/chat/completions", json=body, timeout=20)

    assert (sent.status_code, sent.json()["error"]["code"]) == (501, "language_not_spoken")


def test_a_foreign_name_in_an_english_answer_is_heard(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("Tonight we show La Casa de Papel in our cinema.")

    heard = asyncio.run(Engine(server.url).ask("What is on?"))

    assert "".join(heard.transcripts).strip() == "Tonight we show La Casa de Papel in our cinema."
