"""Memory, files, threads, slots and temporary files after thousands of requests. RL-02 is `make soak`."""

import contextlib
import json
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import (
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunks,
    completion,
    event,
    events,
    head,
    text_chunk,
)
from leaving import streams
from running_server import Held, RunningServer, held_by, hooked, post, receive_until, running_server
from scraping import series, total
from waiting import wait_until

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
MESSAGES = {"messages": [{"role": "user", "content": "Are you open?"}]}
MIB = 1 << 20
NAMES_THREADS = 10
"""gevent's pool that looks up names; its threads come and go."""
LONG = "PARLEY_LONG" in os.environ
COUNT = 10_000 if LONG else 4_000
JSON = {**MESSAGES, "stream": False}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def own() -> Iterator[FakeUpstream]:
    """Yield an upstream that no other test has asked anything."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[RunningServer]:
    with running_server({"LLM_BASE_URL": upstream.base_url}) as running:
        yield running


def settled(running: RunningServer, upstream: FakeUpstream) -> tuple[Held, int]:
    """Return what the worker holds, and its connections to the upstream, once the last turn is over."""
    wait_until(lambda: not streams(running) and not upstream.open_calls)
    time.sleep(0.1)
    return held_by(*running.worker_pids()), len(upstream.open_connections)


def check_nothing_grew(before: tuple[Held, int], running: RunningServer, upstream: FakeUpstream) -> None:
    """Check that the worker holds no more than before. A busy machine closes the last connections a little later."""
    held, connections = before

    def growth() -> list[str]:
        now, open_now = settled(running, upstream)
        return [
            f"{name} {was} -> {grown}"
            for name, was, grown, most in (
                ("fds", held.fds, now.fds, held.fds + 2),
                ("threads", held.threads, now.threads, max(held.threads, 2 + NAMES_THREADS)),
                ("KiB", held.rss_bytes >> 10, now.rss_bytes >> 10, (held.rss_bytes + 8 * MIB) >> 10),
                ("upstream connections", connections, open_now, connections + 2),
            )
            if grown > most
        ]

    wait_until(lambda: not growth(), tell=lambda: ", ".join(growth()))


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
def test_a_thousand_random_disconnects_leave_nothing_behind(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = slowly
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: disconnect(server, number), range(-200, 0)))
        before = settled(server, upstream)
        list(pool.map(lambda number: disconnect(server, number), range(1000)))
        check_nothing_grew(before, server, upstream)
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
def test_malformed_requests_leave_nothing_behind(server: RunningServer, upstream: FakeUpstream) -> None:
    count = 10_000 if LONG else 2_000
    calls = len(upstream.calls)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: status_for(server, number), range(-300, 0)))
        before = settled(server, upstream)
        statuses = list(pool.map(lambda number: status_for(server, number), range(count)))
        check_nothing_grew(before, server, upstream)
    print({status.decode(): statuses.count(status) for status in sorted(set(statuses))})
    assert all(status[:1] in (b"4", b"") or status in OWN_OF_HTTP for status in statuses)
    assert len(upstream.calls) == calls and "Traceback" not in server.output()
    names = [end["id"] for end in server.request_ends() if end["id"].startswith("bad-")]
    assert len(names) == len(set(names))


RAISES = """
from parley.http_client.response import HttpResponse
usual = HttpResponse.close
def close(self):
    usual(self)
    raise OSError("at the close")
HttpResponse.close = close
"""


@pytest.mark.row("RL-07")
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


def flood(running: RunningServer, numbers: range) -> None:
    """Random models, paths, keys, ids, names of recordings, codes of the upstream, on connections that are kept."""

    def some(part: int) -> None:
        with requests.Session() as session:
            for number in numbers[part::8]:
                headers = {"x-api-key": f"key-{number}-0123456789", "x-request-id": f"id-{number}"}
                named = {"model": f"model-{number}", "asset": f"a{number}", "user": f"u{number}", f"field{number}": 1}
                path = (CHAT, f"{CHAT}?asset=b{number}", f"/nowhere/{number}")[number % 3]
                session.post(running.url + path, json={**MESSAGES, **named}, headers=headers, timeout=19).close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(some, range(8)))


@pytest.mark.row("RL-05")
def test_thousands_of_wrong_keys_are_not_remembered(own: FakeUpstream) -> None:
    limits = {"API_KEYS": "door-0123456789", "RATE_LIMIT": "5/minute", "MAX_STREAMS_PER_KEY": "5"}
    with running_server({"LLM_BASE_URL": own.base_url, "LOG_LEVEL": "error", **limits}) as running:
        door = {"x-api-key": "door-0123456789"}
        flood(running, range(600))
        held, known = held_by(*running.worker_pids()), series(running, door).keys()
        flood(running, range(600, COUNT // 2))
        now = held_by(*running.worker_pids())
        assert series(running, door).keys() == known
        assert now.rss_bytes <= held.rss_bytes + 8 * MIB and own.calls == []


@pytest.mark.row("RL-06")
def test_no_temporary_file_or_thread_is_left(own: FakeUpstream, tmp_path: Path) -> None:
    settings = {"LLM_BASE_URL": own.base_url, "TMPDIR": str(tmp_path)}
    large = {**JSON, "metadata": "x" * 200_000}

    def turn(number: int) -> None:
        path = ENDPOINTS[number % 3]
        requests.post(running.url + path, json=large if number % 5 == 0 else JSON, timeout=19).close()

    own.script = completion("Hello there")
    with running_server(settings) as running, ThreadPoolExecutor(20) as pool:
        list(pool.map(turn, range(200)))
        held = held_by(*running.worker_pids())
        list(pool.map(turn, range(400)))
        now = held_by(*running.worker_pids())
        left = [
            os.readlink(f"/proc/{pid}/fd/{fd}") for pid in running.worker_pids() for fd in os.listdir(f"/proc/{pid}/fd")
        ]
        assert list(tmp_path.iterdir()) == []
        # gunicorn's sign of life is a file without a name.
        assert len([path for path in left if path.startswith(str(tmp_path))]) <= 1
    print(f"threads {held.threads} -> {now.threads}")
    assert now.threads <= max(held.threads, 12)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.row("RL-04")
def test_thousands_of_strangers_make_no_series_and_no_memory(own: FakeUpstream) -> None:
    codes = iter(range(10 * COUNT))

    def script(_call: Any) -> Any:
        if (number := next(codes)) % 4:
            return answer("Hi")
        error = json.dumps({"error": {"message": "no", "code": f"code_{number}"}}).encode()
        return [head(headers={"x-request-id": f"up-{number}"}), *map(event, [*chunks("Hello")[:2], error]), END]

    own.script = script
    limits = {"RATE_LIMIT": "1000000/day", "MAX_STREAMS_PER_KEY": "50", "HEARTBEAT": "0"}
    with running_server({"LLM_BASE_URL": own.base_url, "LOG_LEVEL": "error", **limits}) as running:
        flood(running, range(1000))
        held, known = held_by(*running.worker_pids()), series(running).keys()
        flood(running, range(1000, COUNT))
        now, found = held_by(*running.worker_pids()), series(running)
        assert found.keys() == known and len(known) < 200
        assert total(found, "parley_requests_total") > COUNT / 2
        print(f"RSS {held.rss_bytes / MIB:.1f} -> {now.rss_bytes / MIB:.1f} MiB, {len(known)} series")
        assert now.rss_bytes <= held.rss_bytes + 8 * MIB and now.threads <= held.threads
