"""Request ids, the one log line of each request, and log lines that nobody can forge or block."""

import collections
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import (
    END,
    HANG,
    FakeUpstream,
    Script,
    Step,
    answer,
    chunk,
    chunks,
    close,
    completion,
    event,
    events,
    head,
    refusal,
    reset,
    whole,
)
from running_server import INHERITED, ROOT, RunningServer, free_port, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
DOOR = {"authorization": "Bearer door"}


@pytest.fixture(scope="module")
def server(upstream_url: str) -> Iterator[RunningServer]:
    """A server that loses patience quickly."""
    patience = {"TTFT_TIMEOUT": "0.4", "PRECOMMIT_TIMEOUT": "1", "IDLE_TIMEOUT": "0.5", "STREAM_TIMEOUT": "1.5"}
    with running_server({"LLM_BASE_URL": upstream_url, **patience}) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(upstream_url: str) -> Iterator[RunningServer]:
    """A server with one place, a small body limit and a key at its door."""
    limits = {"MAX_STREAMS": "1", "MAX_BODY": "2000", "API_KEYS": "door"}
    with running_server({"LLM_BASE_URL": upstream_url, "LLM_API_KEY": "k", **limits}) as running:
        yield running


ANSWERS: list[tuple[str, str, dict[str, Any], int]] = [
    *[("POST", path, {"json": HELLO}, 200) for path in ENDPOINTS],
    *[("POST", path, {"json": {**HELLO, "stream": False}}, 200) for path in ENDPOINTS],
    *[("POST", path, {"data": b"{"}, 400) for path in ENDPOINTS],
    *[("POST", path, {"json": HELLO, "headers": {"authorization": "Bearer other"}}, 401) for path in ENDPOINTS],
    *[("POST", path, {"data": b" " * 3000}, 413) for path in ENDPOINTS],
    *[("POST", path, {"data": b"{}", "headers": {"content-encoding": "br"}}, 415) for path in ENDPOINTS],
    *[("GET", path, {}, 405) for path in ENDPOINTS],
    ("GET", "/models", {}, 200),
    ("GET", "/health", {}, 200),
    ("GET", "/ready", {}, 200),
    ("OPTIONS", "/chat/completions", {}, 200),
    ("GET", "/nowhere", {}, 404),
    ("POST", "/chat//completions", {}, 404),
]


@pytest.mark.row("OB-01")
@pytest.mark.parametrize(("method", "path", "how", "status"), ANSWERS)
def test_every_answer_carries_a_request_id(
    narrow: RunningServer, upstream: FakeUpstream, method: str, path: str, how: dict[str, Any], status: int
) -> None:
    headers = {**DOOR, **how.get("headers", {})}
    if how.get("json", {}).get("stream") is False:
        upstream.script = completion("Hello")
    for given in (f"Given.id-{uuid.uuid4().hex}_2", None):
        named = {**headers, "x-request-id": given} if given else headers
        answered = requests.request(method, narrow.url + path, **{**how, "headers": named}, stream=True, timeout=20)
        answered.close()
        assert answered.status_code == status
        found = answered.headers["x-request-id"]
        if status == 200 and method == "POST":
            narrow.wait_for_end(found)  # the one place is free again
        assert found == given if given else re.fullmatch(r"[0-9a-f]{32}", found)


@pytest.mark.row("OB-01")
@pytest.mark.parametrize("path", [CHAT, RAG])
@pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "json"])
def test_the_request_id_goes_upstream_with_every_attempt(
    server: RunningServer, upstream: FakeUpstream, path: str, fields: Any
) -> None:
    upstream.enqueue(refusal(500, {"message": "no"}), [close])
    upstream.script = completion("Hello") if fields else answer("Hello")
    name = f"up-{path.count('/')}-{len(fields)}"
    answered = requests.post(server.url + path, json={**HELLO, **fields}, headers={"x-request-id": name}, timeout=30)
    assert answered.headers["x-request-id"] == name
    assert {call.headers["x-request-id"] for call in upstream.calls} == {name} and len(upstream.calls) >= 3


@pytest.mark.row("OB-01")
@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_an_early_failure_carries_the_request_id(
    server: RunningServer, upstream: FakeUpstream, path: str, status: int
) -> None:
    upstream.script = refusal(status, {"message": "no"}, {"x-request-id": "theirs"})
    name = f"failed-{path.count('/')}-{status}"
    answered = requests.post(server.url + path, json=HELLO, headers={"x-request-id": name}, timeout=30)
    assert answered.status_code >= 400 and answered.headers["x-request-id"] == name
    assert server.wait_for_end(name)["outcome"] == "error_before"


@pytest.mark.row("OB-01")
def test_a_full_servers_refusal_carries_the_request_id(narrow: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]
    with narrow.connect() as connection:
        connection.sendall(post(CHAT, HELLO, **DOOR))
        upstream.wait_for_calls(1)
        for path in ENDPOINTS:
            headers = {**DOOR, "x-request-id": f"full{path.replace('/', '.')}"}
            answered = requests.post(narrow.url + path, json=HELLO, headers=headers, timeout=30)
            assert (answered.status_code, answered.headers["x-request-id"]) == (503, headers["x-request-id"])
            end = narrow.wait_for_end(headers["x-request-id"])
            assert (end["outcome"], end["code"], end["attempts"]) == ("refused", "server_overloaded", 0)


PART = events(chunks("Hello there")[:3])  # two words and the role
GOOD = answer("Hello there")
ROLE = events(chunks("")[:1])
ERROR = json.dumps({"error": {"message": "boom"}}).encode()

# What the upstream does; then outcome, code, attempts (None: at least one), chunks and whether a first word was heard.
Fault = tuple[Script, str, str | None, int | None, int]
FAULTS: dict[str, Fault] = {
    "no fault": (GOOD, "ok", None, 1, 4),
    "500 on every attempt": (refusal(500, {"message": "no"}), "error_before", "upstream_error", 3, 0),
    "503 on every attempt": (refusal(503, {"message": "no"}), "error_before", "upstream_error", 3, 0),
    "429, come back in a minute": (
        refusal(429, {"message": "no"}, {"retry-after": "60"}),
        "error_before",
        "rate_limited",
        1,
        0,
    ),
    "400": (refusal(400, {"message": "no"}), "error_before", "upstream_error", 1, 0),
    "404": (refusal(404, {"message": "no"}), "error_before", "upstream_error", 1, 0),
    "302": (whole(b"", 302, {"location": "http://127.0.0.1:1/"}), "error_before", "upstream_redirect", 1, 0),
    "closed without a byte": ([close], "error_before", "upstream_unreachable", 2, 0),
    "reset without a byte": ([reset], "error_before", "upstream_unreachable", 2, 0),
    "silence": ([HANG], "error_before", "upstream_timeout", None, 0),
    "silence behind the role": ([*ROLE, HANG], "error_before", "upstream_timeout", None, 0),
    "an error behind the role": ([*ROLE, event(ERROR), END], "error_before", "upstream_error", 3, 0),
    "a web page": (whole(b"<p>", headers={"content-type": "text/html"}), "error_before", "upstream_bad_response", 3, 0),
    "DONE alone": ([head(), event(b"[DONE]"), END], "error_before", "upstream_empty_response", 2, 0),
    "not HTTP": ([b"garbage\r\n\r\n", close], "error_before", "upstream_bad_response", 3, 0),
    "closed inside": ([*PART, close], "error_mid", "upstream_disconnected", 1, 3),
    "reset inside": ([*PART, 0.05, reset], "error_mid", "upstream_disconnected", 1, 3),
    "ended without an end": ([*PART, END], "error_mid", "upstream_incomplete", 1, 3),
    "stalled": ([*PART, HANG], "error_mid", "upstream_stalled", 1, 3),
    "an error inside": ([*PART, event(ERROR), END], "error_mid", "upstream_error", 1, 3),
    "not JSON": ([*PART, event(b"{"), END], "error_mid", "upstream_bad_response", 1, 3),
    "an event without end": ([*PART, event(b"x" * (2 << 20)), HANG], "error_mid", "upstream_bad_response", 1, 3),
    "endless": (lambda _call: endless(), "capped", None, 1, -1),
    "no DONE behind the end": ([*events(chunks("Hello there")), close], "ok", None, 1, 4),
}


def endless() -> Iterator[Step]:
    yield head()
    while True:
        yield event(chunk({"content": "x"}))
        yield 0.05


def check_one_line(server: RunningServer, name: str, path: str) -> dict[str, Any]:
    """The one line of this request; its fields are all there."""
    end = server.wait_for_end(name)
    assert set(end) >= {"outcome", "code", "attempts", "upstream", "first_ms", "chunks", "endpoint", "model", "ms"}
    assert end["endpoint"] == path.split("/")[1]
    faulty = end["outcome"] in ("error_before", "error_mid", "spoken_fallback", "shutdown")
    assert end["level"] == ("error" if faulty else "info")
    return end


def counted(server: RunningServer) -> collections.Counter[tuple[str, str, str]]:
    """The requests that the metrics count, by endpoint, outcome and code."""
    counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
    text = requests.get(f"{server.url}/metrics", timeout=20).text
    for labels, count in re.findall(r"^parley_requests_total{(.*)} (\S+)$", text, re.MULTILINE):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        counts[named["endpoint"], named["outcome"], named["code"]] += int(float(count))
    return counts


@pytest.mark.row("OB-04")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_every_fault_leaves_exactly_one_complete_line(
    upstream: FakeUpstream, server: RunningServer, path: str, fault: str
) -> None:
    script, outcome, code, attempts, count = FAULTS[fault]
    name = re.sub(r"\W", "-", f"{path} {fault}")
    for number in range(20):  # good turns earn the right to repeat attempts
        requests.post(server.url + path, json=HELLO, headers={"x-request-id": f"{name}-{number}"}, timeout=30)
    server.wait_for_end(f"{name}-19")
    before = counted(server)
    upstream.script = script
    requests.post(server.url + path, json=HELLO, headers={"x-request-id": name}, timeout=30)
    end = check_one_line(server, name, path)
    assert counted(server) - before == {(path.split("/")[1], outcome, code or ""): 1}
    assert (end["outcome"], end["code"]) == (outcome, code)
    assert end["attempts"] == attempts or (attempts is None and end["attempts"] >= 1)
    assert end["chunks"] == count or count < 0
    assert (end["first_ms"] is None) == (outcome == "error_before")
    assert end["upstream"] and len(upstream.calls) >= end["attempts"]


@pytest.mark.row("OB-04")
@pytest.mark.parametrize("fault", ["no fault", "500 on every attempt", "400", "closed without a byte", "a web page"])
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_a_failed_json_answer_leaves_one_line(
    upstream: FakeUpstream, server: RunningServer, path: str, fault: str
) -> None:
    script, outcome, code, _, _ = FAULTS[fault]
    upstream.script = completion("Hello") if fault == "no fault" else script
    name = re.sub(r"\W", "-", f"json {path} {fault}")
    requests.post(server.url + path, json={**HELLO, "stream": False}, headers={"x-request-id": name}, timeout=30)
    end = check_one_line(server, name, path)
    assert (end["outcome"], end["code"]) == (outcome, code) and end["attempts"] >= 1


@pytest.mark.row("OB-04")
@pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "json"])
def test_a_recording_leaves_one_line(server: RunningServer, fields: Any) -> None:
    name = f"audio-{len(fields)}"
    headers = {"x-request-id": name}
    requests.post(f"{server.url}{AUDIO}?asset=welcome", json={**HELLO, **fields}, headers=headers, timeout=19)
    end = check_one_line(server, name, AUDIO)
    assert (end["outcome"], end["code"], end["attempts"], end["upstream"]) == ("ok", None, 0, None)
    assert end["first_ms"] is not None and (end["chunks"] > 20 or fields)


@pytest.mark.row("OB-04")
def test_a_fallback_that_answers_is_logged_with_the_attempts(upstream: FakeUpstream) -> None:
    second = json.dumps([{"base_url": upstream.base_url, "model": "second"}])
    dead = f"http://127.0.0.1:{free_port()}/v1"
    with running_server({"LLM_BASE_URL": dead, "LLM_FALLBACKS": second}) as running:
        requests.post(running.url + CHAT, json=HELLO, headers={"x-request-id": "over"}, timeout=30)
        requests.post(running.url + CHAT, json=HELLO, headers={"x-request-id": "again"}, timeout=30)
        first, later = running.wait_for_end("over"), running.wait_for_end("again")
    assert (first["outcome"], first["attempts"]) == ("ok", 2)
    assert first["upstream"] and first["upstream"] == later["upstream"]


@pytest.mark.row("OB-05")
@pytest.mark.parametrize("moment", ["before the first word", "inside"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_caller_who_leaves_is_not_an_error(
    server: RunningServer, upstream: FakeUpstream, path: str, moment: str
) -> None:
    before = counted(server)
    upstream.script = [HANG] if moment != "inside" else [*PART, HANG]
    name = re.sub(r"\W", "-", f"gone {path} {moment}")
    with server.connect() as connection:
        connection.sendall(post(path, HELLO, x_request_id=name))
        if path == AUDIO or moment == "inside":
            receive_until(connection, b'"data"' if path == AUDIO else b" there")
        else:
            upstream.wait_for_calls(1)
    end = check_one_line(server, name, path)
    assert (end["outcome"], end["code"], end["level"]) == ("client_closed", None, "info")
    assert counted(server) - before == {(path.split("/")[1], "client_closed", ""): 1}


@pytest.mark.row("OB-05")
def test_leaving_is_not_held_against_the_upstream() -> None:
    with FakeUpstream() as first, FakeUpstream() as second:
        settings = {"LLM_BASE_URL": first.base_url, "LLM_FALLBACKS": json.dumps([{"base_url": second.base_url}])}
        with running_server(settings) as running:
            first.script = [HANG]
            for count in range(1, 13):  # the breaker opens after five failures in a row
                with running.connect() as connection:
                    connection.sendall(post((CHAT, RAG)[count % 2], HELLO))
                    first.wait_for_calls(count)
            first.wait_until(lambda: first.open_calls == 0)
            first.script = answer("Hello there")
            assert requests.post(running.url + CHAT, json=HELLO, timeout=30).status_code == 200
        assert (len(first.calls), len(second.calls)) == (13, 0)


@pytest.mark.row("OB-04")
def test_two_hundred_at_once_leave_two_hundred_lines(patient: RunningServer, upstream: FakeUpstream) -> None:
    scripts: list[Script] = [GOOD, [*PART, close], refusal(400, {"message": "no"}), [*PART, END]]
    upstream.script = lambda call: scripts[int(call.headers["x-request-id"].rpartition("-")[2]) % 4]  # type: ignore

    def ask(number: int) -> None:
        headers = {"x-request-id": f"many-{number}"}
        requests.post(patient.url + (CHAT, RAG)[number // 4 % 2], json=HELLO, headers=headers, timeout=19)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = ["ok", "error_mid", "error_before", "error_mid"]
    ends = [patient.wait_for_end(f"many-{number}") for number in range(200)]
    assert [end["outcome"] for end in ends] == wanted * 50
    time.sleep(0.1)
    ids = [end["id"] for end in patient.request_ends()]
    assert len(ids) == len(set(ids)) and "Traceback" not in patient.output()


PLAIN_KEY = "plainCANARYkey/9876543210"
"""One that looks like nothing in particular: it can only be known, not guessed."""


TALKATIVE = ("--log-level", "debug", "--access-logfile", "-")


def worker_lines(server: RunningServer) -> list[str]:
    """What was printed since the server was ready; what gunicorn says before is its own."""
    text = server.output()
    return text[text.index('{"') :].split("\n")[:-1]


INJECTIONS = [
    "\r\nforged",
    "\u2028forged\u2029",
    "\x1b[2Jforged\x07",
    '","event":"forged","x":"',
    'bearer aaaa\\","event":"forged',
    'Bearer sk-aaaaaaaaaaa","event":"forged","a":"\\',
    "\u202eforged\u0085\x7f",
    "%0d%0aforged",
    "%(message)s {0} {level} ${jndi:ldap://x} %n",
]


@pytest.mark.row("SE-04")
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_callers_value_makes_a_log_line_of_its_own(upstream: FakeUpstream, form: str) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "LOG_FORMAT": form, "LOG_LEVEL": "debug"}
    with running_server(settings, argv=TALKATIVE) as running:
        for number, text in enumerate(INJECTIONS):
            fields = {"model": text, "user": text, "asset": text, text: 1, "turn_id": text}
            for path in ENDPOINTS:
                sent = {**HELLO, "stream": False, **fields}
                requests.post(running.url + path, json=sent, params={"asset": text, text: text}, timeout=30)
            requests.post(running.url + CHAT, json={**HELLO, **fields, "model": f"m{number}"}, timeout=30)
            requests.get(f"{running.url}/{text}", timeout=30)
            raw = text.encode("utf-8", "surrogatepass").replace(b"\r\n", b"\r")
            for line in (b"x-request-id: " + raw, b"user-agent: " + raw, b"x-forwarded-for: " + raw, raw + b": x"):
                with running.connect() as connection:
                    head = b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + line + b"\r\n\r\n"
                    connection.sendall(head)
                    receive_until(connection, b"no such bytes")
        requests.post(running.url + CHAT, json=HELLO, headers={"x-request-id": "last-of-all"}, timeout=30)
        wait_until(lambda: "last-of-all" in running.output())
        lines = worker_lines(running) if form == "json" else running.output().split("\n")[:-1]
    assert len(lines) > 50
    assert not [line for line in lines if any(not mark.isprintable() for mark in line)]
    if form == "json":
        assert not [line for line in map(json.loads, lines) if line["event"] == "forged"]
    else:
        assert not [line for line in lines if line.lstrip().startswith("forged")]


@pytest.mark.row("SE-08")
def test_a_repeated_complaint_is_written_once_a_minute(upstream: FakeUpstream, tmp_path: Path) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "AUDIO_DIR": str(tmp_path)}) as running:
        for _ in range(50):
            with running.connect() as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
                receive_until(connection, b"no such bytes")
            answered = requests.post(running.url + AUDIO, json={**HELLO, "stream": False}, timeout=30)
            assert answered.status_code == 200
        ends = running.request_ends()
        warnings = [line for line in running.lines() if '"warning"' in line]
    assert len(ends) >= 49
    assert len([line for line in warnings if "Invalid request" in line]) == 1
    assert len([line for line in warnings if "simulated_audio" in line]) == 1


@pytest.mark.row("SE-08")
def test_a_log_reader_that_stops_delays_no_stream(upstream: FakeUpstream) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", *TALKATIVE, "app:app"]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env = {**inherited, "LLM_BASE_URL": upstream.base_url, "LOG_LEVEL": "debug", "LLM_API_KEY": PLAIN_KEY}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout
        while b'"knowledge_loaded"' not in process.stdout.readline():
            pass
        waits: list[float] = []
        with requests.Session() as session:
            for number in range(400):  # some 400 KB of lines, into a pipe that holds 64 KiB and that nobody reads
                started = time.monotonic()
                upstream.script = answer("Hello there") if number % 3 else refusal(400, {"message": "no"})
                sent = {**HELLO, f"held{number}": 1}
                assert session.post(f"http://127.0.0.1:{port}{CHAT}", json=sent, timeout=30).content
                waits.append(time.monotonic() - started)
                if not number % 20:
                    bad = socket.create_connection(("127.0.0.1", port), timeout=5)
                    bad.sendall(b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nbad header\r\n\r\n")
                    bad.close()
        assert sorted(waits)[-5] < 0.5  # all but one in a hundred: the machine may pause, a full pipe stays full
        os.set_blocking(process.stdout.fileno(), True)
        process.terminate()
        rest = process.stdout.read()
        assert process.wait(30) == 0 and rest.count(b"request_end") > 100
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
