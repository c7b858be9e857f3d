"""`AUDIO_MODE=speech` on the real server, between a fake upstream and a fake API's voice.

How the three meet: who waits for whom, what is heard when one of them fails, and that nothing runs on when the caller
has left. The embedded voice is in test_embedded_speech.py.
"""

import asyncio
import base64
import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import wav_files
from engine import Engine, Heard
from fake_upstream import (
    DONE,
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunk,
    completion,
    event,
    events,
    head,
    http_chunk,
    refusal,
    reset,
    text_chunk,
    whole,
)
from fake_voice import PCM_HEAD, begins, by_text, says, tone
from running_server import ROOT, RunningServer, held_by, running_server
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

HELLO = [{"role": "user", "content": "What does a tune-up cost?"}]
VOICE_KEY = "sk-voice-0123456789abcdef"
SOUND = tone(0.2)
SECOND = 32_000


@pytest.fixture(scope="session")
def _voice() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = says(SOUND)
        yield fake


@pytest.fixture
def voice(_voice: FakeUpstream) -> Iterator[FakeUpstream]:
    """The API's voice, which says every clause in 0.2 s of sound; a test leaves no call open."""
    _voice.calls.clear()
    _voice.script = says(SOUND)
    yield _voice
    _voice.wait_until(lambda: _voice.open_calls == 0)


@pytest.fixture
def start(upstream: FakeUpstream, voice: FakeUpstream, servers: Servers) -> Servers:
    """Starts a server that speaks, and sends at once what it has; its waiting messages are rehearsed by then."""

    def started(**settings: str) -> RunningServer:
        # Without agents, whose phrases would be rehearsed, too.
        silent = {"AGENTS_DIR": "none", "WAITING_MESSAGES": "Wait."}
        usual = {"TTS_BASE_URL": voice.base_url, "TTS_API_KEY": VOICE_KEY, **silent}
        quick = {"TTFT_TIMEOUT": "0.5", "IDLE_TIMEOUT": "0.5", "AUDIO_LEAD_MS": "5000", "RAG_TOP_K": "1"}
        server = servers(**{"AUDIO_MODE": "speech", **usual, **quick, **settings})
        rehearsed = 1 + ("FALLBACK_TEXT" in settings)
        if server.pid not in REHEARSED:
            voice.wait_for_calls(rehearsed)
            voice.wait_until(lambda: voice.open_calls == 0)
            REHEARSED.add(server.pid)
        voice.calls.clear()
        return server

    return started


REHEARSED: set[int] = set()


@pytest.fixture
def server(start: Servers) -> RunningServer:
    return start()


@pytest.fixture
def speaking(start: Servers) -> RunningServer:
    """One with a fallback text."""
    return start(FALLBACK_TEXT="Sorry.")


def ask(server: RunningServer, messages: Any = HELLO, **fields: Any) -> requests.Response:
    body = {"messages": messages, "modalities": ["audio"], "audio": {"voice": "alloy", "format": "wav"}, **fields}
    return requests.post(f"{server.url}/audio/chat/completions", json=body, timeout=20)


def heard(response: requests.Response) -> Heard:
    """A whole answer of a stream, as an engine hears it."""
    assert response.status_code == 200, response.content
    found = Heard(16_000)
    *frames, rest = response.content.split(b"\n\n")
    assert rest == b""
    for frame in frames:
        if frame.startswith(b"data: {"):
            read(json.loads(frame.removeprefix(b"data: ")), found)
    found.is_done = frames[-1] == b"data: [DONE]"
    return found


def read(chunk: dict[str, Any], found: Heard) -> None:
    found.chunks.append(chunk)
    for choice in chunk.get("choices", ()):
        audio = choice["delta"].get("audio") or {}
        found.transcripts += [audio["transcript"]] if "transcript" in audio else []
        found.words += audio.get("words", ())
        found.pcm += base64.b64decode(audio.get("data", ""))


def inputs(voice: FakeUpstream) -> list[str]:
    """What the voice was asked to say."""
    return [call.json["input"] for call in voice.calls]


def near(pcm: bytes | bytearray, seconds: float) -> bool:
    return abs(len(pcm) / SECOND - seconds) < 0.01


def test_the_answer_is_said_clause_by_clause(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    upstream.script = answer("Certainly, it costs **$45**. <think>Hm.</think>See https://example.com 😀 Shall I?")

    found = heard(ask(server))

    assert inputs(voice) == ["Certainly,", "it costs forty-five dollars.", "See example dot com Shall I?"]
    assert found.transcripts == ["Certainly, ", "it costs $45. ", "See example.com Shall I? "]
    assert near(found.pcm, 0.6) and found.finish_reason == "stop" and found.is_done
    assert [word["text"] for word in found.words] == [
        *("Certainly", ",", "it", "costs", "$", "45", ".", "See", "example.com", "Shall", "I", "?")
    ]
    edges = [edge for word in found.words for edge in (word["start_ts"], word["end_ts"])]
    assert edges == sorted(edges) and edges[-1] <= 1000 * len(found.pcm) / SECOND
    assert all(word["duration"] == word["end_ts"] - word["start_ts"] for word in found.words)


def test_the_stream_is_of_one_form(server: RunningServer) -> None:
    found = heard(ask(server))

    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in found.chunks}) == 1
    first, *_, last = (chunk["choices"][0] for chunk in found.chunks)
    assert first["delta"]["role"] == "assistant" and first["delta"]["audio"]["transcript"] == "Hello there "
    assert last == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert len(set(found.audio_ids)) == 1 and found.audio_ids[0]


def test_the_first_clause_is_heard_before_the_answer_is_written(server: RunningServer, upstream: FakeUpstream) -> None:
    written = threading.Event()
    payloads = [text_chunk("a", "Certainly"), text_chunk("a", ",")]
    rest = [event(text_chunk("a", " it is.")), event(chunk({}, "stop")), event(DONE), END]
    upstream.script = [*events(payloads), written, *rest]

    with requests.post(
        f"{server.url}/audio/chat/completions", json={"messages": HELLO}, stream=True, timeout=20
    ) as response:
        lines = response.iter_lines()
        assert any(b'"data":"' in line for line in lines)
        written.set()
        assert b"[DONE]" in b"".join(lines)


def test_a_model_of_text_is_asked_for_text(server: RunningServer, upstream: FakeUpstream) -> None:
    history = [{"role": "assistant", "audio": {"id": "audio_1", "transcript": "Hello!"}}, *HELLO]

    heard(ask(server, history, turn_id=3))

    (call,) = upstream.calls
    assert call.json == {
        "messages": [{"role": "assistant", "content": "Hello!"}, *HELLO],
        "model": "gpt-4o-mini",
        "stream": True,
    }


@pytest.mark.parametrize("wish", [{"rag": True}, {"kb": "house"}])
def test_with_the_knowledge_the_waiting_message_is_said_first(
    start: Servers, upstream: FakeUpstream, voice: FakeUpstream, wish: dict[str, Any], tmp_path: Path
) -> None:
    for folder in (tmp_path / "kb", tmp_path / "kb" / "house"):
        shutil.copytree(ROOT / "kb_data", folder)
    server = start(KB_DIR=str(tmp_path / "kb"))
    upstream.script = answer("It costs five.")

    found = heard(ask(server, **wish))

    assert found.transcripts == ["Wait. ", "It costs five. "] and near(found.pcm, 0.4)
    assert inputs(voice) == ["It costs five."]  # the waiting message is known by heart
    (call,) = upstream.calls
    assert "tune-up" in call.json["messages"][-1]["content"].lower() and len(call.json["messages"][-1]["content"]) > 99
    assert not {"rag", "kb"} & call.json.keys()


def test_the_waiting_message_is_heard_before_the_answer(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]

    found = asyncio.run(Engine(server.url).ask("Are you open?", barge_in_ms=50, rag=True))

    assert found.transcript == "Wait. " and found.pcm


@pytest.mark.parametrize("rag", [None, False])
def test_without_the_wish_nothing_is_looked_up(server: RunningServer, upstream: FakeUpstream, rag: bool | None) -> None:
    heard(ask(server, rag=rag))

    assert upstream.calls[0].json["messages"] == HELLO


def test_a_wish_of_another_kind_is_refused(server: RunningServer) -> None:
    response = ask(server, rag="yes")

    assert (response.status_code, response.json()["error"]["param"]) == (400, "rag")


def test_a_broadcast_is_said_as_it_is_and_made_once(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    said = "Hi, I'm *Ann*,  your agent.\nIt is 9 am."
    broadcast = [*HELLO, {"role": "assistant", "content": said}]

    first, second = heard(ask(server, broadcast)), heard(ask(server, broadcast))

    assert first.transcripts == second.transcripts == [said]
    assert first.pcm == second.pcm and near(first.pcm, 0.6)
    assert inputs(voice) == ["Hi, I'm Ann,", "your agent.", "It is nine AM."] and upstream.calls == []


@pytest.mark.parametrize("mode", ["assets", "relay"])
def test_a_broadcast_is_said_in_every_mode_that_has_a_voice(start: Servers, upstream: FakeUpstream, mode: str) -> None:
    server = start(AUDIO_MODE=mode)

    found = heard(ask(server, [{"role": "assistant", "content": "Hi, I am your agent."}]))

    assert found.transcripts == ["Hi, I am your agent."] and near(found.pcm, 0.2)
    assert upstream.calls == []


def test_a_broadcast_that_is_recorded_is_played(server: RunningServer, voice: FakeUpstream) -> None:
    greeting = "Welcome to Harbour Bicycle Works. How can I help you today?"

    found = heard(ask(server, [{"role": "assistant", "content": greeting}]))

    assert found.transcripts == [greeting] and voice.calls == []


def test_a_recording_that_is_asked_for_is_played(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    assert heard(ask(server, asset="welcome")).pcm
    assert voice.calls == [] and upstream.calls == []


@pytest.mark.row("RB-01")
@pytest.mark.parametrize("stream", [True, False])
def test_a_thought_by_its_note_is_not_said(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, stream: bool
) -> None:
    thought = chunk({"content": "A secret. ", "extra_content": {"google": {"thought": True}}})
    upstream.script = [*events([thought, chunk({"content": "It is open."}), chunk({}, "stop")]), event(DONE), END]

    assert ask(server, stream=stream).status_code == 200
    assert inputs(voice) == ["It is open."] and len(upstream.calls) == 1


def test_tool_calls_go_on_as_they_come(server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"a":1}'}}
    payloads = [chunk({"role": "assistant", "content": "One moment."}), chunk({"tool_calls": [call]})]
    upstream.script = [*events([*payloads, chunk({}, "tool_calls")]), event(DONE), END]

    found = heard(ask(server))

    deltas = [choice["delta"] for one in found.chunks for choice in one["choices"]]
    calls = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert calls == [[call]] and found.finish_reason == "tool_calls" and found.transcript == "One moment. "


def test_the_usage_comes_behind_the_finish(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("Hello there", usage=True)

    *_, finish, usage = heard(ask(server, stream_options={"include_usage": True})).chunks

    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["total_tokens"], usage["id"]) == ([], 7, finish["id"])


@pytest.mark.parametrize("text", ["", "😀", "```\ncode\n```"])
def test_an_answer_without_a_word_is_whole_all_the_same(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, text: str
) -> None:
    upstream.script = answer(text)

    found = heard(ask(server))

    assert (found.finish_reason, found.is_done, found.pcm, voice.calls) == ("stop", True, bytearray(), [])


@pytest.mark.parametrize("form", ["wav", "pcm16"])
@pytest.mark.parametrize("fields", [{}, {"rag": True}])
def test_a_json_answer_holds_it_all(
    server: RunningServer, upstream: FakeUpstream, form: str, fields: dict[str, Any]
) -> None:
    upstream.script = completion("Certainly, it costs **$45**.")

    body = ask(server, stream=False, audio={"format": form}, **fields).json()

    audio = body["choices"][0]["message"]["audio"]
    sound = base64.b64decode(audio["data"])
    assert audio["transcript"] == "Certainly, it costs $45." and body["usage"]["total_tokens"] == 7
    assert near(sound if form == "pcm16" else wav_files.pcm_in(sound), 0.4)
    assert ("citations" in body) == bool(fields)


def test_a_json_answer_that_calls_a_tool_goes_on_as_it_came(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("x")
    call = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "a", "choices": [choice]}).encode()
    upstream.script = whole(body)

    assert ask(server, stream=False).content == body


# Failures: of the upstream, and of the voice, before a sound and after.


def broken(response: requests.Response, code: str) -> Heard:
    """Two frames tell of a failure, and no DONE."""
    *_, last, error, rest = response.content.split(b"\n\n")
    assert rest == b"" and b"[DONE]" not in response.content
    assert json.loads(last.removeprefix(b"data: "))["choices"][0]["finish_reason"] == "error"
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == code
    return heard(response)


def end_of(server: RunningServer, response: requests.Response) -> tuple[str, str]:
    line = server.wait_for_end(response.headers["x-request-id"])
    return line["outcome"], line["code"]


FAILING: list[tuple[Any, int, str]] = [
    (refusal(500, {"message": "busy"}), 502, "upstream_error"),
    (refusal(401, {"message": "no"}), 502, "upstream_auth_failed"),
    ([reset], 502, "upstream_unreachable"),
    ([head(200, PCM_HEAD), END], 502, "upstream_empty_response"),
    ([HANG], 504, "upstream_timeout"),
]


@pytest.mark.parametrize(("script", "status", "code"), FAILING, ids=[code for _, _, code in FAILING])
def test_a_voice_that_fails_before_a_sound_is_an_error(
    server: RunningServer, voice: FakeUpstream, script: Any, status: int, code: str
) -> None:
    voice.script = script

    response = ask(server)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert end_of(server, response) == ("error_before", code)


@pytest.mark.parametrize(("script", "status", "code"), FAILING, ids=[code for _, _, code in FAILING])
def test_a_voice_that_fails_after_a_clause_is_told_in_the_stream(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, script: Any, status: int, code: str
) -> None:
    upstream.script = answer("Yes, we can. It costs five.")
    voice.script = by_text({"It costs five.": script}, says(SOUND))

    response = ask(server)

    assert broken(response, code).transcript == "Yes, we can. "
    assert end_of(server, response) == ("error_mid", code)


def test_a_voice_that_falls_silent_is_told_in_the_stream(server: RunningServer, voice: FakeUpstream) -> None:
    voice.script = [*begins(SOUND), HANG]

    assert near(broken(ask(server), "upstream_stalled").pcm, 0.16)


def test_an_upstream_that_fails_before_a_sound_is_an_error(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    upstream.script = refusal(422, {"message": "no such model", "code": "model"})

    response = ask(server)

    assert (response.status_code, response.json()["error"]["message"]) == (422, "no such model")
    assert voice.calls == []


def test_a_broken_answer_is_heard_to_its_last_whole_clause(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [*events([text_chunk("a", "Yes, we can. It co")]), 0.05, reset]

    response = ask(server)

    found = broken(response, "upstream_disconnected")
    assert found.transcript == "Yes, we can. " and near(found.pcm, 0.2)


def spoke(response: requests.Response, code: str) -> Heard:
    """The fallback text was said in the error's place, and the stream is whole."""
    assert f": error code={code} ".encode() in response.content
    found = heard(response)
    assert found.finish_reason == "stop" and found.is_done and b'"error"' not in response.content
    assert len(set(found.audio_ids)) == 1
    return found


def test_the_fallback_text_is_said_where_the_upstream_fails(speaking: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = refusal(500, {"message": "busy"})

    response = ask(speaking)

    found = spoke(response, "upstream_error")
    assert found.transcript == "Sorry. " and near(found.pcm, 0.2)
    assert end_of(speaking, response) == ("spoken_fallback", "upstream_error")


def test_the_fallback_text_is_said_behind_what_was_heard(speaking: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [*events([text_chunk("a", "Yes, we can. It co")]), 0.05, reset]

    found = spoke(ask(speaking), "upstream_disconnected")

    assert found.transcripts == ["Yes, we can. ", "Sorry. "] and near(found.pcm, 0.4)


def test_the_fallback_text_is_played_even_if_the_voice_fails(speaking: RunningServer, voice: FakeUpstream) -> None:
    voice.script = refusal(500, {"message": "busy"})

    assert spoke(ask(speaking), "upstream_error").transcript == "Sorry. "


def test_no_fallback_text_completes_half_a_tool_call(speaking: RunningServer, upstream: FakeUpstream) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"a'}}
    upstream.script = [*events([chunk({"tool_calls": [call]})]), 0.05, reset]

    broken(ask(speaking), "upstream_disconnected")


def test_a_refusal_of_the_callers_is_not_spoken_over(speaking: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = refusal(404, {"message": "no such model"})

    assert ask(speaking).status_code == 404


def test_in_silence_a_comment_shows_that_the_stream_lives(start: Servers, upstream: FakeUpstream) -> None:
    server = start(HEARTBEAT="0.2", IDLE_TIMEOUT="5")
    upstream.script = [*events([text_chunk("a", "Yes, we can. It")]), 0.7, *answer("x")[1:]]

    response = ask(server)

    assert response.content.count(b": keep-alive") >= 2 and heard(response).is_done


# The caller leaves.


def test_a_barge_in_ends_the_upstream_and_the_voice(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    upstream.script = [*events([text_chunk("a", "Yes, we can. It costs five. More")]), HANG]
    voice.script = by_text({"It costs five.": [*begins(SOUND), HANG]}, says(SOUND))

    found = asyncio.run(Engine(server.url).ask("Hello?", barge_in_ms=100))
    left = time.monotonic()

    assert found.pcm
    calls = [upstream.calls[-1], voice.calls[-1]]
    assert all(call.finished.wait(2) and call.outcome == "peer_left" for call in calls)
    assert max(call.peer_left_at or left for call in calls) - left < 1
    assert inputs(voice) == ["Yes, we can.", "It costs five."]


@pytest.mark.parametrize("waits_for", ["the upstream", "the voice"])
def test_a_caller_who_leaves_before_the_first_sound_ends_it_too(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, waits_for: str
) -> None:
    hanging = upstream if waits_for == "the upstream" else voice
    hanging.script = [HANG]
    with pytest.raises(requests.Timeout):
        requests.post(f"{server.url}/audio/chat/completions", json={"messages": HELLO}, timeout=0.2)

    assert hanging.calls[-1].finished.wait(2) and hanging.calls[-1].outcome == "peer_left"


def test_many_barge_ins_leave_nothing_behind(start: Servers, upstream: FakeUpstream, voice: FakeUpstream) -> None:
    server = start(TTFT_TIMEOUT="5", IDLE_TIMEOUT="5", AUDIO_LEAD_MS="200")
    upstream.script = answer("Yes, we can. It costs five. Shall I book one for you? It takes an hour.", interval=0.02)
    voice.script = says(SOUND, interval=0.03)
    (worker,) = server.worker_pids()

    async def calls(count: int) -> None:
        engines = [Engine(server.url).ask("Hello?", barge_in_ms=20 * (number % 10)) for number in range(count)]
        await asyncio.gather(*engines)

    def settled() -> None:
        for fake in (upstream, voice):
            fake.wait_until(lambda fake=fake: fake.open_calls == 0)

    for _ in range(3):
        asyncio.run(calls(10))
    settled()
    before = held_by(worker)
    for _ in range(15):
        asyncio.run(calls(10))
    settled()
    after = held_by(worker)

    assert len(voice.open_connections) <= 20  # ten at once, and what those who left just now had; a leak would be 150
    # What is kept for the next callers, and gevent's ten resolvers, come and go.
    assert after.fds <= before.fds + 10 and after.threads <= before.threads + 10
    assert after.rss_bytes - before.rss_bytes < 16 << 20
    metrics = requests.get(f"{server.url}/metrics", timeout=20).text
    assert 'parley_open_streams{endpoint="audio"} 0.0' in metrics


def test_a_barge_in_at_any_moment_loses_no_connection(upstream: FakeUpstream) -> None:
    upstream.script = answer("Yes, we can. It costs five. Shall I book one for you? It takes an hour.")
    with contextlib.ExitStack() as stack:
        voice = stack.enter_context(FakeUpstream())  # its own: other servers keep connections, too
        voice.script = says(SOUND, interval=0.02)
        settings = {"LLM_BASE_URL": upstream.base_url, "TTS_BASE_URL": voice.base_url, "AUDIO_MODE": "speech"}
        server = stack.enter_context(running_server(settings))
        for number in range(15):
            asyncio.run(Engine(server.url).ask("Hello?", barge_in_ms=15 * number))
        voice.wait_until(lambda: voice.open_calls == 0)
        voice.wait_until(lambda: len(voice.open_connections) <= 3)


# A voice API as it is found in the field.

OUT_OF_BREATH = [head(200, PCM_HEAD), *[http_chunk(b"\1"), 0.1] * 600]
"""One byte now and then, for a minute."""


@pytest.mark.row("RF-10")
@pytest.mark.parametrize(
    "script",
    [OUT_OF_BREATH, [*[b"HTTP/1.1 100 Continue\r\n\r\n", 0.05] * 1200], [HANG]],
    ids=["bytes", "100 Continue", "silence"],
)
def test_a_voice_that_drips_is_an_error_within_its_time(
    server: RunningServer, voice: FakeUpstream, script: Any
) -> None:
    voice.script = script
    started = time.monotonic()

    response = ask(server)

    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
    assert "speech synthesis" in response.json()["error"]["message"] and time.monotonic() - started < 5


@pytest.mark.row("RF-10")
def test_a_drip_behind_a_clause_is_told_in_the_stream(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    upstream.script = answer("Yes, we can. It costs five.")
    voice.script = by_text({"It costs five.": OUT_OF_BREATH}, says(SOUND))

    assert broken(ask(server), "upstream_timeout").transcript == "Yes, we can. "


@pytest.mark.row("RF-10")
@pytest.mark.parametrize("stream", [True, False])
def test_a_voice_that_never_ends_has_the_whole_time_of_an_answer(
    start: Servers, upstream: FakeUpstream, voice: FakeUpstream, stream: bool
) -> None:
    server = start(STREAM_TIMEOUT="1.5")
    upstream.script = answer("Hello.") if stream else completion("Hello.")
    voice.script = [*begins(tone(0.1)), *[0.1, http_chunk(tone(0.03))] * 600]

    response = ask(server, stream=stream)

    if stream:
        assert broken(response, "upstream_timeout").pcm
    else:
        assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")


@pytest.mark.row("RF-10")
def test_heartbeats_go_on_while_a_voice_drips(start: Servers, upstream: FakeUpstream, voice: FakeUpstream) -> None:
    server = start(HEARTBEAT="0.3", TTFT_TIMEOUT="2", IDLE_TIMEOUT="3")
    voice.script = [*begins(SOUND), *[0.1, http_chunk(b"\1")] * 20, END]

    response = ask(server)

    assert response.content.count(b": keep-alive") >= 3
    assert near(heard(response).pcm, 0.2)


@pytest.mark.row("RF-10")
def test_a_voice_that_drips_gives_way_to_the_text(
    servers: Servers, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    # From the start: nothing has been rehearsed.
    voice.script = OUT_OF_BREATH
    settings = {"TTS_BASE_URL": voice.base_url, "FALLBACK_TEXT": "Excuse me.", "TTFT_TIMEOUT": "0.5"}
    server = servers(AUDIO_MODE="speech", **settings)

    response = ask(server)

    found = heard(response)
    texts = [choice["delta"].get("content", "") for one in found.chunks for choice in one["choices"]]
    assert "".join(texts) == "Excuse me." and found.is_done and b": error code=upstream_timeout" in response.content
    assert end_of(server, response) == ("spoken_fallback", "upstream_timeout")


@pytest.mark.row("RA-14")
@pytest.mark.parametrize("stream", [True, False])
def test_a_voices_refusal_reaches_caller_and_log(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, stream: bool
) -> None:
    upstream.script = answer("Hello.") if stream else completion("Hello.")
    voice.script = refusal(400, {"message": f"voice alloy is not to be had with {VOICE_KEY}", "code": "no_voice"})

    response = ask(server, stream=stream)

    error = response.json()["error"]
    assert response.status_code == 400 and "voice alloy is not to be had" in error["message"]
    assert VOICE_KEY not in response.text and len(voice.calls) == 1
    server.wait_for_end(response.headers["x-request-id"])
    told = [json.loads(line) for line in server.lines() if "voice alloy is not to be had" in line]
    assert {line["event"] for line in told} == {"voice_failed", "request_end"}
    assert not any(VOICE_KEY in line["reason"] for line in told)


@pytest.mark.row("RA-14")
def test_a_voice_without_pcm_is_asked_for_wav_from_then_on(start: Servers, voice: FakeUpstream) -> None:
    sound = whole(wav_files.wav(wav_files.tone(48_000, 0.2), 48_000, channels=2), headers={"content-type": "audio/wav"})
    no_pcm = refusal(400, {"message": "Only wav is supported for response_format"})
    asked: list[str] = []

    def script(call: Call) -> Iterable[Step]:
        asked.append(call.json["response_format"])
        return no_pcm if asked[-1] == "pcm" else sound

    voice.script = script
    server = start(WAITING_MESSAGES="Just a second.")
    # The phrase that is rehearsed at the start is asked for twice.
    voice.wait_until(lambda: "wav" in asked and voice.open_calls == 0)
    voice.calls.clear()

    found = [heard(ask(server)) for _ in range(2)]

    assert all(near(one.pcm, 0.2) for one in found)
    assert [call.json["response_format"] for call in voice.calls] == ["wav", "wav"]


@pytest.mark.row("RF-27")
@pytest.mark.parametrize("stream", [True, False])
def test_a_content_of_parts_is_heard(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, stream: bool
) -> None:
    parts = [{"type": "text", "text": "It costs"}, {"type": "text", "text": " five."}]
    choice = {"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}
    as_whole = whole(json.dumps({"id": "a", "choices": [choice]}).encode())
    upstream.script = (
        [*events([chunk({"content": parts}), chunk({}, "stop")]), event(DONE), END] if stream else as_whole
    )

    # The caller's own content may be parts, too.
    response = ask(
        server, [{"role": "user", "content": [{"type": "text", "text": "What does it cost?"}]}], stream=stream
    )

    told = (
        "".join(heard(response).transcripts)
        if stream
        else response.json()["choices"][0]["message"]["audio"]["transcript"]
    )
    assert told.strip() == "It costs five." and inputs(voice) == ["It costs five."]


# Ten minutes of sound are the most of an answer, in one piece, too.


@pytest.mark.row("RF-20")
@pytest.mark.parametrize("form", ["a broadcast", "the model's text"])
def test_a_long_text_in_one_piece_ends_at_the_cap(
    start: Servers, upstream: FakeUpstream, voice: FakeUpstream, form: str
) -> None:
    server = start()
    (worker,) = server.worker_pids()
    text = "It goes on and on and on. " * 72_000  # 1.9 MB
    upstream.script = completion(text)
    messages = [{"role": "assistant", "content": text}] if form == "a broadcast" else HELLO
    before = held_by(worker).rss_bytes

    response = requests.post(
        f"{server.url}/audio/chat/completions", json={"messages": messages, "stream": False}, timeout=100
    )

    choice = response.json()["choices"][0]
    sound = base64.b64decode(choice["message"]["audio"]["data"])
    assert choice["finish_reason"] == "length" and len(voice.calls) <= 500
    assert 44 < len(sound) <= 600 * SECOND + 44
    assert held_by(worker).rss_bytes - before < 150 << 20


def test_no_key_and_no_word_of_a_caller_is_in_the_log(server: RunningServer, voice: FakeUpstream) -> None:
    voice.script = refusal(401, {"message": f"Incorrect API key provided: {VOICE_KEY}"})
    response = ask(server, [{"role": "user", "content": "My secret word is xylophone."}])

    assert VOICE_KEY not in response.text
    assert VOICE_KEY not in server.output() and "xylophone" not in server.output()
    assert "Traceback" not in server.output()


# --- what a model writes in other forms ---

PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "It costs "}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}
CONTENTS: dict[str, tuple[list[Any], str, str | None]] = {
    "parts": ([PARTS, [{"type": "text", "text": "ten"}, " euros."]], "It costs ten euros. ", None),
    "an object": ([{"type": "text", "text": "It costs "}, {"text": "ten euros."}], "It costs ten euros. ", None),
    "a nested object": ([[{"type": "text", "text": {"value": "Ten euros."}}]], "Ten euros. ", None),
    "a number": (["It costs ", 10, " euros."], "It costs 10 euros. ", None),
    "a picture": (["Look.", [PICTURE]], "Look. ", "image_url"),
    "a flag and a picture": ([True, [PICTURE, {"type": "text", "text": "Ten."}]], "Ten. ", "bool, image_url"),
    "an unknown part": ([[{"type": "chart", "text": "secret"}, "Ten."]], "Ten. ", "chart"),
    "a character in two": (["\ud842", "\udfb7 is a name."], "\U00020bb7 is a name. ", None),
    "half a character": (["Ten \ud83d", " euros."], "Ten euros. ", None),
    "halves in parts": ([[{"type": "text", "text": "\ud842"}], ["\udfb7 it is."]], "\U00020bb7 it is. ", None),
}


@pytest.mark.row("RA-07", "RA-08")
@pytest.mark.parametrize("content", CONTENTS)
def test_words_are_said_whatever_their_json_type(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, content: str
) -> None:
    pieces, transcript, unsaid = CONTENTS[content]
    sent = [json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}).encode() for piece in pieces]
    upstream.script = [*events([*sent, chunk({}, "stop")]), event(DONE), END]
    response = ask(server)
    assert heard(response).transcript == transcript and voice.calls
    assert server.wait_for_end(response.headers["x-request-id"])["unsaid"] == unsaid


@pytest.mark.row("RA-07", "RA-08")
@pytest.mark.parametrize("content", CONTENTS)
def test_words_of_a_whole_answer_are_said_whatever_their_type(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, content: str
) -> None:
    pieces, transcript, unsaid = CONTENTS[content]
    whole_content = pieces if len(pieces) > 1 else pieces[0]
    listed = [part for piece in whole_content for part in (piece if isinstance(piece, list) else [piece])]
    body = {"choices": [{"index": 0, "message": {"content": listed}, "finish_reason": {"type": "stop"}}], "usage": 7}
    upstream.script = whole(json.dumps(body).encode())
    response = ask(server, stream=False)
    assert response.status_code == 200, response.content
    assert response.json()["choices"][0]["message"]["audio"]["transcript"].split() == transcript.split()
    assert server.wait_for_end(response.headers["x-request-id"])["unsaid"] == unsaid


ODD_CHOICES = {
    "index as text": {"index": "0"},
    "index as a float": {"index": 0.0},
    "index of one": {"index": 1},
    "no index": {},
    "index null": {"index": None},
}


@pytest.mark.row("RA-08")
@pytest.mark.parametrize("choice", ODD_CHOICES)
@pytest.mark.parametrize("reason", ["stop", 1, True, {"type": "stop"}, ["stop"]], ids=str)
def test_odd_fields_lose_no_word(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, choice: str, reason: Any
) -> None:
    odd = {"id": 7, "created": 1.5, "model": ["m"], "usage": "none", "object": None}
    sent = [
        {**odd, "choices": [{**ODD_CHOICES[choice], "delta": {"role": 1, "content": "Ten."}}]},
        {**odd, "created": "now", "choices": [{**ODD_CHOICES[choice], "delta": {}, "finish_reason": reason}]},
    ]
    upstream.script = [*events([json.dumps(one).encode() for one in sent]), event(DONE), END]
    found = heard(ask(server))
    assert found.transcript == "Ten. " and found.is_done
    assert found.chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.row("RA-07", "RA-08")
@pytest.mark.parametrize("arguments", [{"a": 1}, [1], None, '{"a":"\ud83d'], ids=str)
def test_odd_arguments_of_a_tool_call_go_on(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, arguments: Any
) -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    sent = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).encode()
    upstream.script = [*events([sent, chunk({}, "tool_calls")]), event(DONE), END]
    found = heard(ask(server))
    assert found.chunks[0]["choices"][0]["delta"]["tool_calls"] == [call] and found.is_done


@pytest.mark.row("RA-01")
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_in_the_other_form_is_said(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, stream: bool
) -> None:
    upstream.script = completion("Ten euros.") if stream else answer("Ten euros.")
    response = ask(server, stream=stream)
    transcript = (
        heard(response).transcript if stream else response.json()["choices"][0]["message"]["audio"]["transcript"]
    )
    assert transcript.strip() == "Ten euros." and inputs(voice) == ["Ten euros."]


# What is said of the upstream's text, and how.

HIDDEN = {
    "closing alone": "They ask for hours. So.\n</think>\n\nWe open at nine.",
    "thought": "<thought>They ask.</thought>We open at nine.",
    "capitals": "<THINKING>They ask.</THINKING>We open at nine.",
    "Mistral": "[THINK]They ask.[/THINK]We open at nine.",
    "harmony": "<|channel|>analysis<|message|>They ask.<|end|><|start|>assistant"
    "<|channel|>final<|message|>We open at nine.",
    "Kimi": "◁think▷They ask.◁/think▷We open at nine.",
    "Cohere": "<|START_THINKING|>They ask.<|END_THINKING|><|START_RESPONSE|>We open at nine.<|END_RESPONSE|>",
    "Gemma": "<|channel>thought\nThey ask.<channel|>We open at nine.",
    "several": "<reasoning>They ask.</reasoning>We open <think>Hm?</think>at nine.",
}


@pytest.mark.row("RB-01", "RB-02")
@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_thoughts_are_neither_said_nor_in_a_transcript(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, text: str
) -> None:
    upstream.script = completion(text)
    said = ask(server, stream=False).json()["choices"][0]["message"]["audio"]["transcript"]
    # A lone closing comes too late for what has been said by then: here all of it comes at once.
    pieces = [text] if text.startswith("They") else [text[at : at + 3] for at in range(0, len(text), 3)]
    upstream.script = [*events([*(text_chunk("a", piece) for piece in pieces), chunk({}, "stop")]), event(DONE), END]
    found = heard(ask(server))

    assert " ".join("".join(found.transcripts).split()) == said == "We open at nine."
    assert not any("ask" in one or "think" in one.lower() or "Hm" in one for one in inputs(voice))


@pytest.mark.row("RB-01")
def test_behind_a_late_closing_all_is_said(server: RunningServer, upstream: FakeUpstream) -> None:
    pieces = ["They ask for hours. ", "It is nine. ", "So</think>", "We open at nine. ", "Come in."]
    upstream.script = [*events([text_chunk("a", piece) for piece in pieces], 0.4), event(DONE), END]

    transcript = "".join(heard(ask(server)).transcripts)

    assert transcript.endswith("We open at nine. Come in. ") and "think" not in transcript


@pytest.mark.row("RB-03")
@pytest.mark.parametrize("stream", [True, False])
def test_ranges_reach_the_voice_as_words(
    server: RunningServer, upstream: FakeUpstream, voice: FakeUpstream, stream: bool
) -> None:
    text = "Psalm 78:65-72 and 2019-2021 for 100-200 people at $100-$200 10am-2pm in the '90s."
    upstream.script = answer(text) if stream else completion(text)

    response = ask(server, stream=stream)

    # A long first sentence is cut where a phrase begins.
    assert " ".join(inputs(voice)).replace("people, at", "people at") == (
        "Psalm seventy-eight, sixty-five to seventy-two and twenty nineteen to twenty twenty-one for one hundred to "
        "two hundred people at one hundred to two hundred dollars ten AM to two PM in the nineties."
    )
    audio = response.json()["choices"][0]["message"]["audio"] if not stream else {}
    assert (audio["transcript"] if not stream else "".join(heard(response).transcripts).strip()) == text


@pytest.mark.row("RB-04")
def test_markup_in_a_waiting_message_is_sent_and_not_said(
    start: Servers, upstream: FakeUpstream, voice: FakeUpstream
) -> None:
    server = start(WAITING_MESSAGES="One moment. <flush />")
    upstream.script = answer("It costs five.")
    body = {"messages": HELLO}
    written = requests.post(f"{server.url}/rag/chat/completions", json=body, timeout=20).content.split(b"\n\n")[0]
    upstream.script = answer("It costs five.")

    found = heard(ask(server, rag=True))

    first = json.loads(written.removeprefix(b"data: "))["choices"][0]["delta"]["content"]
    assert first == "One moment. <flush /> " and found.transcripts == ["One moment. ", "It costs five. "]


@pytest.mark.row("RC-06")
def test_words_are_pronounced_as_told_and_written_as_they_are(
    start: Servers, upstream: FakeUpstream, voice: FakeUpstream, tmp_path: Path
) -> None:
    path = tmp_path / "pronunciation.json"
    path.write_text('{"Agora": "uh gora", "New Relic": "new rellick"}')
    server = start(AUDIO_DIR=str(tmp_path))
    upstream.script = answer("Agora uses New Relic for $5.")

    found = heard(ask(server))

    assert inputs(voice) == ["uh gora uses new rellick for five dollars."]
    assert found.transcripts == ["Agora uses New Relic for $5. "]
    assert [word["text"] for word in found.words] == ["Agora", "uses", "New", "Relic", "for", "$", "5", "."]
    # A faulty file leaves the last good one in use; a mended one is read without a restart.
    path.write_text('{"Agora": \n}')
    wait_until(lambda: "pronunciation_fault" in (ask(server), server.output())[1], 10)
    assert "line 2, column 1" in server.output() and inputs(voice)[-1] == inputs(voice)[0]
    path.write_text('{"Agora": "agger rah"}')
    wait_until(lambda: (ask(server), inputs(voice)[-1])[1].startswith("agger rah uses New Relic"), 10)
