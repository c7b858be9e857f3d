"""Clients that stall, send slowly, stop reading, or are switched off."""

import contextlib
import ctypes
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from fake_upstream import (
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunks,
    event,
    events,
    head,
    text_chunk,
)
from leaving import check_cancelled, check_let_go, check_sound, streams
from running_server import ROOT, RunningServer, hooked, post, receive_until, running_server

from blueprints.web import BODY_SECONDS
from parley import tcp
from parley.server import connections

pytestmark = pytest.mark.server
CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
MESSAGES = {"messages": [{"role": "user", "content": "Are you open?"}]}
HELLO = {**MESSAGES, "waiting": "off"}
SPEAKING: list[Step] = [*events(chunks("Hello there")[:3]), HANG]


HURRY = """
import socket, blueprints.web, parley.tcp
blueprints.web.BODY_SECONDS = parley.tcp.CLIENT_SECONDS = 1
parley.tcp.KEEPALIVE = tuple((option, 1) for option, _ in parley.tcp.KEEPALIVE)
for listener in worker.sockets:  # accepted sockets inherit it: a client that does not read is soon felt
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    parley.tcp.tune(listener, parley.tcp.CLIENT_SECONDS)
"""


@pytest.fixture(scope="module")
def server(upstream_url: str) -> Iterator[RunningServer]:
    """The usual server."""
    patience = {"TTFT_TIMEOUT": "100", "PRECOMMIT_TIMEOUT": "100", "IDLE_TIMEOUT": "100"}
    with running_server({"LLM_BASE_URL": upstream_url, "HEARTBEAT": "0.3", **patience}) as running:
        yield running
        check_sound(running)


@pytest.fixture(scope="module")
def hurried(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose limits of 10 and 20 seconds are one second each, and whose send buffers are small."""
    argv = hooked(tmp_path_factory.mktemp("hurried"), HURRY)
    with running_server({"LLM_BASE_URL": upstream_url, "AUDIO_LEAD_MS": "5000"}, argv=argv) as running:
        yield running
        check_sound(running)


def flood(call: Call) -> Iterator[Step]:
    """An answer as fast as it can be read."""
    yield head()
    while True:
        yield event(text_chunk("chatcmpl-fake", "x" * 8000))


@pytest.mark.row("CL-06")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_client_that_stops_reading_is_dropped_cleanly(
    hurried: RunningServer, upstream: FakeUpstream, path: str
) -> None:
    upstream.script = flood
    name = f"cl-06-{path}".replace("/", ".")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", hurried.port))
        connection.sendall(post(path, HELLO, x_request_id=name))
        connection.recv(1000)
        at = time.monotonic()
        check_cancelled(hurried, name, at, within=3)  # CLIENT_SECONDS is 1 here
        assert path == AUDIO or check_let_go(upstream, at, within=3) is None
    assert streams(hurried) == 0 and "Traceback" not in hurried.output()
    assert tcp.CLIENT_SECONDS == 20


@pytest.mark.row("CL-07")
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_silence_is_filled_once_the_answer_has_begun(server: RunningServer, upstream: FakeUpstream, path: str) -> None:
    speak, go_on, script = threading.Event(), threading.Event(), answer("Hello there")
    upstream.script = [head(), speak, *script[1:4], go_on, *script[4:]]
    with server.connect() as connection:
        connection.sendall(post(path, HELLO, connection="close"))
        connection.settimeout(1.0)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        at = time.monotonic()
        speak.set()
        first = receive_until(connection, b"Hello")
        assert b"keep-alive\n" not in first
        silence = receive_until(connection, b": keep-alive\n\n") + receive_until(connection, b": keep-alive\n\n")
        go_on.set()
        rest = receive_until(connection, b"no such bytes")
    assert time.monotonic() - at > 0.5 and b"data" not in silence
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.row("CL-07")
def test_a_waiting_message_counts_as_a_begun_answer(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]
    with server.connect() as connection:
        connection.sendall(post(RAG, MESSAGES))
        assert b"assistant" in receive_until(connection, b": keep-alive\n\n")


def go_dark(connection: socket.socket) -> None:
    """From now on the peer's packets find nobody: a filter of one instruction drops them before TCP sees them."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    connection.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_ATTACH_FILTER", 26), program)


BLACKOUTS = [(path, moment) for path in (CHAT, RAG) for moment in ("before the first word", "between words", "flowing")]


@pytest.mark.row("CL-08")
@pytest.mark.parametrize(("path", "moment"), [*BLACKOUTS, (AUDIO, "flowing")])
def test_a_peer_that_was_switched_off_is_noticed(
    hurried: RunningServer, upstream: FakeUpstream, path: str, moment: str
) -> None:
    flowing: list[Step] = [*events(chunks("Hello there" + " and" * 400)[:400], interval=0.02), HANG]
    upstream.script = {"before the first word": [HANG], "between words": SPEAKING}.get(moment, flowing)
    name = f"cl-08-{path}-{moment}".replace("/", ".").replace(" ", "")
    with hurried.connect() as connection:
        connection.sendall(post(path, HELLO, x_request_id=name))
        if path == AUDIO or moment != "before the first word":
            receive_until(connection, b'"data"' if path == AUDIO else b" there")
        else:
            upstream.wait_for_calls(1)
        go_dark(connection)
        at = time.monotonic()
        check_cancelled(hurried, name, at, within=5)  # limits of 1 second: 2 s, and the kernel's timers are coarse
        assert path == AUDIO or check_let_go(upstream, at, within=5) is None
    assert streams(hurried) == 0


@pytest.mark.row("CL-08")
@pytest.mark.skipif("PARLEY_LONG" not in os.environ, reason="takes a minute: set PARLEY_LONG=1")
@pytest.mark.parametrize("script", [[HANG], SPEAKING], ids=["before the first word", "heartbeats under way"])
def test_a_dead_peer_is_noticed_within_a_minute_by_default(
    server: RunningServer, upstream: FakeUpstream, script: list[Step]
) -> None:
    upstream.script = script
    with server.connect() as connection:
        connection.sendall(post(CHAT, HELLO, x_request_id=f"cl-08-{len(script)}"))
        upstream.wait_for_calls(1)
        go_dark(connection)
        at = time.monotonic()
        check_cancelled(server, f"cl-08-{len(script)}", at, within=60)
        print(f"\nnoticed after {time.monotonic() - at:.1f} s")


@pytest.mark.row("CL-08")
def test_the_keepalive_limits_are_those_documented() -> None:
    limits = {option: seconds for option, seconds in tcp.KEEPALIVE}
    assert limits == {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
    assert tcp.CLIENT_SECONDS == 20


@pytest.mark.row("CL-08")
def test_every_connection_gets_the_keepalive_limits(upstream_url: str, tmp_path: Path) -> None:
    tell = "print(['limits', *[listener.getsockopt(6, option) for listener in worker.sockets for option in (4, 18)]])"
    with running_server({"LLM_BASE_URL": upstream_url}, argv=hooked(tmp_path, tell)) as running:
        assert "['limits', 30, 20000]" in running.output()  # TCP_KEEPIDLE, TCP_USER_TIMEOUT


@pytest.mark.row("CL-09")
def test_a_slow_head_is_bounded_and_blocks_nobody(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "MAX_STREAMS": "2"}
    with running_server(settings, argv=("--keep-alive", "2")) as running, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(running.connect()) for _ in range(300)]
        at = time.monotonic()
        for connection in slow:
            connection.sendall(b"POST /chat/completions HTTP/1.1\r\n")
        assert requests.post(f"{running.url}{CHAT}", json=HELLO, timeout=5).status_code == 200
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - at < 8:
                slow[0].sendall(b"x-slow: 1\r\n")
                time.sleep(0.3)
        ended_after = time.monotonic() - at
        assert all(connection.recv(4096)[:12] in (b"", b"HTTP/1.1 408") for connection in slow[1:])
        assert ended_after < 5 and "Traceback" not in running.output()
    assert re.search(r"head must be complete 10 s after\s+its first byte", (ROOT / "README.md").read_text())
    assert connections.HEAD_SECONDS == 10


def trickle(running: RunningServer, path: str) -> tuple[bytes, float]:
    """What a body of one byte every tenth of a second earns, and how long its connection lives."""
    with running.connect() as connection:
        connection.settimeout(0.1)
        connection.sendall(post(path, b"{", content_length="5000"))
        at, received = time.monotonic(), b""
        while time.monotonic() - at < 15:
            with contextlib.suppress(TimeoutError, ConnectionError):
                connection.sendall(b" ")
            try:
                if not (more := connection.recv(4096)):
                    break
                received += more
            except TimeoutError:
                continue
            except ConnectionResetError:  # what was sent behind the answer, nobody reads
                break
    return received, time.monotonic() - at


def check_trickle(upstream: FakeUpstream, running: RunningServer, limit: float) -> None:
    with ThreadPoolExecutor(3) as pool:
        for received, lived in pool.map(lambda path: trickle(running, path), ENDPOINTS):
            assert received.startswith(b"HTTP/1.1 408") and b'"request_timeout"' in received
            assert limit * 0.9 < lived < limit + 4
    assert upstream.calls == []


@pytest.mark.row("CL-10")
def test_a_slow_body_is_refused_and_its_connection_closed(hurried: RunningServer, upstream: FakeUpstream) -> None:
    check_trickle(upstream, hurried, 1)
    assert BODY_SECONDS == 10


@pytest.mark.row("CL-10")
@pytest.mark.skipif("PARLEY_LONG" not in os.environ, reason="takes ten seconds: set PARLEY_LONG=1")
def test_a_slow_body_is_refused_after_ten_seconds_by_default(server: RunningServer, upstream: FakeUpstream) -> None:
    check_trickle(upstream, server, 10)


@pytest.mark.row("CL-12")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_expect_100_continue_is_answered(server: RunningServer, path: str) -> None:
    request = post(path, {**HELLO, "stream": path != AUDIO}, expect="100-continue", connection="close")
    start, _, body = request.partition(b"\r\n\r\n")
    with server.connect() as connection:
        connection.sendall(start + b"\r\n\r\n")
        assert receive_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        received = receive_until(connection, b"no such bytes")
    assert received.startswith(b"HTTP/1.1 200") and (b"data: [DONE]" in received) == (path != AUDIO)


@pytest.mark.row("CL-12")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_another_expectation_is_refused(server: RunningServer, upstream: FakeUpstream, path: str) -> None:
    with server.connect() as connection:
        connection.sendall(post(path, HELLO, expect="200-maybe", connection="close"))
        assert receive_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 417")
    assert upstream.calls == []
