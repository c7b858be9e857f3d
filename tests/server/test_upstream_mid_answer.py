"""Upstream failures inside the answer: cuts, stalls, error events, caps, half tool calls."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fake_upstream import (
    DONE,
    END,
    ENVELOPE,
    HANG,
    ID,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    close,
    encode,
    event,
    events,
    head,
    http_chunk,
    reset,
    text_chunk,
)
from heard import STREAMS, Heard, ask, ask_all, broke_off
from plain_http import frames
from running_server import RunningServer

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
every_stream = pytest.mark.parametrize("way", STREAMS)

ROLE, *WORDS, FINISH = chunks("One two")
BEGUN = events([ROLE, *WORDS])
BOOM = {"message": "boom at 10.0.0.1", "type": "server_error", "param": None}
HALF_CALL = chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "a", "arguments": '{"x'}}]})
UNTIL_CLOSE = {"content-type": "text/event-stream"}
WITH_LENGTH = {"content-type": "text/event-stream", "content-length": "100000"}


# --- the connection ---

CUTS: dict[str, list[Step]] = {
    "chunked": [*BEGUN, close],
    "inside a chunk": [*BEGUN, b"400\r\ndata: {", close],
    "inside an event": [*BEGUN, http_chunk(b'data: {"id":'), close],
    "before its length": [head(200, WITH_LENGTH), *map(frames, (ROLE, *WORDS)), close],
}


@pytest.mark.row("UM-01")
@pytest.mark.parametrize("cut", CUTS)
@every_stream
def test_a_cut_answer_ends_in_two_frames(single: RunningServer, first: FakeUpstream, cut: str, way: str) -> None:
    first.script = CUTS[cut]
    broke_off(ask(single, way), first, "upstream_disconnected")


ENDS: dict[str, list[Step]] = {
    "the last chunk": [*BEGUN, END],
    "until close": [head(200, UNTIL_CLOSE), *map(frames, (ROLE, *WORDS)), close],
    "HTTP/1.0": [head(200, UNTIL_CLOSE).replace(b"1.1", b"1.0"), *map(frames, (ROLE, *WORDS)), close],
    "in the middle of an event": [*BEGUN, http_chunk(b'data: {"choices":[{"index":0,"delta":{}'), END],
    "after half a DONE": [*BEGUN, http_chunk(b"data: [DON"), END],
}


@pytest.mark.row("UM-02")
@pytest.mark.parametrize("end", ENDS)
@every_stream
def test_an_end_without_done_or_finish_is_incomplete(
    single: RunningServer, first: FakeUpstream, end: str, way: str
) -> None:
    first.script = ENDS[end]
    broke_off(ask(single, way), first, "upstream_incomplete")


@pytest.mark.row("UM-02")
@every_stream
def test_an_answer_until_close_that_finished_is_complete(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = [head(200, UNTIL_CLOSE), *map(frames, (ROLE, *WORDS, FINISH)), close]
    ask(single, way).answered("One two")


@pytest.mark.row("UM-03")
@pytest.mark.parametrize("cut", [[close], [END], [reset], [HANG]], ids=["close", "end", "reset", "stall"])
@every_stream
def test_fallback_text_follows_the_words_of_a_broken_answer(
    speaking: RunningServer, first: FakeUpstream, cut: list[Step], way: str
) -> None:
    first.script = [*BEGUN, 0.02, *cut]
    heard = ask(speaking, way)
    codes = {close: "upstream_disconnected", reset: "upstream_disconnected", END: "upstream_incomplete"}
    heard.spoke("One two Sorry?", codes.get(cut[0], "upstream_stalled"))
    comment, done = heard.frames[-2:]
    assert comment.startswith(b": error code=") and done == b"data: [DONE]" and heard.end["level"] == "error"


@pytest.mark.row("UM-04")
@every_stream
def test_a_reset_is_reported_at_once(single: RunningServer, first: FakeUpstream, way: str) -> None:
    times: list[float] = []
    first.script = [*BEGUN, 0.05, reset, lambda _connection: times.append(time.monotonic())]
    first.script.insert(-1, first.script.pop())  # the time is taken before the cut
    heard = ask(single, way)
    # Of what a silence of IDLE_TIMEOUT would be, the code is another.
    assert time.monotonic() - times[0] < 5
    broke_off(heard, first, "upstream_disconnected")


@pytest.mark.row("UM-05")
def test_a_stall_is_filled_with_comments_until_its_timeout(quick_servers: Servers, first: FakeUpstream) -> None:
    first.script = [*BEGUN, HANG]
    for heard in ask_all(quick_servers(HEARTBEAT="0.1"), STREAMS):
        broke_off(heard, first, "upstream_stalled")
        assert 2 <= heard.comments.count(b"keep-alive") == len(heard.comments) <= 6
        assert heard.calls(first)[0].outcome == "peer_left" and 500 <= heard.end["ms"] < 2000


@pytest.mark.row("UM-05")
def test_a_timeout_below_the_heartbeat_does_not_wait_for_it(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [*BEGUN, HANG]
    for heard in ask_all(single, STREAMS):
        broke_off(heard, first, "upstream_stalled")
        assert heard.comments == [] and 500 <= heard.end["ms"] < 2000
        assert heard.calls(first)[0].outcome == "peer_left"


@pytest.mark.row("UM-05")
def test_an_answer_slower_than_the_heartbeat_is_complete(quick_servers: Servers, first: FakeUpstream) -> None:
    first.script = answer("One two three", interval=0.3)
    heard = ask(quick_servers(HEARTBEAT="0.1"))
    heard.answered("One two three")
    assert b"keep-alive" in heard.comments and first.calls[0].outcome == "done"


@pytest.mark.row("UM-05")
def test_trickling_bytes_are_no_stall(single: RunningServer, first: FakeUpstream) -> None:
    word = event(WORDS[1])
    pieces = [word[place : place + len(word) // 5 + 1] for place in range(0, len(word), len(word) // 5 + 1)]
    dropped: list[Step] = [step for piece in pieces for step in (0.15, piece)]
    first.script = [*events([ROLE, WORDS[0]]), *dropped, event(FINISH), event(DONE), END]
    ask(single).answered("One two")


# --- what an event holds ---

NOT_CHUNKS = {
    "half an object": b'{"id":"chatcmpl',
    "words": b"Internal Server Error",
    "a list": b"[1,2]",
    "a number": b"5",
    "a string": b'"hello"',
    "choices that are none": b'{"choices":"none"}',
    "a delta that is none": b'{"choices":[{"delta":"text"}]}',
    "deep": b'{"choices":' + b"[" * 100_000,
    "not UTF-8": b"\xff\xfe\xfd",
}


@pytest.mark.row("UM-06")
@pytest.mark.parametrize("payload", NOT_CHUNKS)
@every_stream
def test_an_event_that_is_no_chunk_ends_the_answer(
    single: RunningServer, first: FakeUpstream, payload: str, way: str
) -> None:
    first.script = [*BEGUN, event(NOT_CHUNKS[payload]), HANG]
    broke_off(ask(single, way), first, "upstream_bad_response")
    assert first.calls[0].outcome == "peer_left"


REPORTS: dict[str, tuple[Any, str]] = {
    "um_07 OpenAI's form": ({"error": {**BOOM, "code": "server_overloaded.v1"}}, "server_overloaded.v1"),
    "um_07 without a code": ({"error": BOOM}, "upstream_error"),
    "um_07 a code that is a number": ({"error": {**BOOM, "code": 503}}, "upstream_error"),
    "um_07 a code of unsafe characters": ({"error": {**BOOM, "code": "a\n\ndata: [DONE]"}}, "upstream_error"),
    "um_07 a code too long": ({"error": {**BOOM, "code": "x" * 65}}, "upstream_error"),
    "um_07 in words": ({"error": "boom at 10.0.0.1"}, "upstream_error"),
    "um_07 beside choices": ({**ENVELOPE, "choices": [], "error": BOOM}, "upstream_error"),
    "um_08 vLLM's form": ({"object": "error", **BOOM, "code": 500}, "upstream_error"),
    "um_08 vLLM's form with a code": ({"object": "error", **BOOM, "code": "bad_request"}, "bad_request"),
    "um_09 OpenRouter's form": (json.loads(chunk({"content": ""}, "error", error={"code": 502})), "upstream_error"),
    "um_09 its finish alone": (json.loads(chunk({}, "error")), "upstream_error"),
    "um_09 its finish with words": (json.loads(chunk({"content": " lost"}, "error")), "upstream_error"),
}


@pytest.mark.row("UM-07", "UM-08", "UM-09")
@pytest.mark.parametrize("form", REPORTS)
@every_stream
def test_an_error_event_is_reported_with_its_code(
    single: RunningServer, first: FakeUpstream, form: str, way: str
) -> None:
    report, code = REPORTS[form]
    first.script = [*BEGUN, event(encode(report)), event(DONE), END]
    broke_off(ask(single, way), first, code, logged="upstream_error")


@pytest.mark.row("UM-07")
def test_an_error_field_that_is_null_is_no_error(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [head(), *(event(payload[:-1] + b',"error":null}') for payload in (ROLE, *WORDS, FINISH)), END]
    heard = ask(single)
    assert (heard.text, heard.end["outcome"], heard.payloads[-1]) == ("One two", "ok", DONE)


# --- bytes, sizes, lengths ---


def endless_words(pause: float, word: str) -> Callable[[Call], Iterable[Step]]:
    def script(_call: Call) -> Iterable[Step]:
        yield head()
        while True:
            yield event(text_chunk(ID, word))
            yield pause

    return script


def check_capped(heard: Heard, upstream: FakeUpstream) -> None:
    assert heard.finish_reasons == ["length"] and heard.payloads[-1] == DONE and heard.payloads.count(DONE) == 1
    assert heard.end["outcome"] == "capped" and b'"error"' not in heard.body
    (call,) = heard.calls(upstream)
    assert call.finished.wait(2) and call.outcome == "peer_left"


@pytest.mark.row("UM-15")
def test_an_answer_longer_than_its_time_is_capped(quick_servers: Servers, first: FakeUpstream) -> None:
    first.script = endless_words(0.05, "again ")
    for heard in ask_all(quick_servers(STREAM_TIMEOUT="0.7", IDLE_TIMEOUT="15", HEARTBEAT="2"), STREAMS):
        check_capped(heard, first)
        assert 700 <= heard.end["ms"] < 2500 and set(heard.text.split()) == {"again"}


@pytest.mark.row("UM-15")
def test_an_answer_that_fell_silent_is_capped_in_time(quick_servers: Servers, first: FakeUpstream) -> None:
    first.script = [*BEGUN, HANG]
    heard = ask(quick_servers(STREAM_TIMEOUT="0.7", IDLE_TIMEOUT="15", HEARTBEAT="2"))
    check_capped(heard, first)
    assert 700 <= heard.end["ms"] < 1700 and heard.text == "One two"


@pytest.mark.row("UM-15")
@every_stream
def test_an_answer_larger_than_4_mib_is_capped(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = endless_words(0, "x" * 65536)
    heard = ask(single, way)
    check_capped(heard, first)
    assert (4 << 20) - 131_072 <= len(heard.body) < 5 << 20


@pytest.mark.row("UM-15")
@every_stream
def test_an_answer_below_4_mib_is_complete(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = [head(), *[event(text_chunk(ID, "x" * 65536))] * 60, event(FINISH), event(DONE), END]
    ask(single, way).answered("x" * 65536 * 60)


# --- at the end ---


@pytest.mark.row("UM-16")
@pytest.mark.parametrize("cut", [close, reset, END], ids=["close", "reset", "end"])
@every_stream
def test_a_cut_after_the_finish_reason_is_a_complete_answer(
    single: RunningServer, first: FakeUpstream, cut: Step, way: str
) -> None:
    first.script = [*BEGUN, event(FINISH), 0.02, cut]
    ask(single, way).answered("One two")


@pytest.mark.row("UM-16")
@every_stream
def test_silence_after_the_finish_is_a_complete_answer(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = [*BEGUN, event(FINISH), HANG]
    ask(single, way).answered("One two")
    assert first.calls[0].finished.wait(2) and first.calls[0].outcome == "peer_left"


TAILS: dict[str, list[Step]] = {
    "nothing": [END],
    "a moment later": [0.01, END],
    "words": [event(WORDS[0]), END],
    "another DONE": [event(DONE), END],
    "an error": [event(encode({"error": BOOM})), END],
    "not a chunk": [event(b"bye"), END],
    "32 KiB": [http_chunk(b": " + b"x" * 32768 + b"\n\n"), END],
    "trailers": [b"0\r\nserver-timing: x\r\n\r\n"],
}


@pytest.mark.row("UM-17")
@every_stream
def test_data_after_done_is_dropped_and_the_connection_kept(
    single: RunningServer, first: FakeUpstream, way: str
) -> None:
    for tail in TAILS.values():
        first.script = [*BEGUN, event(FINISH), event(DONE), *tail]
        ask(single, way).answered("One two")
        assert first.calls[-1].finished.wait(2)
        time.sleep(0.03)  # the tail is read aside
    numbers = [call.connection_number for call in first.calls]
    assert len(numbers) == len(TAILS) and len(set(numbers)) == 1


@pytest.mark.row("UM-17")
@pytest.mark.parametrize("tail", [[HANG], [http_chunk(b"x" * 65536)] * 100], ids=["silence", "6 MiB"])
@every_stream
def test_a_long_tail_costs_the_connection_not_the_caller(
    single: RunningServer, first: FakeUpstream, tail: list[Step], way: str
) -> None:
    first.script = [*BEGUN, event(FINISH), event(DONE), *tail, HANG]
    heard = ask(single, way)
    heard.answered("One two")
    assert heard.end["ms"] < 500 and first.calls[0].finished.wait(2) and first.calls[0].outcome == "peer_left"


@pytest.mark.row("UM-18")
@pytest.mark.parametrize(
    ("mode", "cut", "code"),
    [
        ("single", close, "upstream_disconnected"),
        ("speaking", close, "upstream_disconnected"),
        ("speaking", END, "upstream_incomplete"),
        ("speaking", HANG, "upstream_stalled"),
    ],
)
@every_stream
def test_half_a_tool_call_is_never_completed(
    request: pytest.FixtureRequest, first: FakeUpstream, mode: str, cut: Step, code: str, way: str
) -> None:
    server: RunningServer = request.getfixturevalue(mode)
    first.script = [*events([ROLE, HALF_CALL]), 0.02, cut]
    heard = ask(server, way)
    heard.broken(code)
    assert b"Sorry" not in heard.body and b'"tool_calls"' in heard.body and len(first.calls) == 1


@pytest.mark.row("UM-18")
@every_stream
def test_words_before_half_a_tool_call_change_nothing(speaking: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = [*events([ROLE, *WORDS, HALF_CALL]), 0.02, close]
    heard = ask(speaking, way)
    heard.broken("upstream_disconnected")
    assert heard.text == "One two"


# --- /rag after its waiting message ---
