"""`AUDIO_MODE=relay`: an upstream's audio at our rate, in our chunks, at the pace of speech."""

import base64
import json
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import fake_upstream as fake
import numpy as np
import pytest
import requests
import wav_files
from fake_upstream import FakeUpstream, Step
from running_server import RunningServer, payloads

from parley.speech import placeholder

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

HELLO = [{"role": "user", "content": "Hello?"}]
HZ = 24_000
SECONDS = 1.2
TONE = np.rint(16_000 * np.sin(2 * math.pi * 1000 * np.arange(int(HZ * SECONDS)) / HZ)).astype("<i2").tobytes()
"""1 kHz as an upstream sends it."""
TRANSCRIPT = ["Good ", "morning", "!"]


def audio(**fields: Any) -> bytes:
    return fake.chunk({"audio": fields})


def spoken(pcm: bytes = TONE, size: int = 4801) -> list[bytes]:
    """The payloads of OpenAI's audio stream; a delta of an odd size ends inside a sample."""
    pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    return [
        fake.chunk({"role": "assistant", "content": None, "refusal": None}),
        audio(id="audio_theirs", transcript=TRANSCRIPT[0]),
        *(audio(id="audio_theirs", transcript=words) for words in TRANSCRIPT[1:]),
        *(audio(id="audio_theirs", data=base64.b64encode(piece).decode()) for piece in pieces),
        audio(id="audio_theirs", expires_at=1_764_000_000),
        fake.chunk({}, "stop"),
    ]


def script(sent: Iterable[bytes], interval: float = 0.0) -> list[Step]:
    return [*fake.events(sent, interval), fake.event(fake.DONE), fake.END]


@pytest.fixture
def relay(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server that relays audio, and sends it at once."""
    upstream.script = script(spoken())
    return servers(AUDIO_MODE="relay", AUDIO_LEAD_MS="5000", IDLE_TIMEOUT="0.8")


def ask(server: RunningServer, path: str = "/audio/chat/completions", **fields: Any) -> requests.Response:
    return requests.post(f"{server.url}{path}", json={"messages": HELLO, **fields}, timeout=20)


def chunks_of(response: requests.Response) -> list[dict[str, Any]]:
    """The completion chunks of a stream that is whole."""
    assert response.status_code == 200, response.content
    *sent, done = payloads(response.content)
    assert done == b"[DONE]", response.content
    return [json.loads(payload) for payload in sent]


def deltas_of(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def pieces_of(chunks: list[dict[str, Any]]) -> list[bytes]:
    said = [delta["audio"]["data"] for delta in deltas_of(chunks) if "data" in delta.get("audio", {})]
    return [base64.b64decode(data, validate=True) for data in said]


def spurious_db(pcm: bytes, rate: int, hz: float = 1000.0) -> float:
    """The energy beside a tone, in dB of the tone's, away from both ends of the sound."""
    samples = np.frombuffer(pcm, "<i2").astype(float)[rate // 20 : -rate // 20]
    power = np.abs(np.fft.rfft(samples * np.blackman(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    beside = np.abs(frequencies - hz) > 20
    return float(10 * np.log10(power[beside].sum() / power[~beside].sum()))


def test_the_upstreams_sound_leaves_at_our_rate_without_a_click(relay: RunningServer) -> None:
    chunks = chunks_of(ask(relay))
    pieces = pieces_of(chunks)

    assert {len(piece) for piece in pieces[:-1]} == {1280} and 0 < len(pieces[-1]) <= 1280
    assert abs(len(b"".join(pieces)) - 2 * 16_000 * SECONDS) <= 4
    assert spurious_db(b"".join(pieces), 16_000) < -60


def test_the_measure_of_clicks_finds_one_wrong_sample() -> None:
    samples = np.frombuffer(TONE, "<i2").copy()
    samples[len(samples) // 2] += 2000
    assert spurious_db(TONE, HZ) < -60 < spurious_db(samples.tobytes(), HZ)


def test_the_transcript_goes_ahead_of_the_sound_each_piece_once(relay: RunningServer) -> None:
    deltas = deltas_of(chunks_of(ask(relay)))
    told = [place for place, delta in enumerate(deltas) if "transcript" in delta.get("audio", {})]

    assert [deltas[place]["audio"]["transcript"] for place in told] == TRANSCRIPT
    assert told == [0, 1, 2] and deltas[0]["role"] == "assistant"
    assert sum("role" in delta for delta in deltas) == 1 and deltas[-1] == {}


def test_all_chunks_carry_one_envelope_and_upstream_audio_id(
    relay: RunningServer,
) -> None:
    bare, v1 = ask(relay), ask(relay, "/audio/v1/chat/completions", stream=True)

    for chunk in (*chunks_of(bare), *chunks_of(v1)):
        assert chunk["id"] == fake.ID and chunk["object"] == "chat.completion.chunk"
    ids = [delta["audio"].get("id") for delta in deltas_of(chunks_of(bare)) if "audio" in delta]
    assert set(ids) == {"audio_theirs"}
    ids = [delta["audio"].get("id") for delta in deltas_of(chunks_of(v1)) if "audio" in delta]
    assert ids[0] == "audio_theirs" and set(ids[1:]) == {None}


def test_the_upstream_is_always_asked_for_pcm(relay: RunningServer, upstream: FakeUpstream) -> None:
    chunks_of(ask(relay, modalities=["audio"], audio={"voice": "verse", "format": "wav"}))
    chunks_of(ask(relay))

    first, second = (call.json for call in upstream.calls)
    assert first["modalities"] == second["modalities"] == ["text", "audio"]
    assert first["audio"] == {"voice": "verse", "format": "pcm16"}
    assert second["audio"] == {"voice": "alloy", "format": "pcm16"}


def test_words_that_the_upstream_times_go_on(relay: RunningServer, upstream: FakeUpstream) -> None:
    timed = [{"text": "Good", "start_ts": 0, "end_ts": 210.4, "duration": 210.4}, {"text": "broken"}]
    upstream.script = script([audio(transcript="Good", words=timed), *spoken()[4:]])

    first = deltas_of(chunks_of(ask(relay)))[0]["audio"]

    assert first["words"] == [{"text": "Good", "start_ts": 0, "end_ts": 210, "duration": 210}]


def test_what_is_not_speech_goes_on_as_it_came(relay: RunningServer, upstream: FakeUpstream) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    sent = [
        fake.chunk({"role": "assistant", "content": None}),
        fake.chunk({"tool_calls": [call]}),
        fake.chunk({}, "tool_calls"),
        fake.chunk({}, choices=[], usage=fake.USAGE),
    ]
    upstream.script = script(sent)

    assert payloads(ask(relay).content) == [*sent, fake.DONE]


def test_a_tool_call_after_speech_keeps_its_place(relay: RunningServer, upstream: FakeUpstream) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    upstream.script = script([*spoken()[:-1], fake.chunk({"tool_calls": [call]}), fake.chunk({}, "tool_calls")])

    chunks = chunks_of(ask(relay))

    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert [delta["tool_calls"] for delta in deltas_of(chunks) if "tool_calls" in delta] == [[call]]
    assert abs(len(b"".join(pieces_of(chunks))) - 2 * 16_000 * SECONDS) <= 4


@pytest.mark.parametrize("form", ["wav", "pcm16", None])
def test_a_json_answer_holds_the_converted_sound(
    relay: RunningServer, upstream: FakeUpstream, form: str | None
) -> None:
    said = {
        "id": "audio_theirs",
        "data": base64.b64encode(TONE).decode(),
        "transcript": "Good morning!",
        "expires_at": 1,
    }
    message = {"role": "assistant", "content": None, "audio": said}
    whole = {**fake.ENVELOPE, "object": "chat.completion", "usage": fake.USAGE}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    upstream.script = fake.whole(fake.encode(whole))

    answer = ask(relay, stream=False, audio=form and {"format": form, "voice": "alloy"}).json()

    heard = answer["choices"][0]["message"]["audio"]
    sound = base64.b64decode(heard.pop("data"))
    pcm = sound if form == "pcm16" else wav_files.pcm_in(sound)
    assert upstream.calls[0].json["audio"]["format"] == "pcm16"
    assert (heard["transcript"], answer["usage"]) == ("Good morning!", fake.USAGE)
    assert abs(len(pcm) - 2 * 16_000 * SECONDS) <= 4 and spurious_db(pcm, 16_000) < -60


@pytest.mark.parametrize("data", ["not base64!", "abc", 7])
def test_sound_that_is_none_ends_as_a_failure_and_not_as_noise(
    relay: RunningServer, upstream: FakeUpstream, data: Any
) -> None:
    upstream.script = script([audio(transcript="Good"), audio(data=data)])

    *_, last, error = payloads(ask(relay).content)

    assert json.loads(last)["choices"][0]["finish_reason"] == "error"
    assert json.loads(error)["error"]["code"] == "upstream_bad_response"


def test_a_cut_inside_the_sound_is_told_behind_what_was_heard(relay: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [*fake.events(spoken()[:5]), 0.05, fake.reset]

    *sent, last, error = payloads(ask(relay).content)

    assert len(pieces_of([json.loads(payload) for payload in sent])) >= 2
    assert json.loads(last)["choices"][0]["finish_reason"] == "error"
    assert json.loads(error)["error"]["code"] == "upstream_disconnected"


def test_a_failure_before_any_sound_is_a_status(relay: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = fake.refusal(400, {"message": "no such voice", "code": "invalid_voice"})

    response = ask(relay, audio={"voice": "nobody"})

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_voice")


def test_silence_inside_the_sound_is_filled_with_comments(servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(AUDIO_MODE="relay", HEARTBEAT="0.1")
    sent = spoken()
    upstream.script = [*fake.events(sent[:5]), 0.7, *map(fake.event, sent[5:]), fake.event(fake.DONE), fake.END]

    frames = ask(server).content.split(b"\n\n")

    quiet = [place for place, frame in enumerate(frames) if frame.startswith(b":")]
    assert len(quiet) >= 3 and b'"data"' in frames[quiet[0] - 1] and b'"data"' in frames[quiet[-1] + 1]


def test_a_broadcast_asks_no_upstream(relay: RunningServer, upstream: FakeUpstream) -> None:
    said = "Hi, I am your agent."
    chunks = chunks_of(ask(relay, messages=[{"role": "assistant", "content": said}]))

    assert deltas_of(chunks)[0]["audio"]["transcript"] == said and upstream.calls == []
    assert b"".join(pieces_of(chunks)) == placeholder.utterance(said, 16_000).pcm


def test_a_fast_upstream_is_read_at_the_pace_of_speech(servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(AUDIO_MODE="relay", AUDIO_LEAD_MS="200")
    upstream.script = script(spoken())
    started, arrived = time.monotonic(), []
    with requests.post(f"{server.url}/audio/chat/completions", json={"messages": HELLO}, stream=True) as reply:
        for line in reply.iter_lines():
            if b'"data"' in line:
                arrived.append(time.monotonic() - started)

    # 1.2 s of sound: the last chunk is due 1.0 s after the first.
    assert len(arrived) == 30 and 0.95 < arrived[-1] < 10 and arrived[-1] - arrived[4] > 0.4


def test_a_caller_who_leaves_ends_the_upstreams_work(servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(AUDIO_MODE="relay", AUDIO_LEAD_MS="200")
    upstream.script = script(spoken(TONE * 20), interval=0.01)

    with requests.post(f"{server.url}/audio/chat/completions", json={"messages": HELLO}, stream=True) as reply:
        next(line for line in reply.iter_lines() if b'"data"' in line)
        left = time.monotonic()
    call = upstream.calls[0]

    assert call.finished.wait(5) and call.outcome == "peer_left" and call.peer_left_at - left < 2


def test_audio_on_chat_is_not_cut_where_text_would_be(relay: RunningServer, upstream: FakeUpstream) -> None:
    sent = [audio(data="A" * (1 << 19)) for _ in range(12)]  # 6 MiB; text is cut at 4
    upstream.script = script([*sent, fake.chunk({}, "stop")])

    answer = ask(relay, "/chat/completions", modalities=["text", "audio"])

    assert payloads(answer.content) == [*sent, fake.chunk({}, "stop"), fake.DONE]
