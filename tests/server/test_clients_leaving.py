"""Clients that leave before, during and after the first word, on each endpoint."""

import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    chunks,
    event,
    events,
    head,
    refusal,
    text_chunk,
)
from leaving import FIN, HALF, RST, SOON, check_cancelled, check_let_go, check_sound, leave, streams
from plain_http import body_of, frames
from running_server import ROOT, RunningServer, held_by, post, receive_until, running_server

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
MESSAGES = {"messages": [{"role": "user", "content": "Are you open?"}]}
HELLO = {**MESSAGES, "waiting": "off"}
SPEAKING: list[Step] = [*events(chunks("Hello there")[:3]), HANG]


@pytest.fixture(scope="module")
def server(upstream_url: str) -> Iterator[RunningServer]:
    """The usual server."""
    patience = {"TTFT_TIMEOUT": "100", "PRECOMMIT_TIMEOUT": "100", "IDLE_TIMEOUT": "100"}
    with running_server({"LLM_BASE_URL": upstream_url, "HEARTBEAT": "0.3", **patience}) as running:
        yield running
        check_sound(running)


@pytest.mark.row("CL-01")
@pytest.mark.parametrize("way", [FIN, RST])
@pytest.mark.parametrize("path", [CHAT, RAG])
@pytest.mark.parametrize("fields", [HELLO, MESSAGES, {**HELLO, "stream": False}], ids=["stream", "waiting", "json"])
def test_leaving_before_the_first_word_ends_the_upstream_call(
    server: RunningServer, upstream: FakeUpstream, path: str, fields: Any, way: str
) -> None:
    upstream.script = [HANG]
    name = f"cl-01-{path}-{way}-{len(fields)}-{'stream' in fields}".replace("/", ".")
    with server.connect() as connection:
        connection.sendall(post(path, fields, x_request_id=name))
        upstream.wait_for_calls(1)
        at = leave(connection, way)
    check_let_go(upstream, at)
    check_cancelled(server, name, at)


@pytest.mark.row("CL-02")
@pytest.mark.parametrize("way", [FIN, RST])
@pytest.mark.parametrize(("path", "heard"), [(CHAT, b" there"), (RAG, b" there"), (AUDIO, b'"data"')])
def test_leaving_mid_answer_ends_the_upstream_call(
    server: RunningServer, upstream: FakeUpstream, path: str, heard: bytes, way: str
) -> None:
    upstream.script = SPEAKING
    name = f"cl-02-{path}-{way}".replace("/", ".")
    with server.connect() as connection:
        connection.sendall(post(path, MESSAGES, x_request_id=name))
        assert heard in receive_until(connection, heard)
        at = leave(connection, way)
    check_cancelled(server, name, at)
    assert path == AUDIO or check_let_go(upstream, at) is None


@pytest.mark.row("CL-03")
@pytest.mark.parametrize("fields", [HELLO, {**HELLO, "stream": False}], ids=["stream", "json"])
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_leaving_during_a_retry_pause_causes_no_further_call(
    server: RunningServer, upstream: FakeUpstream, path: str, fields: Any
) -> None:
    upstream.script = refusal(429, {"message": "slow down"}, {"retry-after-ms": "600"})
    name = f"cl-03-{path}-{len(fields)}".replace("/", ".")
    with server.connect() as connection:
        connection.sendall(post(path, fields, x_request_id=name))
        assert upstream.wait_for_calls(1)[0].finished.wait(5)
        at = leave(connection)
    check_cancelled(server, name, at, within=0.3)
    time.sleep(0.7)
    assert len(upstream.calls) == 1


@pytest.mark.row("CL-03")
def test_leaving_between_two_pieces_of_sound_ends_the_pacing(server: RunningServer, upstream: FakeUpstream) -> None:
    before = held_by(*server.worker_pids())
    with server.connect() as connection:
        connection.sendall(post(AUDIO, MESSAGES, x_request_id="cl-03-paced"))
        receive_until(connection, b'"data"')
        at = leave(connection)
    check_cancelled(server, "cl-03-paced", at)
    assert server.wait_for_end("cl-03-paced")["chunks"] < 30 and streams(server) == 0
    assert held_by(*server.worker_pids()).threads == before.threads


@pytest.mark.row("CL-04")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_half_close_counts_as_leaving_as_the_readme_says(
    server: RunningServer, upstream: FakeUpstream, path: str
) -> None:
    upstream.script = SPEAKING
    name = f"cl-04-{path}".replace("/", ".")
    with server.connect() as connection:
        connection.sendall(post(path, MESSAGES, x_request_id=name))
        receive_until(connection, b'"data"' if path == AUDIO else b" there")
        at = leave(connection, HALF)
        check_cancelled(server, name, at)
    assert path == AUDIO or check_let_go(upstream, at) is None
    assert "closes its sending half" in (ROOT / "README.md").read_text()


@pytest.mark.row("CL-05")
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_a_pipelined_request_costs_no_cpu_and_breaks_nothing(
    server: RunningServer, upstream: FakeUpstream, path: str
) -> None:
    go_on, script = threading.Event(), answer("Hello there")
    upstream.script = [*script[:4], go_on, *script[4:]]
    (worker,) = server.worker_pids()
    with server.connect() as connection:
        connection.sendall(post(path, HELLO))
        received = receive_until(connection, b"Hello")
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        before, at = held_by(worker).cpu_seconds, time.monotonic()
        time.sleep(1.5)
        share = (held_by(worker).cpu_seconds - before) / (time.monotonic() - at)
        go_on.set()
        received += receive_until(connection, b'{"status": "ok"}')
    assert share < 0.05
    assert received.count(b"data: [DONE]") == 1 and received.endswith(b'{"status": "ok"}')


@pytest.mark.row("CL-05")
def test_a_request_pipelined_behind_a_recording_costs_no_cpu(server: RunningServer) -> None:
    (worker,) = server.worker_pids()
    shares = []
    with server.connect() as connection:
        connection.sendall(post(AUDIO, MESSAGES))
        receive_until(connection, b'"data"')
        for ahead in (b"", b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"):
            connection.sendall(ahead)
            before, at = held_by(worker).cpu_seconds, time.monotonic()
            time.sleep(1.5)
            shares.append((held_by(worker).cpu_seconds - before) / (time.monotonic() - at))
        received = receive_until(connection, b'{"status": "ok"}')
    assert shares[1] - shares[0] < 0.05 and b"data: [DONE]" in received


@pytest.mark.row("CL-11")
@pytest.mark.parametrize("way", [FIN, RST, HALF])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_that_breaks_off_asks_no_upstream(
    server: RunningServer, upstream: FakeUpstream, path: str, way: str
) -> None:
    name = f"cl-11-{path}-{way}".replace("/", ".")
    with server.connect() as connection:
        connection.sendall(post(path, HELLO, content_length="500", x_request_id=name))
        leave(connection, way)
        received = b"" if way != HALF else receive_until(connection, b"}}")
    assert received == b"" or received.startswith(b"HTTP/1.1 400")
    end = server.wait_for_end(name)
    assert (end["outcome"], end["level"], end["attempts"]) == ("refused", "info", 0)
    assert upstream.calls == [] and "Traceback" not in server.output()


def own_words(call: Call) -> Iterator[Step]:
    """Words that bear the name of who asked: twenty, or without end for who is going to interrupt."""
    yield head()
    for number in range(20 if call.headers["x-request-id"].startswith("second") else 100_000):
        yield event(text_chunk("x", f"{call.headers['x-request-id']}:{number} "))
        yield 0.01
    yield event(chunks("")[-1])
    yield event(DONE) + END


def barge_in(running: RunningServer, number: int) -> None:
    """Ask, leave before or inside the answer, ask again at once, and get the second answer and nothing else."""
    path = (CHAT, RAG)[number % 2]
    with running.connect() as first:
        first.sendall(post(path, HELLO, x_request_id=f"first-{number}"))
        if number % 3:
            receive_until(first, b":%d " % (number % 7))
        leave(first, (FIN, RST)[number % 4 // 2])
    with running.connect() as second:
        second.sendall(post(path, HELLO, x_request_id=f"second-{number}", connection="close"))
        received = receive_until(second, b"no such bytes")
    said = re.findall(rb'"content":"([^"]+) "', received)
    assert said == [b"second-%d:%d" % (number, word) for word in range(20)]
    assert received.count(b"data: [DONE]") == 1


@pytest.mark.row("CL-13")
def test_a_hundred_who_barge_in_hear_only_their_own_answers(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = own_words
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(lambda number: barge_in(server, number), range(100)))
    upstream.wait_until(lambda: upstream.open_calls == 0)
    outcomes = [server.wait_for_end(f"second-{number}")["outcome"] for number in range(100)]
    assert outcomes == ["ok"] * 100 and streams(server) == 0
    left = [server.wait_for_end(f"first-{number}")["outcome"] for number in range(100)]
    assert left == ["client_closed"] * 100


Servers = Callable[..., RunningServer]


@pytest.fixture
def one_slot(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with one place: a next request gets in only when the one before has let everything go."""
    return servers(MAX_STREAMS="1", MAX_BODY="4096")


def check_left(upstream: FakeUpstream, server: RunningServer, request_id: str, at: float) -> None:
    """The upstream of this one call was closed soon after `at`, and the log says why."""
    (call,) = upstream.calls
    assert call.finished.wait(5) and call.outcome == "peer_left" and call.peer_left_at is not None
    assert call.peer_left_at - at < SOON
    check_logged(server, request_id)


def check_logged(server: RunningServer, request_id: str) -> None:
    end = server.wait_for_end(request_id)
    assert (end["outcome"], end["code"], end["level"]) == ("client_closed", None, "info")


def check_free(upstream: FakeUpstream, server: RunningServer) -> None:
    """The only place can be taken again."""
    upstream.script = answer("Hello there")
    assert requests.post(f"{server.url}{CHAT}", json=MESSAGES, timeout=20).status_code == 200


@pytest.mark.parametrize("path", [CHAT, RAG])
@pytest.mark.parametrize("fields", [{"waiting": "off"}, {"stream": False}, {"waiting": 20_000}], ids=str)
@pytest.mark.parametrize(
    "script", [[HANG], [head(), HANG], [*events(chunks("")[:1]), HANG]], ids=["silent", "head", "role"]
)
def test_leaving_before_the_first_word_frees_the_only_slot(
    one_slot: RunningServer, upstream: FakeUpstream, path: str, fields: Any, script: list[Step]
) -> None:
    request_id = uuid.uuid4().hex
    upstream.script = script
    with one_slot.connect() as connection:
        connection.sendall(post(path, {**MESSAGES, **fields}, x_request_id=request_id))
        upstream.wait_for_calls(1)
        left_at = leave(connection)
    check_left(upstream, one_slot, request_id, left_at)
    check_free(upstream, one_slot)


@pytest.mark.parametrize("path", [CHAT, RAG])
def test_leaving_inside_the_answer_frees_the_only_slot(
    one_slot: RunningServer, upstream: FakeUpstream, path: str
) -> None:
    upstream.script = SPEAKING
    with one_slot.connect() as connection:
        connection.sendall(post(path, MESSAGES, x_request_id=f"inside{path.count('/')}"))
        assert b" there" in receive_until(connection, b" there")
        left_at = leave(connection)
    check_left(upstream, one_slot, f"inside{path.count('/')}", left_at)
    check_free(upstream, one_slot)


def test_leaving_after_a_waiting_message_frees_the_only_slot(one_slot: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]
    with one_slot.connect() as connection:
        connection.sendall(post(RAG, MESSAGES, x_request_id="waiting"))
        receive_until(connection, b"assistant")
        upstream.wait_for_calls(1)
        left_at = leave(connection)
    check_left(upstream, one_slot, "waiting", left_at)
    check_free(upstream, one_slot)


def test_leaving_a_recording_frees_the_only_slot(one_slot: RunningServer, upstream: FakeUpstream) -> None:
    with one_slot.connect() as connection:
        connection.sendall(post(AUDIO, MESSAGES, x_request_id="recording"))
        receive_until(connection, b'"data"')
        leave(connection)
    check_logged(one_slot, "recording")
    end = one_slot.wait_for_end("recording")
    assert end["ms"] < 3000 and end["chunks"] < 100  # of 7.4 s and 186
    check_free(upstream, one_slot)


@pytest.mark.parametrize("script", [[HANG], SPEAKING], ids=["before the first word", "inside the answer"])
@pytest.mark.parametrize("way", ["half-close", "reset"])
def test_a_half_close_and_a_reset_count_as_leaving(
    one_slot: RunningServer, upstream: FakeUpstream, script: list[Step], way: str
) -> None:
    request_id = f"{way}-{len(script)}"
    upstream.script = script
    with one_slot.connect() as connection:
        connection.sendall(post(CHAT, MESSAGES, x_request_id=request_id))
        upstream.wait_for_calls(1)
        if script is SPEAKING:
            receive_until(connection, b" there")
        left_at = time.monotonic()
        if way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        else:
            connection.shutdown(socket.SHUT_WR)
        check_left(upstream, one_slot, request_id, left_at)
    check_free(upstream, one_slot)


def test_a_pipelined_request_breaks_nothing_and_is_answered(one_slot: RunningServer, upstream: FakeUpstream) -> None:
    go_on = threading.Event()
    script = answer("Hello there")
    upstream.enqueue([*script[:4], go_on, *script[4:]])
    with one_slot.connect() as connection:
        connection.sendall(post(CHAT, MESSAGES))
        first = receive_until(connection, b"Hello")
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        go_on.set()
        received = first + receive_until(connection, b'{"status": "ok"}')
    stream, _, second = received.partition(b"0\r\n\r\n")
    assert body_of(stream + b"0\r\n\r\n") == frames(*chunks("Hello there"), DONE)
    assert second.startswith(b"HTTP/1.1 200 OK") and second.endswith(b'{"status": "ok"}')


@pytest.mark.parametrize("way", ["close", "half-close", "reset"])
@pytest.mark.parametrize("script", [[HANG], SPEAKING], ids=["before the first word", "inside the answer"])
def test_a_pipelined_request_does_not_hide_that_the_caller_left(
    one_slot: RunningServer, upstream: FakeUpstream, way: str, script: list[Step]
) -> None:
    request_id = f"ahead-{way}-{len(script)}"
    upstream.script = script
    with one_slot.connect() as connection:
        connection.sendall(post(CHAT, MESSAGES, x_request_id=request_id) + post(CHAT, MESSAGES)[:40])
        upstream.wait_for_calls(1)
        if script is SPEAKING:
            receive_until(connection, b" there")
        left_at = time.monotonic()
        if way == "half-close":
            connection.shutdown(socket.SHUT_WR)
        else:
            linger = b"\1\0\0\0\0\0\0\0" if way == "reset" else b"\0\0\0\0\0\0\0\0"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        check_left(upstream, one_slot, request_id, left_at)
