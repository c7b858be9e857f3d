"""Many clients at once, of which some leave; and one log line for each request."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import requests
from fake_upstream import (
    DONE,
    END,
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
from leaving import SOON, leave
from plain_http import body_of, frames
from running_server import RunningServer, post

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"


def said(words: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}], **fields}


HELLO = said("Are you open?")


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


@pytest.fixture
def single(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with one place: a next request gets in only when the one before has let everything go."""
    return servers(MAX_STREAMS="1", MAX_BODY="4096")


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
        left_at = {f"cut-{number}": leave(connections[number]) for number in range(0, 100, 2)}
        gone = [calls[name] for name in left_at]
        assert all(call.finished.wait(20) for call in gone)
        # Beside theirs: the question for models that a start asks.
        upstream.wait_until(lambda: upstream.open_calls == 50)
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
