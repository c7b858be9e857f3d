"""Nothing is left behind: the rows RL-01, RL-03 and RL-07 of docs/reliability.md. RL-02 is `make soak`."""

import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from fake_upstream import HANG, Call, FakeUpstream, Step, answer, chunks, event, events, head, text_chunk
from running_server import Held, RunningServer, held_by, hooked, post, receive_until, running_server
from structlog.testing import capture_logs
from waiting import wait_until

from parley.admission import Admission
from parley.errors import ServerOverloaded
from parley.turn import Batches, Turn
from parley.turn_record import TurnRecord
from parley.wire.chunks import Envelope

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
MESSAGES = {"messages": [{"role": "user", "content": "Hello?"}]}
MIB = 1 << 20
NAMES_THREADS = 10
"""gevent's pool that looks up names; its threads come and go."""
LONG = "PARLEY_LONG" in os.environ


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[RunningServer]:
    with running_server({"LLM_BASE_URL": upstream.base_url}) as running:
        yield running


def streams(running: RunningServer) -> int:
    return int(requests.get(f"{running.url}/ready", timeout=5).json()["details"]["streams"])


def settled(running: RunningServer, upstream: FakeUpstream) -> tuple[Held, int]:
    """What the worker holds, and its connections to the upstream, when the last turn is over (two seconds will do)."""
    wait_until(lambda: not streams(running) and not upstream.open_calls)
    time.sleep(0.1)
    return held_by(*running.worker_pids()), len(upstream.open_connections)


def check_nothing_grew(before: tuple[Held, int], after: tuple[Held, int]) -> None:
    (held, connections), (holds, open_now) = before, after
    print(f"\nfds {held.fds} -> {holds.fds}, threads {held.threads} -> {holds.threads}", end=", ")
    print(f"RSS {held.rss_bytes / MIB:.1f} -> {holds.rss_bytes / MIB:.1f} MiB, upstream {connections} -> {open_now}")
    assert holds.fds <= held.fds + 2 and open_now <= connections + 2
    assert holds.threads <= max(held.threads, 2 + NAMES_THREADS) and holds.rss_bytes <= held.rss_bytes + 8 * MIB


def slowly(call: Call) -> Iterator[Step]:
    """An answer that nobody hears to its end, with a moment of thought before each word."""
    yield 0.02
    yield head()
    while True:
        yield 0.02
        yield event(text_chunk(call.headers["x-request-id"], "and "))


def disconnect(running: RunningServer, number: int) -> None:
    """Ask, and leave at a random moment in a random way, perhaps in the middle of the request."""
    chance = random.Random(number)
    request = post(chance.choice(ENDPOINTS), {**MESSAGES, "stream": chance.random() < 0.9})
    with contextlib.suppress(ConnectionError), running.connect() as connection:
        connection.sendall(request[: chance.randrange(len(request))] if chance.random() < 0.1 else request)
        time.sleep(chance.random() * 0.1)
        if chance.random() < 0.3:
            connection.shutdown(socket.SHUT_WR)
        elif chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.row("RL-01")
@pytest.mark.server
def test_a_thousand_random_disconnects_leave_nothing_behind(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = slowly
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: disconnect(server, number), range(-200, 0)))
        before = settled(server, upstream)
        list(pool.map(lambda number: disconnect(server, number), range(1000)))
        check_nothing_grew(before, settled(server, upstream))
    ends = {(end["endpoint"], end["outcome"]) for end in server.request_ends()}
    assert {outcome for _, outcome in ends - {("audio", "ok")}} <= {"client_closed", "refused"}
    assert "Traceback" not in server.output()


BAD_BODIES: list[Callable[[random.Random], bytes]] = [
    lambda chance: chance.randbytes(chance.randrange(200)),
    lambda chance: b"[" * chance.randrange(1, 5000),
    lambda chance: b'{"messages":' + chance.choice([b"1}", b"null}", b"[]}", b"[1]}", b'[{"role":"x"}]}', b"[", b"}"]),
    lambda chance: b'{"a":1,"a":2}',
    lambda chance: b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    lambda chance: b'{"messages":[{"role":"user","content":"x"}],"n":%s}' % (b"9" * 5000),
    lambda chance: b'{"messages":[{"role":"user","content":"\xff"}]}',
    lambda chance: b'{"messages":[{"role":"user","content":"x"}],"stream":"yes"}',
]
BAD_HEADS: list[bytes] = [
    b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: +7\r\n\r\n",
    b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZ\r\n",
    b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    b"POST %s HTTP/1.1\r\nhost : x\r\n\r\n",
    b"POST %s HTTP/9.9\r\nhost: x\r\n\r\n",
    b"POST %s\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01 %s",
    b"POST %s HTTP/1.1\r\nx: \0\r\n\r\n",
    b"POST %s HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 9000 + b"\r\n\r\n",
    b"GET %s?" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
]
OWN_OF_HTTP = (b"501", b"505")
"""An unknown transfer coding and an unknown version of HTTP: gunicorn's own, and no fault of a server."""


def malformed(number: int) -> bytes:
    chance = random.Random(number)
    path = chance.choice(ENDPOINTS)
    if chance.random() < 0.4:
        return chance.choice(BAD_HEADS).replace(b"%s", path.encode())
    return post(path, chance.choice(BAD_BODIES)(chance), x_request_id=f"bad-{number}")


def status_for(running: RunningServer, number: int) -> bytes:
    """The status that this bad request earns; empty where the connection was closed."""
    with running.connect() as connection:
        try:
            connection.sendall(malformed(number))
            connection.shutdown(socket.SHUT_WR)
            return receive_until(connection, b"\r\n")[9:12]
        except OSError as exc:
            if isinstance(exc, TimeoutError):
                raise
            return b""  # reset, perhaps already before the half-close (ENOTCONN)


@pytest.mark.row("RL-03")
@pytest.mark.server
def test_malformed_requests_leave_nothing_behind(server: RunningServer, upstream: FakeUpstream) -> None:
    count = 10_000 if LONG else 2_000
    calls = len(upstream.calls)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: status_for(server, number), range(-300, 0)))
        before = settled(server, upstream)
        statuses = list(pool.map(lambda number: status_for(server, number), range(count)))
        check_nothing_grew(before, settled(server, upstream))
    print({status.decode(): statuses.count(status) for status in sorted(set(statuses))})
    assert all(status[:1] in (b"4", b"") or status in OWN_OF_HTTP for status in statuses)
    assert len(upstream.calls) == calls and "Traceback" not in server.output()
    names = [end["id"] for end in server.request_ends() if end["id"].startswith("bad-")]
    assert len(names) == len(set(names))


def fails_at_its_close() -> Batches:
    try:
        while True:
            yield [b"{}"]
    finally:
        raise RuntimeError("at the close")


@pytest.mark.row("RL-07")
@pytest.mark.parametrize("started", [True, False], ids=["begun", "not begun"])
def test_a_generator_failing_at_close_frees_its_slot_once(
    started: bool,
) -> None:
    admission, turn = Admission(1), Turn(TurnRecord("chat", "rl-07"))
    turn.admit(admission, "anybody")
    pieces = turn.stream(fails_at_its_close(), Envelope("model", "id", 0))
    if started:
        next(pieces)
    with capture_logs() as logged, pytest.raises(RuntimeError, match="at the close"):
        turn.close()
    assert not admission.running and [line["event"] for line in logged] == ["request_end"]
    turn.close()
    admission.admit(Turn(TurnRecord("chat", "next")))
    with pytest.raises(ServerOverloaded):
        admission.admit(Turn(TurnRecord("chat", "one too many")))


RAISES = """
from parley.http_client.response import HttpResponse
usual = HttpResponse.close
def close(self):
    usual(self)
    raise OSError("at the close")
HttpResponse.close = close
"""


@pytest.mark.row("RL-07")
@pytest.mark.server
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_a_connection_failing_at_close_costs_no_slot(path: str, tmp_path: Any) -> None:
    with FakeUpstream() as upstream:
        argv = hooked(tmp_path, RAISES)
        with running_server({"LLM_BASE_URL": upstream.base_url, "MAX_STREAMS": "1"}, argv=argv) as running:
            for number in range(6):
                upstream.script = answer("Hello there") if number % 2 else [*events(chunks("Hello there")[:3]), HANG]
                with running.connect() as connection:
                    connection.sendall(post(path, MESSAGES, x_request_id=f"rl-{number}", connection="close"))
                    receive_until(connection, b"no such bytes" if number % 2 else b" there")
                running.wait_for_end(f"rl-{number}")
                assert streams(running) == 0
            assert "server_overloaded" not in running.output()
            assert [end["id"] for end in running.request_ends()] == [f"rl-{number}" for number in range(6)]
