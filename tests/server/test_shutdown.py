"""The stop, the reload and the sudden death of a worker: the rows SD-01 to SD-07 and SD-12 of docs/reliability.md."""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import (
    DONE,
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    event,
    events,
    text_chunk,
)
from running_server import ROOT, RunningServer, post, receive_until, running_server
from waiting import wait_until

from parley.settings import Settings

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hello?"}]}
DONE_EVENT = b"data: [DONE]\n\n"
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
READY = b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def until(stop: threading.Event) -> Callable[[Call], Iterator[Step]]:
    """The script of an answer that goes on until a test stops it, or for ever."""

    def script(call: Call) -> Iterator[Step]:
        yield from events(chunks("Hello there")[:3])
        while not stop.is_set():
            yield 0.05
            yield event(text_chunk("chatcmpl-fake", " and"))
        yield from [event(chunks("")[-1]), event(DONE) + END]

    return script


def begin(server: RunningServer, stack: contextlib.ExitStack, count: int = 1) -> list[socket.socket]:
    """So many streams whose first word has been heard."""
    connections = [stack.enter_context(server.connect()) for _ in range(count)]
    for number, connection in enumerate(connections):
        connection.sendall(post(CHAT, HELLO, x_request_id=f"stream-{number}", connection="close"))
    for connection in connections:
        assert b"Hello" in receive_until(connection, b"Hello")
    return connections


def hear_all(connections: list[socket.socket]) -> list[bytes]:
    """What each of them receives up to its end."""
    with concurrent.futures.ThreadPoolExecutor(len(connections)) as pool:
        return list(pool.map(lambda connection: receive_until(connection, b"no such bytes"), connections))


def is_refused(server: RunningServer) -> bool:
    """Whether a new connection is."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


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
        wait_until(lambda: is_refused(server))
        assert upstream.open_calls == 100
        stop.set()
        ends = hear_all(connections)
        ended = time.monotonic()
        assert server.wait_for_exit() == 0 and time.monotonic() - ended < 5
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
        assert (code, time.monotonic() - started < 10) == (0, True)


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
            connection.sendall(post(path, {**HELLO, **fields}, x_request_id=f"stop-{number}"))
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
        calling.sendall(post(CHAT, HELLO))
        receive_until(calling, b"call_1")
        speaking.sendall(post(CHAT, HELLO))
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
        with connection:
            received = b""
            with contextlib.suppress(ConnectionError):
                time.sleep(pause)  # the moment between accept and request, of another length for each
                connection.sendall(post(CHAT, HELLO, connection="close"))
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
        assert b"shutting down" in told[0] and is_refused(server)
        stop.set()
        assert DONE_EVENT in hear_all(streams)[0]


def raw(server: RunningServer, request: bytes) -> bytes:
    """What comes back for these bytes; nothing where the connection is not accepted any more."""
    with contextlib.suppress(ConnectionError), server.connect() as connection:
        connection.sendall(request)
        return receive_until(connection, b"}")
    return b""


PLATFORM = re.compile(r"^\| (\w[\w ]+?) \| (\d+) s.* \| `?(\d+)`?", re.MULTILINE)


@pytest.mark.row("SD-04")
def test_the_documented_grace_fits_each_platform() -> None:
    rows = PLATFORM.findall((ROOT / "docs" / "deploying.md").read_text())
    assert {name for name, *_ in rows} >= {"Heroku", "Cloud Run", "Render", "Fly", "Kubernetes"}
    for name, platform, ours in rows:
        assert int(ours) < int(platform) and Settings.from_environ({"GRACEFUL_TIMEOUT": ours}), name
    assert Settings().graceful_timeout == 25


@pytest.mark.row("SD-05")
def test_recycled_workers_cost_nobody_an_answer(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    argv = ("--max-requests", "20", "--max-requests-jitter", "10")
    with running_server(settings, argv=argv) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        wait_until(lambda: server.output().count("recordings_loaded") == 2)
        first = set(server.worker_pids())
        upstream.script = answer("Hello there", interval=0.02)
        answers = pool.map(lambda _: requests.post(server.url + CHAT, json=HELLO, timeout=20).content, range(80))
        assert all(DONE_EVENT in answered for answered in answers)
        wait_until(lambda: set(server.worker_pids()) != first)
        assert "Autorestarting worker" in server.output()
        assert {end["outcome"] for end in server.request_ends()} == {"ok"}


def starting(server: RunningServer) -> set[int]:
    """The workers that take connections."""
    return {pid for pid in server.worker_pids() if takes(server, pid)}


def takes(server: RunningServer, pid: int) -> bool:
    try:
        return server.is_listening(pid)
    except OSError:  # gone
        return False


def ask(server: RunningServer, path: str = CHAT, **fields: Any) -> int:
    return requests.post(server.url + path, json={**HELLO, **fields}, timeout=20).status_code


# --- SIGKILL ---


@pytest.mark.row("SD-06")
def test_a_killed_worker_takes_only_its_own_streams_along(upstream: FakeUpstream) -> None:
    stop = threading.Event()
    upstream.script = until(stop)
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    with running_server(settings) as server, contextlib.ExitStack() as stack:
        wait_until(lambda: server.output().count("recordings_loaded") == 2)
        streams = begin(server, stack, 40)
        victim, other = server.worker_pids()
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        upstream.wait_until(lambda: upstream.open_calls < 40)
        wait_until(lambda: len(server.worker_pids()) == 2 and server.output().count("recordings_loaded") == 3)
        print(f"\na new worker is ready after {time.monotonic() - killed:.1f} s")
        left = upstream.open_calls
        stop.set()
        ends = hear_all_even_broken(streams)
        assert other in server.worker_pids() and ask(server) == 200
    whole = [end for end in ends if DONE_EVENT in end]
    cut = [end for end in ends if DONE_EVENT not in end]
    assert (len(whole), len(cut)) == (left, 40 - left) and 0 < left < 40
    assert not any(end.endswith(b"\r\n0\r\n\r\n") for end in cut)  # a broken body, no clean end


def hear_all_even_broken(connections: list[socket.socket]) -> list[bytes]:
    def hear(connection: socket.socket) -> bytes:
        received = b""
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(1 << 16):
                received += more
        return received

    with concurrent.futures.ThreadPoolExecutor(len(connections)) as pool:
        return list(pool.map(hear, connections))


# --- SIGHUP ---


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    for name in ("app.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("blueprints", "parley", "kb_data", "audio_assets"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def reload(server: RunningServer) -> None:
    """SIGHUP; comes back when new workers alone take connections."""
    before = set(server.worker_pids())
    server.signal(signal.SIGHUP)
    wait_until(lambda: bool(starting(server)) and before.isdisjoint(starting(server)))
    wait_until(lambda: requests.get(f"{server.url}/ready", timeout=20).status_code == 200)


@pytest.mark.row("SD-07")
def test_a_reload_reads_everything_anew_under_open_streams(upstream: FakeUpstream, own: Path) -> None:
    stop = threading.Event()
    upstream.script = until(stop)
    settings = {"LLM_BASE_URL": upstream.base_url, "LLM_MODEL": "before"}
    with running_server(settings, cwd=own) as server, contextlib.ExitStack() as stack:
        streams = begin(server, stack, 5)
        health = own / "blueprints" / "meta.py"
        health.write_text(health.read_text().replace('{"status": "ok"}', '{"status": "ok, and new"}'))
        (own / "kb_data" / "new.json").write_text(json.dumps([{"text": "A zeppelin ride costs 900 dollars."}]))
        (own / "kb_data" / "broken.json").write_text('[{"text": "half')
        (own / "audio_assets" / "welcome.txt").write_text("Entirely new words.")
        (own / ".env").write_text("LLM_MODEL=after\nMAX_STREAMS=1\n")
        reload(server)
        assert requests.get(f"{server.url}/health", timeout=20).json() == {"status": "ok, and new"}
        upstream.script = answer("Hello there")
        question = {"messages": [{"role": "user", "content": "What does a zeppelin ride cost?"}]}
        assert requests.post(server.url + RAG, json=question, timeout=20).status_code == 200
        sent = upstream.calls[-1].json
        assert "900 dollars" in sent["messages"][-1]["content"] and sent["model"] == "before"
        audio = requests.post(server.url + AUDIO, json={**HELLO, "stream": False, "asset": "welcome"}, timeout=20)
        assert "Entirely new words." in audio.text
        assert re.search(r"knowledge_fault.*broken\.json:1:", server.output()) or "broken.json:1:" in server.output()
        assert ask(server, RAG) == 200 and upstream.open_calls == 5
        stop.set()
        assert all(end.count(DONE_EVENT) == 1 for end in hear_all(streams))
    assert "Traceback" not in server.output()


@pytest.mark.row("SD-07")
def test_streams_that_outlive_a_reloads_grace_are_told(upstream: FakeUpstream) -> None:
    upstream.script = until(threading.Event())
    with (
        running_server({"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "3"}) as server,
        contextlib.ExitStack() as stack,
    ):
        streams = begin(server, stack, 3)
        old = server.worker_pids()
        reload(server)
        ends = hear_all(streams)
        wait_until(lambda: set(old).isdisjoint(server.worker_pids()))
        upstream.script = answer("Hello there")
        assert ask(server) == 200
    for end in ends:
        assert b'"code":"server_shutting_down"' in end and b"[DONE]" not in end and end.endswith(b"\r\n0\r\n\r\n")


# --- the first second ---


@pytest.mark.row("SD-12")
def test_with_ten_thousand_documents_it_is_ready_soon(upstream: FakeUpstream, tmp_path: Path) -> None:
    words = ["bicycle", "brake", "chain", "price", "repair", "saddle", "hour", "guarantee", "helmet", "lamp"]
    entries = [
        {"id": f"d{number}", "title": f"Item {number}", "text": f"{' '.join(words)} costs {number} dollars. " * 4}
        for number in range(10_000)
    ]
    (tmp_path / "many.json").write_text(json.dumps(entries))
    started = time.monotonic()
    with running_server({"LLM_BASE_URL": upstream.base_url, "KB_DIR": str(tmp_path)}) as server:
        wait_until(lambda: requests.get(f"{server.url}/readyz", timeout=20).status_code == 200, timeout=20)
        print(f"\nready after {time.monotonic() - started:.1f} s")
        assert requests.post(server.url + RAG, json=HELLO, timeout=20).status_code == 200
        wait_until(lambda: '"passages":10000' in server.output())
