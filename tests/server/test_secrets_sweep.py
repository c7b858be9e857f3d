"""One server through a wide matrix of answers, errors and faults, with marked keys and marked words everywhere.

Afterwards no mark may stand in its output, its metrics, its readiness or any error that it answered with: the rows
SE-01 and SE-05 of docs/reliability.md. Marked words in a *good* answer belong to the caller and are not looked for.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from fake_upstream import (
    DONE,
    END,
    HANG,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    close,
    event,
    events,
    head,
    refusal,
    reset,
    whole,
)
from running_server import RunningServer, post, receive_until, running_server

pytestmark = pytest.mark.server

ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/v1/chat/completions", "/audio/chat/completions")
OURS, FALLBACKS, DOOR = "sk-ours-MARKEDKEY-0123456789", "plain/MARKEDKEY+9876543210", "doorMARKEDKEY0123456789"
STRANGERS = "sk-stranger-MARKEDKEY-0123456789"
WORDS = "MARKEDWORDS"
MARKS = ("MARKEDKEY", WORDS, "MARKEDHEADER")

GOOD = events(chunks(f"{WORDS} are said.")[:3])
ERROR = {"message": f"bad key {OURS} or {FALLBACKS}", "code": OURS, "type": FALLBACKS, "param": f"Bearer {OURS}"}
ECHO = {"x-request-id": OURS, "x-ratelimit-reset-requests": FALLBACKS, "set-cookie": "MARKEDHEADER=1", "server": WORDS}
FAULTS: list[Sequence[Step]] = [
    *(refusal(status, ERROR, ECHO) for status in (400, 401, 403, 404, 408, 413, 418, 422, 429, 500, 502, 503, 529)),
    whole(f"<html>{OURS} {WORDS}</html>".encode(), headers={"content-type": "text/html"}),
    whole(f"{WORDS} {OURS}".encode(), 500),
    whole(b"", 302, {"location": f"http://127.0.0.1:1/?key={OURS}&words={WORDS}"}),
    [f"HTTP/1.1 200 {OURS} {WORDS}\r\nbad header {FALLBACKS}\r\n\r\n".encode(), close],
    [f"{WORDS} {OURS}\r\n\r\n".encode(), close],
    [close],
    [reset],
    [HANG],
    [*GOOD, close],
    [*GOOD, reset],
    [*GOOD, END],
    [*GOOD, HANG],
    [*GOOD, event(f"{{not JSON {OURS}".encode()), END],
    [*GOOD, event(json.dumps({"error": ERROR}).encode()), END],
    [*GOOD, event(json.dumps({"object": "error", **ERROR}).encode()), END],
    [*GOOD, event(chunk({"content": None}, "error", error=ERROR)), END],
    [head(headers=ECHO), event(json.dumps({"error": OURS}).encode()), END],
    [head(), event(DONE), END],
    answer(f"{WORDS} are said."),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[RunningServer]:
    """A server that logs all it ever would, and gunicorn with it."""
    settings = {
        "LLM_BASE_URL": upstream.base_url,
        "LLM_API_KEY": OURS,
        "LLM_FALLBACKS": json.dumps([{"base_url": upstream.base_url, "api_key": FALLBACKS}]),
        "API_KEYS": f"{DOOR},another{DOOR}",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
        "MAX_BODY": "20000",
        "TTFT_TIMEOUT": "0.3",
        "PRECOMMIT_TIMEOUT": "0.8",
        "IDLE_TIMEOUT": "0.3",
        "STREAM_TIMEOUT": "2",
    }
    talkative = ("--log-level", "debug", "--access-logfile", "-")
    with running_server(settings, argv=talkative) as running:
        yield running


def said(**more: Any) -> dict[str, Any]:
    roles = ("system", "user", "assistant", "tool", "developer", "user")
    messages = [{"role": role, "content": f"{role} {WORDS}", "name": WORDS, "tool_call_id": WORDS} for role in roles]
    return {"messages": messages, "user": WORDS, "metadata": {"call": WORDS}, "waiting": "off", **more}


def refused_bodies() -> Iterator[bytes]:
    """Bodies that are turned away, each with marks in it."""
    whole_body = json.dumps(said(api_key=STRANGERS)).encode()
    yield whole_body[:-1]
    yield whole_body + whole_body
    yield b'{"a": "%s", "a": 2}' % WORDS.encode()
    yield whole_body.replace(b'"role": "tool"', b'"role": "MARKEDWORD"')
    yield json.dumps([said()]).encode()
    yield json.dumps({"messages": WORDS}).encode()
    yield json.dumps(said(stream=WORDS)).encode()
    yield json.dumps(said(waiting=WORDS)).encode()
    yield json.dumps(said(model=WORDS * 100)).encode()
    yield json.dumps(said(modalities={WORDS: 1})).encode()
    yield b"\xff" + whole_body
    yield b" " * 30_000 + whole_body
    yield b"[" * 10_000 + whole_body


def fault(server: RunningServer, path: str, script: int, stream: bool) -> str:
    """What a caller is shown of this fault, unless the answer was good."""
    headers = {"authorization": f"Bearer {DOOR}", "x-script": str(script), "cookie": "MARKEDHEADER"}
    body = said(stream=stream, seed=script)
    answered = requests.post(server.url + path, json=body, headers=headers, timeout=20)
    shown = str(answered.headers)
    if answered.headers["content-type"] == "application/json":
        return shown + (answered.text if answered.status_code != 200 else "")
    frames = [frame for frame in answered.text.split("\n\n") if '"error"' in frame or frame.startswith(":")]
    return shown + "".join(frames)


def refusals(server: RunningServer, path: str) -> str:
    """What strangers and those whose request is malformed are shown."""
    shown = []
    for keys in ({"authorization": f"Bearer {STRANGERS}"}, {"x-api-key": OURS}, {"authorization": f"Basic {DOOR}"}):
        shown.append(requests.post(f"{server.url}{path}?key={DOOR}", json=said(), headers=keys, timeout=30))
    for body in refused_bodies():
        shown.append(requests.post(server.url + path, data=body, headers={"x-api-key": DOOR}, timeout=30))
    for extra in ({"content-encoding": WORDS}, {"transfer-encoding": WORDS}, {"expect": WORDS}):
        headers = {"x-api-key": DOOR, **extra}
        shown.append(requests.post(server.url + path, json=said(), headers=headers, timeout=30))
    assert not [answered for answered in shown if answered.status_code < 400]
    texts = [answered.text for answered in shown if answered.headers.get("content-type") == "application/json"]
    return "".join([*texts, *(str(answered.headers) for answered in shown)])


def leave(server: RunningServer, path: str) -> None:
    with server.connect() as connection:
        connection.sendall(post(path, said(), x_api_key=DOOR))
        receive_until(connection, b"\r\n")


@pytest.mark.row("SE-05")
def test_words_in_a_body_read_as_a_request_are_not_quoted(server: RunningServer) -> None:
    for framing in (b"", b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"):
        with server.connect() as connection:
            body = b'{"messages":[{"role":"user","content":"%s %s"}]}\r\n\r\n' % (WORDS.encode(), STRANGERS.encode())
            connection.sendall(b"POST /chat/completions HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n" + body)
            assert b"HTTP/1.1 4" in receive_until(connection, b"no such bytes")
    assert "Invalid request from ip=127.0.0.1: Invalid " in server.output()
    assert [line for line in server.lines() if any(mark in line for mark in MARKS)] == []


@pytest.mark.row("SE-05")
def test_a_wide_sweep_shows_no_key_and_no_callers_word(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = lambda call: FAULTS[call.json["seed"]]
    matrix = list(itertools.product(ENDPOINTS[:3], range(len(FAULTS)), (True, False)))
    hello = json.dumps(said(stream=True, seed=len(FAULTS) - 1)).encode()
    with ThreadPoolExecutor(16) as pool:
        shown = list(pool.map(lambda way: fault(server, *way), matrix))
        shown += pool.map(lambda path: refusals(server, path), ENDPOINTS)
        upstream.script = [*GOOD, HANG]
        list(pool.map(lambda path: leave(server, path), ENDPOINTS * 3))
    upstream.wait_until(lambda: upstream.open_calls == 0)
    for path in ("/metrics", "/ready", "/openapi.json"):
        shown.append(requests.get(server.url + path, headers={"x-api-key": DOOR}, timeout=30).text)
    upstream.script = answer("Good")
    last = {"x-api-key": DOOR, "x-request-id": "last-of-all"}
    assert requests.post(server.url + ENDPOINTS[0], data=hello, headers=last, timeout=30).status_code == 200
    server.wait_for_end("last-of-all")
    outcomes = {end["outcome"] for end in server.request_ends()}
    assert outcomes >= {"ok", "refused", "error_before", "error_mid", "client_closed"}
    assert [text for text in shown if any(mark in text for mark in MARKS)] == []
    assert [line for line in server.lines() if any(mark in line for mark in MARKS)] == []
