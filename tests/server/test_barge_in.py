"""Barge-in where places are few: a caller cuts a call and asks again in the same moment, and is let in."""

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import requests
from exchange import AUDIO, CHAT, ENDPOINTS, RAG, Caller
from fake_upstream import HANG, FakeUpstream, Step, answer, chunks, completion, event, events, text_chunk
from running_server import RunningServer, post, receive_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

TIMES = 60
DOOR = "door-one-0123456789"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
TALKING: list[Step] = [*events(chunks("Hello there")[:3]), *[0.02, event(text_chunk("x", "and "))] * 500]
SILENT: list[Step] = [HANG]
PER_KEY = {"MAX_STREAMS_PER_KEY": "1", "API_KEYS": DOOR}
IN_ALL = {"MAX_STREAMS": "1"}


def close(connection: socket.socket) -> None:
    connection.close()


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Way(NamedTuple):
    """How a caller barges in; where it has `dialed` ahead, its next call is read as soon as its leaving is noticed."""

    limits: dict[str, str]
    path: str
    fields: dict[str, Any]
    script: list[Step]
    leave: Callable[[socket.socket], None]
    dialed: bool


WAYS = {
    "key, chat": Way(PER_KEY, CHAT, {}, TALKING, close, False),
    "key, chat, dialed ahead": Way(PER_KEY, CHAT, {}, TALKING, close, True),
    "key, rag, reset": Way(PER_KEY, RAG, {}, TALKING, reset, False),
    "key, rag, waiting message": Way(PER_KEY, RAG, {"waiting": 0}, SILENT, close, True),
    "key, json, half-closed": Way(PER_KEY, CHAT, {"stream": False}, SILENT, half_close, True),
    "total, chat, half-closed": Way(IN_ALL, CHAT, {}, TALKING, half_close, False),
    "total, chat, reset": Way(IN_ALL, CHAT, {}, TALKING, reset, True),
    "total, before the first word": Way(IN_ALL, CHAT, {}, SILENT, close, False),
    "total, json": Way(IN_ALL, CHAT, {"stream": False}, SILENT, close, False),
    "total, rag as json, reset": Way(IN_ALL, RAG, {"stream": False}, SILENT, reset, True),
    "total, audio": Way(IN_ALL, AUDIO, {}, [], close, True),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_who_barges_in_is_never_refused(upstream: FakeUpstream, servers: Servers, way: Way) -> None:
    server = servers(**way.limits)
    upstream.script = way.script
    request = post(way.path, {**HELLO, **way.fields}, x_api_key=DOOR, connection="close")
    with contextlib.ExitStack() as stack:
        call = stack.enter_context(server.connect())
        call.sendall(request)
        for number in range(TIMES):
            check_begun(call, upstream, number + 1, way)
            following = stack.enter_context(server.connect()) if way.dialed else None
            if following:
                time.sleep(0.002)  # so that it waits to be read already
            way.leave(call)
            call = following or stack.enter_context(server.connect())
            call.sendall(request)
        check_begun(call, upstream, TIMES + 1, way)


def check_begun(call: socket.socket, upstream: FakeUpstream, number: int, way: Way) -> None:
    """The call gets under way, as its caller sees it, or else its upstream."""
    if way.script is SILENT:
        upstream.wait_for_calls(number)
    else:
        assert b" 200 " in receive_until(call, b"data: ")[:20]


def test_a_full_server_refuses_many_at_once_and_stays_healthy(upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(MAX_STREAMS="4")
    upstream.script = [*events(chunks("Hello there")[:3]), HANG]
    statuses: list[int] = []
    healths: list[float] = []

    def ask(path: str) -> None:
        statuses.append(requests.post(server.url + path, json=HELLO, timeout=20).status_code)

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            held = stack.enter_context(server.connect())
            held.sendall(post(CHAT, HELLO))
            receive_until(held, b"Hello")
        started = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(ask, path) for path in itertools.islice(itertools.cycle(ENDPOINTS), 150)]
            while not all(task.done() for task in asked):
                at = time.monotonic()
                assert requests.get(f"{server.url}/health", timeout=20).status_code == 200
                healths.append(time.monotonic() - at)
        seconds = time.monotonic() - started
    assert statuses == [503] * 150
    # One after the other they would wait for 150 times the 150 ms that a place being freed is waited for.
    assert seconds < 10 and max(healths) < 1


@pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "json"])
@pytest.mark.parametrize("limits", [PER_KEY, IN_ALL], ids=["key", "total"])
def test_a_pipelined_request_is_not_refused_by_its_predecessor(
    upstream: FakeUpstream, servers: Servers, limits: dict[str, str], fields: dict[str, Any]
) -> None:
    server, go_on = servers(**limits), threading.Event()
    script = completion("Hello there") if fields else answer("Hello there")
    upstream.script = [go_on, *script]
    with Caller(server) as caller:
        caller.connection.sendall(post(CHAT, {**HELLO, **fields}, x_api_key=DOOR) * 20)
        upstream.wait_for_calls(1)
        go_on.set()
        assert [caller.answer().status for _ in range(20)] == [200] * 20
