"""Callers who leave, and many who stay: what is let go, when, and what the log says."""

import contextlib
import http.client
import io
import selectors
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
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
    close,
    completion,
    event,
    events,
    head,
    refusal,
    text_chunk,
)
from running_server import RunningServer, post, receive_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

SOON = 1.0
"""Seconds for what takes milliseconds on an idle machine."""
CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
SPEAKING: list[Step] = [*events(chunks("Hello there")[:3]), HANG]


def said(words: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}], **fields}


HELLO = said("Hello?")


def frames(*sent: bytes) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in sent)


class _Received:
    """Bytes in place of a socket, for http.client."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._received)


def body_of(received: bytes) -> bytes:
    """The body of a whole HTTP answer; raises IncompleteRead for one that was cut."""
    answered = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]
    answered.begin()
    assert answered.status == 200
    return answered.read()


def receive_all(connections: Iterable[socket.socket]) -> dict[socket.socket, bytes]:
    """What each connection receives until the server closes it."""
    received = dict.fromkeys(connections, b"")
    with selectors.DefaultSelector() as selector:
        for connection in received:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(timeout=20)
            assert ready, "nothing came for 20 s"
            for key, _ in ready:
                connection: Any = key.fileobj
                if more := connection.recv(1 << 18):
                    received[connection] += more
                else:
                    selector.unregister(connection)
    return received


def hang_up(connection: socket.socket) -> float:
    """Leave; gives the time."""
    connection.close()
    return time.monotonic()


@pytest.fixture
def single(upstream: FakeUpstream, servers: Servers) -> RunningServer:
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
    assert requests.post(f"{server.url}{CHAT}", json=HELLO, timeout=20).status_code == 200


# --- one who leaves ---


@pytest.mark.parametrize("path", [CHAT, RAG])
@pytest.mark.parametrize("fields", [{"waiting": "off"}, {"stream": False}, {"waiting": 20_000}], ids=str)
@pytest.mark.parametrize(
    "script", [[HANG], [head(), HANG], [*events(chunks("")[:1]), HANG]], ids=["silent", "head", "role"]
)
def test_leaving_before_the_first_word_frees_the_only_slot(
    single: RunningServer, upstream: FakeUpstream, path: str, fields: Any, script: list[Step]
) -> None:
    request_id = uuid.uuid4().hex
    upstream.script = script
    with single.connect() as connection:
        connection.sendall(post(path, {**HELLO, **fields}, x_request_id=request_id))
        upstream.wait_for_calls(1)
        left_at = hang_up(connection)
    check_left(upstream, single, request_id, left_at)
    check_free(upstream, single)


@pytest.mark.parametrize("path", [CHAT, RAG])
def test_leaving_inside_the_answer_frees_the_only_slot(
    single: RunningServer, upstream: FakeUpstream, path: str
) -> None:
    upstream.script = SPEAKING
    with single.connect() as connection:
        connection.sendall(post(path, HELLO, x_request_id=f"inside{path.count('/')}"))
        assert b" there" in receive_until(connection, b" there")
        left_at = hang_up(connection)
    check_left(upstream, single, f"inside{path.count('/')}", left_at)
    check_free(upstream, single)


def test_leaving_after_a_waiting_message_frees_the_only_slot(single: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]
    with single.connect() as connection:
        connection.sendall(post(RAG, HELLO, x_request_id="waiting"))
        receive_until(connection, b"assistant")
        upstream.wait_for_calls(1)
        left_at = hang_up(connection)
    check_left(upstream, single, "waiting", left_at)
    check_free(upstream, single)


def test_leaving_a_recording_frees_the_only_slot(single: RunningServer, upstream: FakeUpstream) -> None:
    with single.connect() as connection:
        connection.sendall(post(AUDIO, HELLO, x_request_id="recording"))
        receive_until(connection, b'"data"')
        hang_up(connection)
    check_logged(single, "recording")
    end = single.wait_for_end("recording")
    assert end["ms"] < 3000 and end["chunks"] < 100  # of 7.4 s and 186
    check_free(upstream, single)


@pytest.mark.parametrize("script", [[HANG], SPEAKING], ids=["before the first word", "inside the answer"])
@pytest.mark.parametrize("way", ["half-close", "reset"])
def test_a_half_close_and_a_reset_count_as_leaving(
    single: RunningServer, upstream: FakeUpstream, script: list[Step], way: str
) -> None:
    request_id = f"{way}-{len(script)}"
    upstream.script = script
    with single.connect() as connection:
        connection.sendall(post(CHAT, HELLO, x_request_id=request_id))
        upstream.wait_for_calls(1)
        if script is SPEAKING:
            receive_until(connection, b" there")
        left_at = time.monotonic()
        if way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        else:
            connection.shutdown(socket.SHUT_WR)
        check_left(upstream, single, request_id, left_at)
    check_free(upstream, single)


def test_a_pipelined_request_breaks_nothing_and_is_answered(single: RunningServer, upstream: FakeUpstream) -> None:
    go_on = threading.Event()
    script = answer("Hello there")
    upstream.enqueue([*script[:4], go_on, *script[4:]])
    with single.connect() as connection:
        connection.sendall(post(CHAT, HELLO))
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
    single: RunningServer, upstream: FakeUpstream, way: str, script: list[Step]
) -> None:
    request_id = f"ahead-{way}-{len(script)}"
    upstream.script = script
    with single.connect() as connection:
        connection.sendall(post(CHAT, HELLO, x_request_id=request_id) + post(CHAT, HELLO)[:40])
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
        check_left(upstream, single, request_id, left_at)


# --- many at once ---


def count_up(call: Call) -> Iterator[Step]:
    """Forty numbered chunks, twenty a second, that bear the caller's own name."""
    yield head()
    for number in range(40):
        yield event(text_chunk(call.headers["x-request-id"], f"{number} "))
        yield 0.05
    yield event(chunks("", id=call.headers["x-request-id"])[-1])
    yield event(DONE) + END


def test_200_streams_at_20_chunks_a_second_lose_no_byte(patient: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = count_up
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        names = {stack.enter_context(patient.connect()): f"caller-{number}" for number in range(200)}
        for connection, name in names.items():
            connection.sendall(post(CHAT, HELLO, x_request_id=name, connection="close"))
        received = receive_all(names)
    for connection, name in names.items():
        wanted = [text_chunk(name, f"{number} ") for number in range(40)]
        assert body_of(received[connection]) == frames(*wanted, chunks("", id=name)[-1], DONE)
    print(f"\n200 streams of 2.0 s took {time.monotonic() - started:.1f} s")
    assert sorted(end["id"] for end in patient.request_ends() if end["id"].startswith("caller-")) == sorted(
        names.values()
    )


def test_50_of_100_who_leave_close_exactly_their_50_upstreams(patient: RunningServer, upstream: FakeUpstream) -> None:
    speak = threading.Event()
    upstream.script = [speak, *answer("Hello there")]
    with contextlib.ExitStack() as stack:
        stack.callback(speak.set)
        connections = [stack.enter_context(patient.connect()) for _ in range(100)]
        for number, connection in enumerate(connections):
            connection.sendall(post(CHAT, HELLO, x_request_id=f"cut-{number}", connection="close"))
        calls = {call.headers["x-request-id"]: call for call in upstream.wait_for_calls(100)}
        left_at = {f"cut-{number}": hang_up(connections[number]) for number in range(0, 100, 2)}
        gone = [calls[name] for name in left_at]
        assert all(call.finished.wait(5) for call in gone) and upstream.open_calls == 50
        slowest = max((call.peer_left_at or 0) - left_at[call.headers["x-request-id"]] for call in gone)
        print(f"\nthe slowest upstream was closed {slowest * 1000:.1f} ms after its caller had left")
        speak.set()
        received = receive_all(connections[1::2])
    assert {body_of(whole) for whole in received.values()} == {frames(*chunks("Hello there"), DONE)}
    assert sum(call.outcome == "peer_left" for call in upstream.calls) == 50 and slowest < SOON
    outcomes = [patient.wait_for_end(f"cut-{number}")["outcome"] for number in range(100)]
    assert outcomes == ["client_closed", "ok"] * 50


# --- the log ---


def test_each_request_has_one_log_line_without_what_was_said(
    server: RunningServer, upstream: FakeUpstream, our_key: str
) -> None:
    words = "mississippi"
    good, part = answer(f"{words} yes"), events(chunks(f"{words} yes")[:3])
    turns: list[tuple[str, Any, Any, str, str | None]] = [
        (CHAT, good, {}, "ok", None),
        (CHAT, completion(words), {"stream": False}, "ok", None),
        (RAG, good, {}, "ok", None),
        (AUDIO, good, {"stream": False}, "ok", None),
        (CHAT, refusal(500, {"message": words}), {}, "error_before", "upstream_error"),
        (CHAT, refusal(429, {"message": words}), {}, "error_before", "rate_limited"),
        (CHAT, [*part, close], {}, "error_mid", "upstream_disconnected"),
        (CHAT, [*part, event(b'{"error":{"message":"mississippi"}}'), END], {}, "error_mid", "upstream_error"),
        (CHAT, good, {"messages": words}, "refused", "invalid_value"),
        (CHAT, good, {"stream": words}, "refused", "invalid_value"),
    ]
    for number, (path, script, fields, _, _) in enumerate(turns):
        upstream.script = script
        headers = {"x-request-id": f"log-{number}", "authorization": f"Bearer {words}"}
        requests.post(f"{server.url}{path}", json={**said(words), **fields}, headers=headers, timeout=20)
    for number, (path, _, _, outcome, code) in enumerate(turns):
        end = server.wait_for_end(f"log-{number}")
        assert (end["outcome"], end["code"], end["endpoint"]) == (outcome, code, path.split("/")[1]), number
    ids = [end["id"] for end in server.request_ends()]
    assert len(ids) == len(set(ids))
    assert words not in server.output() and our_key not in server.output() and "Traceback" not in server.output()


def test_no_server_had_a_fault_of_its_own(single: RunningServer, patient: RunningServer) -> None:
    for server in (single, patient):
        ids = [end["id"] for end in server.request_ends()]
        assert len(ids) == len(set(ids)) and "Traceback" not in server.output()
