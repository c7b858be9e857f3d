"""The form of an upstream's answer: unusual chunks, events in all their forms, UTF-8, sizes, compression."""

import gzip
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fake_upstream import (
    DONE,
    END,
    EVENT_STREAM,
    ID,
    Call,
    FakeUpstream,
    Step,
    chunk,
    chunks,
    event,
    events,
    head,
    http_chunk,
    text_chunk,
)
from heard import STREAMS, WAITED, ask, broke_off, rested, says
from plain_http import frames
from running_server import RunningServer

pytestmark = pytest.mark.server
every_stream = pytest.mark.parametrize("way", STREAMS)
ROLE, *WORDS, FINISH = chunks("One two")
BEGUN = events([ROLE, *WORDS])


ODD = (
    b'{"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model","choices":[]}',
    chunk(None),
    b'{ "id":"chatcmpl-fake", "x":{"deep":[1.0,1e2,12345678901234567890123]},"choices":[{"index":0,"delta":null}] }',
    chunk({"reasoning_content": "hm", "new": {"a": [None]}}, system_fingerprint=None, service_tier="x"),
    b'{"id":"chatcmpl-fake","choices":[{"index":0,"delta":{"content":null}}],"usage":{"total_tokens":7}}',
    b'{"id":"chatcmpl-fake","created":1764000000,"model":"fake-model","choices":null,"usage":{}}',
    b'{"id":"chatcmpl-fake","choices":[{"index":0,"delta":{"content":"\\ud83d\\udc4b\\u2028"}},{"index":1,"delta":{}}]}',
)


@pytest.mark.row("UM-10")
@pytest.mark.parametrize("way", ["chat", "rag"])
def test_unusual_chunks_pass_byte_for_byte(single: RunningServer, first: FakeUpstream, way: str) -> None:
    usage = chunk({}, choices=[], usage={"total_tokens": 7})
    sent = [ROLE, *ODD, FINISH, usage, DONE]
    first.script = [*events(sent), END]
    heard = ask(single, way)
    named = heard.frames[0] + b"\n\n" if way == "rag" else b""
    assert heard.body == named + b"".join(map(frames, sent)) and heard.comments == []


@pytest.mark.row("UM-10")
def test_a_waiting_message_changes_only_envelope_and_role(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [*events([ROLE, *ODD, FINISH, DONE]), END]
    heard = ask(single, "waited")
    ours = {name: heard.chunks[0][name] for name in ("id", "created", "model")}
    sent = [{**json.loads(payload), **ours} for payload in (ROLE, *ODD, FINISH)]
    del sent[0]["choices"][0]["delta"]["role"]
    assert [json.loads(payload) for payload in heard.payloads[1:-1]] == sent
    assert b"12345678901234567890123" in heard.body and b"1e2" in heard.body


DRESSED = {
    "comments": b": OPENROUTER PROCESSING\n\n%b: ping\n\n",
    "CRLF": b"data: %b\r\n\r\n",
    "CR": b"data: %b\r\r",
    "no space": b"data:%b\n\n",
    "other fields": b"event: message\nid: 7\nretry: 10\ndata: %b\nunknown: x\nalone\n\n",
    "a BOM": b"data: %b\n\n",
}


@pytest.mark.row("UM-11")
@pytest.mark.parametrize("dress", DRESSED)
@every_stream
def test_the_form_of_an_event_does_not_matter(single: RunningServer, first: FakeUpstream, dress: str, way: str) -> None:
    form = DRESSED[dress]
    payloads = (ROLE, *WORDS, FINISH, DONE)
    dressed = [form % (frames(payload) if dress == "comments" else payload) for payload in payloads]
    first.script = [head(), http_chunk(b"\xef\xbb\xbf" * (dress == "a BOM") + b"".join(dressed)), END]
    heard = ask(single, way)
    heard.answered("One two")
    assert heard.comments == [] and (way == "waited" or heard.payloads == list(payloads))


@pytest.mark.row("UM-11")
@every_stream
def test_the_lines_of_one_event_belong_together(single: RunningServer, first: FakeUpstream, way: str) -> None:
    lines = WORDS[0].replace(b',"choices"', b',\n"choices"').split(b"\n")
    several = b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    first.script = [*events([ROLE]), http_chunk(several), event(WORDS[1]), event(FINISH), event(DONE), END]
    heard = ask(single, way)
    spoken = [said.replace(b"\ndata: ", b"").removeprefix(b"data: ") for said in heard.body.split(b"\n\n")]
    words = [json.loads(said)["choices"][0]["delta"].get("content", "") for said in spoken if said[:1] == b"{"]
    assert "".join(words).removeprefix(WAITED) == "One two" and heard.end["outcome"] == "ok"


SIGNS = "\u00e9 \u4f60 \U0001f44b\U0001f3fd \u0645\u0631\u062d\u0628\u0627"


@pytest.mark.row("UM-12")
@every_stream
def test_a_character_split_at_any_byte_is_the_same(single: RunningServer, first: FakeUpstream, way: str) -> None:
    framed = frames(text_chunk(ID, SIGNS))
    places = [place for place in range(len(framed)) if framed[place] & 0xC0 == 0x80]  # inside of a character
    split = [(framed[:place], 0.01, framed[place:]) for place in places]
    steps = [http_chunk(step) if isinstance(step, bytes) else step for parts in split for step in parts]
    first.script = [head(), *steps, event(FINISH), event(DONE), END]
    ask(single, way).answered(SIGNS * len(places))


@pytest.mark.row("UM-12")
@every_stream
def test_each_byte_of_a_character_may_come_alone(single: RunningServer, first: FakeUpstream, way: str) -> None:
    framed = frames(text_chunk(ID, SIGNS))
    start = framed.index(SIGNS.encode())
    alone: list[Step] = [http_chunk(framed[:start])]
    for place in range(start, start + len(SIGNS.encode())):
        alone += [0.002, http_chunk(framed[place : place + 1])]
    first.script = [head(), *alone, http_chunk(framed[start + len(SIGNS.encode()) :]), event(FINISH), event(DONE), END]
    ask(single, way).answered(SIGNS)


@pytest.mark.row("UM-12")
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x91"])
@every_stream
def test_invalid_utf_8_costs_only_its_character(
    single: RunningServer, first: FakeUpstream, bad: bytes, way: str
) -> None:
    first.script = [head(), event(text_chunk(ID, "Hello there").replace(b"o t", bad)), event(FINISH), event(DONE), END]
    text = ask(single, way).text
    assert text.startswith("Hell\ufffd") and text.endswith("here")


def memory(server: RunningServer, name: str) -> int:
    """Bytes that the one worker holds: now (`VmRSS`), or at most since `forget_peak` (`VmHWM`)."""
    (pid,) = server.worker_pids()
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def forget_peak(server: RunningServer) -> None:
    (pid,) = server.worker_pids()
    Path(f"/proc/{pid}/clear_refs").write_text("5")


LINE = 100 << 20


def endless_line(begun: list[Step]) -> Callable[[Call], Iterable[Step]]:
    """An event of 100 MiB without a line's end; counts in MiB what was taken of it."""

    def script(_call: Call) -> Iterable[Step]:
        yield from [*begun, http_chunk(b"data: ")]
        piece = http_chunk(b"x" * (1 << 16))
        yield from (piece for _ in range(LINE >> 16))
        yield END

    return script


@pytest.mark.row("UM-13")
@pytest.mark.parametrize(("way", "begun"), [("chat", BEGUN), ("waited", BEGUN), ("chat", [head()])])
def test_an_event_of_100_mib_is_cut_off_and_not_held(
    single: RunningServer, first: FakeUpstream, way: str, begun: list[Step]
) -> None:
    ask(rested(single, first), way)
    first.calls.clear()
    forget_peak(single)
    before = memory(single, "VmRSS")
    first.script = endless_line(begun)
    heard = ask(single, way)
    if begun is BEGUN:
        broke_off(heard, first, "upstream_bad_response")
    else:
        heard.failed(502, "upstream_bad_response")
    assert memory(single, "VmHWM") - before < 8 << 20
    assert all(call.finished.wait(2) and call.outcome == "peer_left" for call in first.calls)


@pytest.mark.row("UM-14")
def test_nothing_compressed_is_asked_for(single: RunningServer, first: FakeUpstream) -> None:
    for way in ("chat", "json"):
        first.script = says("Hello there")
        ask(single, way).answered("Hello there")
    assert [call.headers["accept-encoding"] for call in first.calls] == ["identity"] * 2


BOMB = gzip.compress(frames(WORDS[0]) + b"data: " + b"x" * (64 << 20))


@pytest.mark.row("UM-14")
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip"])
@pytest.mark.parametrize("way", [*STREAMS, "json"])
def test_a_compressed_answer_is_refused_unread(
    single: RunningServer, first: FakeUpstream, coding: str, way: str
) -> None:
    ask(single, "chat")
    first.calls.clear()
    forget_peak(single)
    before = memory(single, "VmRSS")
    first.script = [head(200, {**EVENT_STREAM, "content-encoding": coding}), http_chunk(BOMB), END]
    ask(single, way).failed(502, "upstream_bad_response")
    assert memory(single, "VmHWM") - before < 8 << 20
