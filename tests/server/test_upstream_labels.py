"""Labels that are wrong: an answer's media type and encoding, and a stream in place of an object or the reverse."""

import gzip
import json
from collections.abc import Mapping

import pytest
import requests
from fake_upstream import DONE, END, FakeUpstream, Step, chunk, chunks, close, encode, head, http_chunk, whole
from heard import DIFFERENT, STREAMS, ask
from plain_http import frames
from running_server import RunningServer

pytestmark = [pytest.mark.server, pytest.mark.row("RA-01")]
every_way = pytest.mark.parametrize("way", DIFFERENT)
CHUNKS = chunks("One two")
EVENTS = b"".join(map(frames, [*CHUNKS, DONE]))
MESSAGE = {"role": "assistant", "content": "One two"}
COMPLETION = {
    **{"id": "x", "object": "chat.completion", "created": 5, "model": "m"},
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"total_tokens": 7},
}
OBJECT = encode(COMPLETION)

LABELS: dict[str, dict[str, str]] = {
    "encoding none": {"content-type": "text/event-stream", "content-encoding": "none"},
    "encoding empty": {"content-type": "text/event-stream", "content-encoding": ""},
    "encoding utf-8": {"content-type": "text/event-stream", "content-encoding": "UTF-8"},
    "encoding gzip": {"content-type": "text/event-stream", "content-encoding": "gzip"},
    "encoding br, json": {"content-type": "application/json", "content-encoding": "br"},
    "json": {"content-type": "application/json"},
    "json, capitals": {"Content-Type": "Application/JSON; charset=UTF-8"},
    "text": {"content-type": "text/plain; charset=utf-8"},
    "bytes": {"content-type": "application/octet-stream"},
    "ndjson": {"content-type": "application/x-ndjson"},
    "html": {"content-type": "text/html; charset=UTF-8"},
    "sse": {"content-type": "text/event-stream"},
    "no type": {},
    "empty type": {"content-type": ""},
    "no media type": {"content-type": "stream"},
}
FORMS: dict[str, bytes] = {
    "events": EVENTS,
    "events behind a BOM": b"\xef\xbb\xbf" + EVENTS,
    "events behind blank lines": b"\n\r\n \n" + EVENTS,
    "events behind comments": b": PROCESSING\n\n: ping\r\n\r\n" + EVENTS,
    "events with names": b"".join(b"event: message\nid: 1\n" + frames(payload) for payload in [*CHUNKS, DONE]),
    "events, no space": EVENTS.replace(b"data: ", b"data:"),
    "events, CRLF": EVENTS.replace(b"\n", b"\r\n"),
    "an object": OBJECT,
    "an object over lines": json.dumps(COMPLETION, indent=2).encode(),
    "an object behind white space": b"\n   \n" + OBJECT + b"\n",
    "an object behind a comment": b": PROCESSING\n\n" + OBJECT,
    "an object behind a BOM": b"\xef\xbb\xbf" + OBJECT,
    "an object and DONE": OBJECT + b"\n\ndata: [DONE]\n\n",
    "an object and DONE on its line": OBJECT + b"data: [DONE]",
    "an object over lines and DONE": json.dumps(COMPLETION, indent=4).encode() + b"\ndata: [DONE]\n\n",
    "an object as an event": frames(OBJECT) + frames(DONE),
    "an object as the only event": frames(OBJECT),
    "events, no blank lines": b"".join(b"data: " + payload + b"\n" for payload in [*CHUNKS, DONE]),
    "events, another DONE": EVENTS.replace(b"[DONE]", b' "[done]"'),
    "chunks on lines": b"\n".join([*CHUNKS, b""]),
    "chunks on lines, CRLF, DONE": b"\r\n".join([*CHUNKS, b"[DONE]", b""]),
    "chunks on lines, no last end": b"\n".join(CHUNKS),
}


def sent(body: bytes, labels: Mapping[str, str], pieces: int = 1) -> list[Step]:
    """The script of a body under these labels, cut into so many pieces."""
    size = -(-len(body) // pieces)
    cut = [http_chunk(body[start : start + size]) for start in range(0, len(body), size)]
    return [head(200, {**labels, "transfer-encoding": "chunked"}), *cut, END]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("form", ["events", "an object"])
@every_way
def test_the_label_does_not_matter(single: RunningServer, first: FakeUpstream, form: str, label: str, way: str) -> None:
    first.script = sent(FORMS[form], LABELS[label])
    ask(single, way).answered("One two")


@pytest.mark.parametrize("form", FORMS)
@every_way
def test_the_first_bytes_tell_the_form(single: RunningServer, first: FakeUpstream, form: str, way: str) -> None:
    for label in ("sse", "json", "ndjson"):
        first.script = sent(FORMS[form], LABELS[label], pieces=7)
        ask(single, way).answered("One two")


@pytest.mark.parametrize("field", [b"heartbeat: 1", b"data", b"foo: bar"])
@every_way
def test_a_stream_may_begin_with_any_field(single: RunningServer, first: FakeUpstream, field: bytes, way: str) -> None:
    first.script = sent(field + b"\n\n" + EVENTS, LABELS["sse"])
    ask(single, way).answered("One two")


def in_messages(payload: bytes) -> bytes:
    """The chunk with a message in place of its delta."""
    return payload.replace(b'"delta"', b'"message"')


@every_way
def test_pieces_may_come_as_messages(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = sent(b"".join(map(frames, [*map(in_messages, CHUNKS), DONE])), LABELS["sse"])
    ask(single, way).answered("One two")


@every_way
def test_a_message_behind_its_pieces_is_said_once(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = sent(b"".join(map(frames, [*CHUNKS[:-1], OBJECT, DONE])), LABELS["sse"])
    ask(single, way).answered("One two")


@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith("events")])
def test_relabelled_events_pass_byte_for_byte(single: RunningServer, first: FakeUpstream, form: str) -> None:
    first.script = sent(FORMS[form], LABELS["json"])
    assert ask(single, "chat").body == EVENTS


def test_chunks_on_lines_are_relayed_as_they_come(single: RunningServer, first: FakeUpstream) -> None:
    # Far apart: an answer that is read whole before a word of it leaves would take too long.
    lines: list[Step] = []
    for payload in CHUNKS:
        lines += [http_chunk(payload + b"\n"), 0.2]
    first.script = [head(200, {**LABELS["ndjson"], "transfer-encoding": "chunked"}), *lines, END]
    heard = ask(single, "chat")
    heard.answered("One two")
    assert heard.end["first_ms"] + 200 < heard.end["ms"]


def test_a_stream_becomes_one_completion(single: RunningServer, first: FakeUpstream) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    more = [
        chunk({"tool_calls": [{"index": 0, **call}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}, "tool_calls"),
        chunk({}, choices=[], usage={"total_tokens": 7}),
    ]
    first.script = sent(b"".join(map(frames, [*CHUNKS[:-1], *more, DONE])), LABELS["sse"])
    answer = json.loads(ask(single, "json").body)
    assert (answer["object"], answer["id"], answer["usage"]) == (
        "chat.completion",
        "chatcmpl-fake",
        {"total_tokens": 7},
    )
    (choice,) = answer["choices"]
    called = {**call, "function": {"name": "f", "arguments": '{"a":1}'}}
    assert choice["message"] == {"role": "assistant", "content": "One two", "tool_calls": [called]}
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("form", ["events", "an object and DONE", "chunks on lines"])
@pytest.mark.parametrize("path", ["/rag", "/rag/v1", "/v1/rag", "/v1"])
def test_each_endpoint_puts_a_stream_together(single: RunningServer, first: FakeUpstream, path: str, form: str) -> None:
    first.script = sent(FORMS[form], LABELS["text"])
    body = {"messages": [{"role": "user", "content": "What does a tune-up cost?"}], "stream": False}
    answer = requests.post(f"{single.url}{path}/chat/completions", json=body, timeout=20).json()
    assert answer["choices"][0]["message"]["content"] == "One two"
    assert answer["object"] == "chat.completion" and ("citations" in answer) is ("rag" in path)


def test_an_object_and_done_is_answered_without_done(single: RunningServer, first: FakeUpstream) -> None:
    first.script = sent(FORMS["an object and DONE"], LABELS["json"])
    assert ask(single, "json").body == OBJECT


def test_a_callers_wish_for_the_usage_is_kept(single: RunningServer, first: FakeUpstream) -> None:
    first.script = sent(OBJECT, LABELS["json"])
    heard = ask(single, "chat", stream_options={"include_usage": True})
    heard.answered("One two")
    assert json.loads(heard.payloads[-2])["usage"] == {"total_tokens": 7} and len(heard.payloads) == 4


BROKEN: dict[str, tuple[list[Step], str]] = {
    "cut": ([head(), http_chunk(b"".join(map(frames, CHUNKS[:-1]))), close], "upstream_disconnected"),
    "unfinished": ([head(), http_chunk(b"".join(map(frames, CHUNKS[:-1]))), END], "upstream_incomplete"),
    "an error": ([head(), http_chunk(frames(CHUNKS[0]) + frames(b'{"error":{"code":"oom"}}')), END], "oom"),
    "a half object": (sent(OBJECT[:-30], LABELS["json"]), "upstream_bad_response"),
    "half a line": (sent(b"\n".join(CHUNKS[:-1])[:-30], LABELS["ndjson"]), "upstream_bad_response"),
    "no choices": (sent(b'{"object":"chat.completion","choices":[]}', LABELS["json"]), "upstream_bad_response"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_stream_that_breaks_is_no_completion(single: RunningServer, first: FakeUpstream, fault: str) -> None:
    first.script, code = BROKEN[fault]
    logged = "upstream_error" if code == "oom" else code
    ask(single, "json").failed(502, code, logged)


FOREIGN = {
    "a page": b"<!DOCTYPE html>\n<html><body>Log in</body></html>\n",
    "a page behind a BOM": b"\xef\xbb\xbf\n<html>",
    "XML": b'<?xml version="1.0"?><Error/>',
    "a text": b"upstream connect error or disconnect/reset before headers",
    "a list": b'["One two"]',
    "gzip": gzip.compress(EVENTS),
    "nothing": b"",
}


@pytest.mark.parametrize("label", ["html", "text", "json", "encoding br, json"])
@pytest.mark.parametrize("body", FOREIGN)
@every_way
def test_what_is_no_answer_stays_an_error(
    single: RunningServer, first: FakeUpstream, body: str, label: str, way: str
) -> None:
    first.script = whole(FOREIGN[body], 200, LABELS[label])
    heard = ask(single, way)
    heard.failed(502, "upstream_bad_response")
    assert b"Log in" not in heard.body


@pytest.mark.parametrize("way", STREAMS)
def test_a_flood_of_white_space_is_read_on(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = sent(b"\n" * 100_000 + EVENTS, LABELS["json"], pieces=50)
    ask(single, way).answered("One two")
