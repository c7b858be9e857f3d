"""`/audio/chat/completions`: the transcript, then the recording bit for bit, at the pace of speech."""

import base64
import json
import math
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import wav_files
from fake_upstream import FakeUpstream
from running_server import ROOT, RunningServer, payloads

from parley.speech import placeholder, sound_file, wav

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

HELLO = [{"role": "user", "content": "Hello?"}]
GREETING = "Welcome to Harbour Bicycle Works. How can I help you today?"
RATE = 16_000
BEEP = struct.pack("<9000h", *(round(8000 * math.sin(at / 5)) for at in range(9000)))
"""0.5625 s at 16 kHz: 14 chunks of 1280 bytes and one of 80."""
WORDS = [{"text": "Beep", "start_ts": 10, "end_ts": 420}, {"text": ".", "start_ts": 420, "end_ts": 440}]
# Stereo at 8 kHz, as a call recorder might write it.
STEREO = struct.pack("<8000h", *(round(9000 * math.sin(at / 9)) for at in range(8000)))
RECORDER = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 16036, b"WAVE", b"fmt ", 16, 1, 2, 8000, 32000, 4, 16, b"data", 16000
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings made for these tests."""
    folder = tmp_path_factory.mktemp("recordings")
    recordings = {
        "default": (wav.encode(BEEP, RATE), "Beep."),
        "stereo": (RECORDER + STEREO, "Two  beeps,\nbr\u00e8ves.\n"),
    }
    for name, (sound, words) in recordings.items():
        (folder / f"{name}.wav").write_bytes(sound)
        (folder / f"{name}.txt").write_text(words, encoding="utf-8")
    (folder / "default.words.json").write_text(json.dumps(WORDS))
    (folder / "alone.wav").write_bytes(wav.encode(BEEP, RATE))
    (folder / "noise.wav").write_bytes(b"ID3 this is no WAV")
    (folder / "noise.txt").write_text("Noise.")
    return folder


@pytest.fixture
def fresh(upstream: FakeUpstream, servers: Servers, folder: Path) -> RunningServer:
    """A server with those recordings, which sends them at once."""
    return servers(AUDIO_DIR=str(folder), AUDIO_LEAD_MS="5000")


@pytest.fixture
def hasty(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with the sample recordings, which sends them at once."""
    return servers(AUDIO_LEAD_MS="5000", IDLE_TIMEOUT="0.5")


@pytest.fixture
def bare(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server without recordings."""
    return servers(AUDIO_DIR="/nonexistent/recordings", AUDIO_LEAD_MS="5000")


def ask(server: RunningServer, path: str = "/audio/chat/completions", **fields: Any) -> requests.Response:
    body = {"messages": HELLO, "modalities": ["audio"], "audio": {"voice": "alloy", "format": "wav"}, **fields}
    return requests.post(f"{server.url}{path}", json=body, timeout=20)


def heard(response: requests.Response, size: int = 1280) -> tuple[dict[str, Any], list[bytes]]:
    """The first chunk's `audio` and the sound of the others, of a stream that is right in all else."""
    assert response.status_code == 200 and response.headers["content-type"] == "text/event-stream"
    *sent, done = payloads(response.content)
    first, *spoken, last = map(json.loads, sent)
    assert done == b"[DONE]" and last["choices"] == [
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    ]
    envelopes = [
        {name: chunk[name] for name in ("id", "object", "created", "model")} for chunk in (first, *spoken, last)
    ]
    assert all(envelope == envelopes[0] for envelope in envelopes)
    assert all(chunk["choices"][0].keys() == {"index", "delta", "logprobs", "finish_reason"} for chunk in spoken)
    assert first["choices"][0]["delta"].keys() == {"role", "audio"} and response.content.count(b'"transcript"') == 1
    pieces = [base64.b64decode(chunk["choices"][0]["delta"]["audio"]["data"], validate=True) for chunk in spoken]
    assert {len(piece) for piece in pieces[:-1]} <= {size} and 0 < len(pieces[-1]) <= size
    return dict(first["choices"][0]["delta"]["audio"]), pieces


@pytest.mark.parametrize("name", [None, "welcome"])
def test_a_sample_recording_is_played_bit_for_bit(hasty: RunningServer, name: str | None) -> None:
    files = ROOT / "audio_assets" / (name or "default")
    audio, pieces = heard(ask(hasty, asset=name) if name else ask(hasty))
    assert b"".join(pieces) == sound_file.read(files.with_suffix(".wav"), RATE).pcm
    assert audio["transcript"] == files.with_suffix(".txt").read_text().strip()


def test_the_stream_in_bytes(fresh: RunningServer) -> None:
    stream = ask(fresh, model="m").content
    first = json.loads(payloads(stream)[0])
    start = (
        b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":"m","choices":[{"index":0,"delta":'
        % (
            first["id"].encode(),
            first["created"],
        )
    )
    end, audio_id = (
        b',"logprobs":null,"finish_reason":null}]}\n\n',
        first["choices"][0]["delta"]["audio"]["id"].encode(),
    )
    chunks = [base64.b64encode(BEEP[at : at + 1280]) for at in range(0, len(BEEP), 1280)]
    assert re.fullmatch(rb"audio_[0-9a-f]{32}", audio_id) and len(chunks[0]) == 1708
    assert stream == (
        start + b'{"role":"assistant","audio":{"id":"%b","transcript":"Beep.","words":['
        b'{"text":"Beep","start_ts":10,"end_ts":420,"duration":410},'
        b'{"text":".","start_ts":420,"end_ts":440,"duration":20}]}}' % audio_id + end
        + b"".join(start + b'{"audio":{"id":"%b","data":"%b"}}' % (audio_id, chunk) + end for chunk in chunks)
        + start + b'{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )  # fmt: skip


def test_under_v1_the_audio_id_is_given_once(fresh: RunningServer) -> None:
    for path in ("/audio/v1/chat/completions", "/v1/audio/chat/completions"):
        response = ask(fresh, path, stream=True)
        audio, pieces = heard(response, 1278)
        assert b"".join(pieces) == BEEP and response.content.count(audio["id"].encode()) == 1


def test_a_stereo_recording_of_another_rate_is_converted(fresh: RunningServer, folder: Path) -> None:
    audio, pieces = heard(ask(fresh, asset="stereo"))
    assert b"".join(pieces) == sound_file.read(folder / "stereo.wav", RATE).pcm and len(b"".join(pieces)) == RATE
    assert audio["transcript"] == "Two  beeps,\nbr\u00e8ves."


def test_the_body_names_the_recording_before_the_query_does(fresh: RunningServer) -> None:
    path = "/audio/chat/completions?asset=stereo&session_id=7"
    assert heard(ask(fresh, path))[0]["transcript"].startswith("Two")
    assert heard(ask(fresh, path, asset="default"))[0]["transcript"] == "Beep."


@pytest.mark.parametrize(
    "name", ["../default", "/etc/passwd", "..", "a" * 65, "a b", "default\0", "d\u00e9faut", "a\\b"]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_malformed_name_is_refused(fresh: RunningServer, name: str, stream: bool) -> None:
    error = {"type": "invalid_request_error", "param": "asset", "code": "invalid_asset"}
    response = ask(fresh, asset=name, stream=stream)
    assert response.status_code == 400 and response.json()["error"].items() >= error.items()


@pytest.mark.parametrize("query", ["%2e%2e%2fdefault", "..", "%00", "%ff"])
def test_a_malformed_name_in_the_query_is_refused(fresh: RunningServer, query: str) -> None:
    response = ask(fresh, f"/audio/chat/completions?asset={query}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_asset")


@pytest.mark.parametrize("name", ["absent", "default.wav"])
def test_what_is_not_there_is_simulated_and_says_so(fresh: RunningServer, name: str) -> None:
    audio, pieces = heard(ask(fresh, asset=name))
    assert audio["transcript"] == placeholder.TRANSCRIPT and b"".join(pieces) == placeholder.utterance(None, RATE).pcm


def test_of_half_a_recording_the_other_half_alone_is_simulated(fresh: RunningServer) -> None:
    audio, pieces = heard(ask(fresh, asset="alone"))
    assert (b"".join(pieces), audio["transcript"]) == (BEEP, "(The recording alone, whose words are not known.)")
    audio, pieces = heard(ask(fresh, asset="noise"))
    assert (b"".join(pieces), audio["transcript"]) == (placeholder.utterance("Noise.", RATE).pcm, "Noise.")


@pytest.mark.row("RE-09")
@pytest.mark.parametrize("half", ["hello.wav", "hello.txt"])
def test_the_only_half_of_a_recording_is_played(
    upstream: FakeUpstream, servers: Servers, tmp_path: Path, half: str
) -> None:
    (tmp_path / half).write_bytes(wav.encode(BEEP, RATE) if half == "hello.wav" else b"Good morning.")
    audio, pieces = heard(ask(servers(AUDIO_DIR=str(tmp_path), AUDIO_LEAD_MS="5000")))
    if half == "hello.wav":
        assert (b"".join(pieces), audio["transcript"]) == (BEEP, "(The recording hello, whose words are not known.)")
    else:
        assert audio["transcript"] == "Good morning."


def test_without_any_recording_the_answer_is_simulated(bare: RunningServer) -> None:
    audio, pieces = heard(ask(bare))
    assert audio["transcript"] == placeholder.TRANSCRIPT and b"".join(pieces) == placeholder.utterance(None, RATE).pcm
    assert any("recording_fault" in line and "/nonexistent/recordings" in line for line in bare.lines())


@pytest.mark.parametrize("said", ["Two beeps, br\u00e8ves.", "Two  beeps,\nbr\u00e8ves."])
def test_a_broadcast_is_voiced_by_the_recording_with_its_words(fresh: RunningServer, folder: Path, said: str) -> None:
    messages = [{"role": "assistant", "content": said, "turn_id": 0, "metadata": {"source": "greeting"}}]
    audio, pieces = heard(ask(fresh, messages=messages, asset="default"))
    assert audio["transcript"].split() == said.split()
    assert b"".join(pieces) == sound_file.read(folder / "stereo.wav", RATE).pcm


@pytest.mark.parametrize("said", ["Hi, I am your agent.", "\u4f60\u597d\uff01", 'a "quoted"\ndata: [DONE]\n\n'])
def test_a_broadcast_without_a_recording_gets_no_other_words(fresh: RunningServer, said: str) -> None:
    audio, pieces = heard(ask(fresh, messages=[*HELLO, {"role": "assistant", "content": said}]))
    assert audio["transcript"] == said and b"".join(pieces) == placeholder.utterance(said, RATE).pcm


def test_the_sample_greeting_is_a_broadcast_with_a_recording(hasty: RunningServer) -> None:
    audio, pieces = heard(ask(hasty, messages=[{"role": "assistant", "content": GREETING}]))
    welcome = sound_file.read(ROOT / "audio_assets" / "welcome.wav", RATE).pcm
    assert (audio["transcript"], b"".join(pieces)) == (GREETING, welcome)


@pytest.mark.parametrize("form", ["wav", "pcm16", None])
def test_a_json_answer_holds_the_whole_recording(fresh: RunningServer, form: str | None) -> None:
    response = ask(fresh, stream=False, model="m", audio=form and {"format": form, "voice": "alloy"})
    body = response.json()
    (choice,) = body.pop("choices")
    message = choice.pop("message")
    audio = message.pop("audio")
    sound = base64.b64decode(audio.pop("data"))
    assert body.keys() == {"id", "object", "created", "model"} and (body["object"], body["model"]) == (
        "chat.completion",
        "m",
    )
    assert choice == {"index": 0, "logprobs": None, "finish_reason": "stop"}
    assert message == {"role": "assistant", "content": None, "refusal": None} and audio["transcript"] == "Beep."
    assert audio.keys() == {"id", "transcript", "expires_at", "words"} and audio["expires_at"] > time.time()
    assert [word["text"] for word in audio["words"]] == ["Beep", "."]
    assert sound == BEEP if form == "pcm16" else wav_files.pcm_in(sound) == BEEP


def test_audio_asks_no_upstream(fresh: RunningServer, upstream: FakeUpstream) -> None:
    ask(fresh)
    assert upstream.calls == []


def test_sound_leaves_in_a_burst_then_at_the_pace_of_speech(
    servers: Servers, upstream: FakeUpstream, folder: Path
) -> None:
    server = servers(AUDIO_DIR=str(folder))  # AUDIO_LEAD_MS is 200: five chunks
    started, arrived = time.monotonic(), []
    with requests.post(
        f"{server.url}/audio/chat/completions?asset=stereo", json={"messages": HELLO}, stream=True
    ) as reply:
        for line in reply.iter_lines():
            if b'"data"' in line:
                arrived.append(time.monotonic() - started)
    # Half a second of sound: the last of 13 chunks is due at 0.52 - 0.2 s.
    assert len(arrived) == 13 and arrived[-1] - arrived[4] > 0.2 and 0.25 < arrived[-1] < 2
