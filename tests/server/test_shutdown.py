"""The stop: open streams, idle connections and new callers after SIGTERM."""

import concurrent.futures
import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_upstream import (
    END,
    HANG,
    FakeUpstream,
    answer,
    chunk,
    events,
)
from open_streams import MESSAGES, begin, hear_all, until
from running_server import ROOT, RunningServer, post, receive_until, running_server
from waiting import wait_until

from parley.settings import Settings

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
DONE_EVENT = b"data: [DONE]\n\n"
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
READY = b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


# --- SIGTERM ---


@pytest.mark.row("SD-01")
def test_at_a_stop_every_open_stream_is_heard_to_its_end(upstream: FakeUpstream) -> None:
    stop = threading.Event()
    upstream.script = until(stop)
    with running_server({"LLM_BASE_URL": upstream.base_url}) as server, contextlib.ExitStack() as stack:
        connections = begin(server, stack, 100)
        idle = stack.enter_context(server.connect())
        idle.sendall(HEALTH)
        receive_until(idle, b"ok")
        server.signal(signal.SIGTERM)
        wait_until(server.refuses)
        assert upstream.open_calls == 100
        stop.set()
        ends = hear_all(connections)
        ended = time.monotonic()
        # The grace of 25 s is for streams; a busy machine may take some seconds of it.
        assert server.wait_for_exit(20) == 0 and time.monotonic() - ended < 15
    assert all(end.count(DONE_EVENT) == 1 and end.endswith(b"\r\n0\r\n\r\n") for end in ends)
    assert [end["outcome"] for end in server.request_ends()] == ["ok"] * 100


@pytest.mark.row("SD-01")
def test_an_idle_connection_does_not_delay_the_stop(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "20"}
    with running_server(settings) as server, contextlib.ExitStack() as stack:
        for begun in (b"", HEALTH, HEALTH[:20]):
            connection = stack.enter_context(server.connect())
            connection.sendall(begun)
            if begun == HEALTH:
                receive_until(connection, b"ok")
        started = time.monotonic()
        code = server.stop(timeout=15)
        assert (code, time.monotonic() - started < 15) == (0, True)


@pytest.mark.row("SD-02")
def test_a_stop_ends_short_answers_and_tells_long_ones(upstream: FakeUpstream) -> None:
    stopping, never = threading.Event(), threading.Event()
    settings = {"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "3"}
    turns: list[tuple[str, Any, dict[str, Any]]] = [
        (CHAT, until(stopping), {}),
        (CHAT, until(never), {}),
        (RAG, until(never), {}),
        (CHAT, [HANG], {"stream": False}),
    ]
    with running_server(settings) as server, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in turns]
        for number, (connection, (path, script, fields)) in enumerate(zip(connections, turns, strict=True)):
            upstream.script = script
            connection.sendall(post(path, {**MESSAGES, **fields}, x_request_id=f"stop-{number}"))
            if fields == {}:
                receive_until(connection, b" there")
            upstream.wait_for_calls(number + 1)
        server.signal(signal.SIGTERM)
        stopping.set()
        short, long, rag = [receive_until(connection, b"0\r\n\r\n") for connection in connections[:3]]
        refused = receive_until(connections[3], b'"detail"')
        assert server.wait_for_exit() == 0
        outcomes = [server.wait_for_end(f"stop-{number}")["outcome"] for number in range(4)]
    assert DONE_EVENT in short and b'"error"' not in short
    for end in (long, rag):
        assert b'"delta":{},"logprobs":null,"finish_reason":"error"' in end and b"[DONE]" not in end
        assert b'"code":"server_shutting_down"' in end and end.endswith(b"\r\n0\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 503") and b"server_shutting_down" in refused
    assert outcomes == ["ok", "shutdown", "shutdown", "shutdown"]
    assert [call.outcome for call in upstream.calls] == ["done", "peer_left", "peer_left", "peer_left"]


@pytest.mark.row("SD-02")
def test_fallback_text_at_a_stop_completes_no_tool_call(upstream: FakeUpstream) -> None:
    half = chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "a", "arguments": '{"x'}}]})
    settings = {"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "3", "FALLBACK_TEXT": "Sorry."}
    upstream.enqueue([*events([half]), HANG])
    upstream.script = until(threading.Event())
    with running_server(settings) as server, server.connect() as calling, server.connect() as speaking:
        calling.sendall(post(CHAT, MESSAGES))
        receive_until(calling, b"call_1")
        speaking.sendall(post(CHAT, MESSAGES))
        receive_until(speaking, b" there")
        server.signal(signal.SIGTERM)
        called, spoken = receive_until(calling, b"0\r\n\r\n"), receive_until(speaking, b"0\r\n\r\n")
    assert b'"finish_reason":"error"' in called and b"server_shutting_down" in called
    assert b"[DONE]" not in called and b"Sorry" not in called
    assert b'" Sorry."' in spoken and DONE_EVENT in spoken and b'"error"' not in spoken


@pytest.mark.row("SD-03")
def test_a_caller_at_the_stop_is_served_in_full_or_not_at_all(upstream: FakeUpstream) -> None:
    with (
        running_server({"LLM_BASE_URL": upstream.base_url}) as server,
        concurrent.futures.ThreadPoolExecutor(16) as pool,
    ):
        upstream.script = answer("Hello there", interval=0.01)
        askers = [pool.submit(ask_until_refused, server, number / 200) for number in range(16)]
        wait_until(lambda: len(upstream.calls) > 50)
        server.signal(signal.SIGTERM)
        heard = [received for asker in askers for received in asker.result()]
        assert server.wait_for_exit() == 0
    wrong = [received for received in heard if received and not (DONE_EVENT in received and received.endswith(END))]
    print(f"\n{sum(map(bool, heard))} served, {heard.count(b'')} turned away without a byte")
    assert len(heard) > 50 and wrong == []
    assert {end["outcome"] for end in server.request_ends()} <= {"ok", "client_closed"}


def ask_until_refused(server: RunningServer, pause: float) -> list[bytes]:
    """Connect, pause, ask, hear, again and again, until nobody answers any more."""
    heard: list[bytes] = []
    while True:
        try:
            connection = server.connect()
        except ConnectionRefusedError:
            return heard
        except ConnectionResetError:  # it stopped listening just now
            continue
        with connection:
            received = b""
            with contextlib.suppress(ConnectionError):
                time.sleep(pause)  # the moment between accept and request, of another length for each
                connection.sendall(post(CHAT, MESSAGES, connection="close"))
                while more := connection.recv(1 << 16):
                    received += more
            heard.append(received)


@pytest.mark.row("SD-03")
def test_readiness_ends_with_the_stop_during_a_stream(upstream: FakeUpstream) -> None:
    stop = threading.Event()
    upstream.script = until(stop)
    with running_server({"LLM_BASE_URL": upstream.base_url}) as server, contextlib.ExitStack() as stack:
        wait_until(lambda: raw(server, READY).startswith(b"HTTP/1.1 200"))
        streams = begin(server, stack)
        server.signal(signal.SIGTERM)
        told = [received for received in iter(lambda: raw(server, READY), b"") if b" 200 " not in received[:13]]
        assert told and all(received.startswith(b"HTTP/1.1 503") for received in told)
        assert b"shutting down" in told[0]
        wait_until(server.refuses)
        stop.set()
        assert DONE_EVENT in hear_all(streams)[0]


def raw(server: RunningServer, request: bytes) -> bytes:
    """What comes back for these bytes; nothing where the connection is not accepted any more."""
    with contextlib.suppress(ConnectionError), server.connect() as connection:
        connection.sendall(request)
        return receive_until(connection, b"}")
    return b""


PLATFORM = re.compile(r"^\| (\w[\w ]+?) \| [^|]+ \| (\d+) s.* \| `(\d+)`", re.MULTILINE)


@pytest.mark.row("SD-04")
def test_the_documented_grace_fits_each_platform() -> None:
    rows = PLATFORM.findall((ROOT / "docs" / "deploying.md").read_text())
    assert {name for name, *_ in rows} >= {"Heroku", "Cloud Run", "Render", "Fly", "Kubernetes"}
    for name, platform, ours in rows:
        assert int(ours) < int(platform) and Settings.from_environ({"GRACEFUL_TIMEOUT": ours}), name
    assert Settings().graceful_timeout == 25


# --- SIGKILL ---


# --- SIGHUP ---


# --- the first second ---
