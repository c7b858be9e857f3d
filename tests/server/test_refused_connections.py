"""Connections that are refused again and again, slow or silent: which end, when, and what they leave."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from attacks import LOCKED, MOST_WAIT
from exchange import CHAT, CLOSED, HEALTH, Caller
from fake_upstream import FakeUpstream, answer
from hostile import HALF_HEAD
from running_server import RunningServer, held_by, hooked, post, receive_until, running_server
from talkers import KEY
from waiting import wait_until

pytestmark = pytest.mark.server


HELLO = {"messages": [{"role": "user", "content": "Hello?"}], "waiting": "off"}
CHUNKED = b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


REFUSALS = 10
"""Refused requests in a row, after which a connection is closed."""
HEAD_SECONDS = 0.5
FEW_PLACES = 20
"""MAX_STREAMS of a server that takes 2 * FEW_PLACES + 500 connections."""
MANY = 700
"""Connections: more than that."""
SHORT_HEADS = f"from parley.server import connections; connections.HEAD_SECONDS = {HEAD_SECONDS}"
GOOD = post(CHAT, {**HELLO, "stream": True}, x_api_key=KEY)


REFUSED = {
    "no key": post(CHAT, HELLO),
    "wrong key": post(CHAT, HELLO, x_api_key="guess"),
    "no route": b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
    "no method": b"DELETE /chat/completions HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.fixture(scope="module")
def locked(upstream_url: str) -> Iterator[RunningServer]:
    """A server that asks for a key."""
    with running_server({"LLM_BASE_URL": upstream_url, **LOCKED}) as running:
        yield running
        assert "Traceback" not in running.output()


@pytest.mark.row("HC-02")
@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=list(REFUSED))
def test_a_connection_is_closed_after_ten_refusals(locked: RunningServer, request_bytes: bytes) -> None:
    with Caller(locked) as caller:
        answers = [caller.ask(request_bytes) for _ in range(REFUSALS)]
        assert all(400 <= answer.status < 500 for answer in answers)
        assert [answer.headers.get("connection") == "close" for answer in answers] == [*[False] * 9, True]
        assert caller.is_closed()


@pytest.mark.row("HC-02")
@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=list(REFUSED))
def test_bytes_behind_the_tenth_refusal_are_not_read(locked: RunningServer, request_bytes: bytes) -> None:
    with Caller(locked) as caller:
        caller.connection.sendall(request_bytes * 40)
        statuses = []
        while (given := caller.answer()) != CLOSED:
            statuses.append(given.status)
    assert len(statuses) == REFUSALS


@pytest.mark.row("HC-02")
def test_a_call_between_refusals_keeps_the_connection(locked: RunningServer, upstream: FakeUpstream) -> None:
    with Caller(locked) as caller:
        for _ in range(REFUSALS // 2 + 1):
            assert caller.ask(REFUSED["no route"]).status == 404
            assert caller.ask(REFUSED["no key"]).status == 401
            assert caller.ask(GOOD).status == 200


@pytest.mark.row("HC-02")
def test_a_caller_with_a_key_may_err_more_often(locked: RunningServer) -> None:
    with Caller(locked) as caller:
        for _ in range(2 * REFUSALS):
            assert caller.ask(post(CHAT, b"{", x_api_key=KEY)).status == 400


@contextlib.contextmanager
def connections(server: RunningServer, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections on which these bytes have been sent."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(server.connect()) for _ in range(count)]
        for connection in opened:
            with contextlib.suppress(ConnectionError):  # closed at once
                connection.sendall(first)
        yield opened


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed this connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(10)


@pytest.mark.row("HC-03")
@pytest.mark.parametrize("first", [b"", HALF_HEAD], ids=["nothing", "half a head"])
def test_the_oldest_silent_connections_end_first(upstream: FakeUpstream, upstream_url: str, first: bytes) -> None:
    settings = {**LOCKED, "LLM_BASE_URL": upstream_url, "MAX_STREAMS": str(FEW_PLACES)}
    with running_server(settings) as server, contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Caller(server)) for _ in range(10)]
        assert {caller.ask(GOOD).status for caller in callers} == {200}
        silent = stack.enter_context(connections(server, 100, first))
        later = stack.enter_context(connections(server, MANY, first))
        with Caller(server) as newcomer:
            assert newcomer.ask(HEALTH).status == 200
        wait_until(lambda: all(map(is_closed, silent)), tell=lambda: sum(map(is_closed, silent)))
        assert not any(map(is_closed, later[-100:]))
        assert {caller.ask(GOOD).status for caller in callers} == {200}


@pytest.mark.row("HC-03")
def test_a_conversation_is_never_closed_for_a_newcomer(upstream: FakeUpstream, upstream_url: str) -> None:
    go_on, script = threading.Event(), answer("Hello there")
    upstream.script = [*script[:4], go_on, *script[4:]]
    settings = {"LLM_BASE_URL": upstream_url, "MAX_STREAMS": str(FEW_PLACES), "IDLE_TIMEOUT": "60"}
    with running_server(settings) as server, server.connect() as speaking, server.connect() as thinking:
        speaking.sendall(post(CHAT, {**HELLO, "stream": True}))
        begun = receive_until(speaking, b"Hello")
        thinking.sendall(post(CHAT, {**HELLO, "stream": True}))
        upstream.wait_for_calls(2)
        with connections(server, MANY), Caller(server) as newcomer:
            assert newcomer.ask(HEALTH).status == 200
            go_on.set()
            heard = (begun + receive_until(speaking, b"0\r\n\r\n"), receive_until(thinking, b"0\r\n\r\n"))
        assert all(b" there" in one and b"[DONE]" in one for one in heard)


@pytest.fixture(scope="module")
def short(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that gives a head half a second."""
    argv = hooked(tmp_path_factory.mktemp("short"), SHORT_HEADS)
    with running_server({"LLM_BASE_URL": upstream_url}, argv=argv) as running:
        yield running
        assert "Traceback" not in running.output()


def seconds_until_closed(connection: socket.socket, more: bytes = b"") -> float:
    """Return how long the connection lives while `more` is sent each twentieth of a second."""
    at = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while not is_closed(connection) and time.monotonic() - at < 10:
            connection.sendall(more)
            with contextlib.suppress(BlockingIOError):
                connection.recv(4096, socket.MSG_DONTWAIT)  # a refusal
            time.sleep(0.05)
    return time.monotonic() - at


@pytest.mark.row("HC-04")
@pytest.mark.parametrize(
    ("first", "more"),
    [(HALF_HEAD, b""), (b"G", b""), (HALF_HEAD, b"x"), (b"GET / HTTP/1.1\r\n", b"a: b\r\n")],
    ids=["half a head", "one byte", "byte by byte", "line by line"],
)
@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "second"])
def test_a_slow_head_is_ended_at_its_own_limit(short: RunningServer, first: bytes, more: bytes, before: bytes) -> None:
    with Caller(short) as caller:
        if before:
            assert caller.ask(before).status == 200
        caller.connection.sendall(first)
        assert HEAD_SECONDS * 0.8 < seconds_until_closed(caller.connection, more) < HEAD_SECONDS + 3


@pytest.mark.row("HC-04")
def test_an_idle_kept_connection_may_wait_for_longer(short: RunningServer) -> None:
    with Caller(short) as caller:
        for _ in range(2):
            caller.check_in_step()
            time.sleep(2 * HEAD_SECONDS)
        caller.check_in_step()


@pytest.mark.row("HC-05")
def test_a_refused_body_in_chunks_does_not_cost_the_answer(locked: RunningServer) -> None:
    with Caller(locked) as caller:
        caller.connection.sendall(CHUNKED + b"3e8\r\n%b\r\n" % (b" " * 1000) * 50 + b"0\r\n\r\n")
        given = caller.answer()
        assert (given.status, given.headers.get("connection")) == (401, "close")
        assert caller.is_closed()


@pytest.mark.row("HC-06")
@pytest.mark.parametrize("cap", ["MAX_STREAMS", "MAX_STREAMS_PER_KEY"])
def test_where_nobody_leaves_a_call_is_refused_soon(upstream: FakeUpstream, upstream_url: str, cap: str) -> None:
    go_on, script = threading.Event(), answer("Hello there")
    upstream.script = [*script[:4], go_on, *script[4:]]
    settings = {**LOCKED, "LLM_BASE_URL": upstream_url, cap: "1", "IDLE_TIMEOUT": "60"}
    with running_server(settings) as server, server.connect() as speaking, Caller(server) as refused:
        speaking.sendall(post(CHAT, {**HELLO, "stream": True}, x_api_key=KEY))
        receive_until(speaking, b"Hello")
        at = time.monotonic()
        assert refused.ask(post(CHAT, HELLO, x_api_key=KEY)).status in (429, 503)
        assert time.monotonic() - at < MOST_WAIT
        go_on.set()
        receive_until(speaking, b"0\r\n\r\n")


CONNECTIONS = 100
MOST_OBJECTS = 15
"""Objects in cycles for one refused request: werkzeug's look-up of the route leaves 8."""
COUNT_CYCLES = """
import gc, gevent, signal
def count():
    print("in cycles:", gc.collect(), flush=True)
gc.disable()
gevent.signal_handler(signal.SIGURG, count)
"""


IN_CHUNKS = CHUNKED + b"1\r\nx\r\n" * 10 + b"0\r\n\r\n"


@pytest.fixture(scope="module")
def counting(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that collects no garbage but when it is told to, and prints how much it was."""
    argv = hooked(tmp_path_factory.mktemp("counting"), COUNT_CYCLES)
    with running_server({"LLM_BASE_URL": upstream_url, **LOCKED}, argv=argv) as running:
        yield running


def in_cycles(server: RunningServer) -> int:
    """Return how many objects only a collection of the worker finds now."""
    before = server.output().count("in cycles: ")
    os.kill(*server.worker_pids(), signal.SIGURG)
    wait_until(lambda: server.output().count("in cycles: ") > before)
    return int(server.output().rpartition("in cycles: ")[2].split()[0])


@pytest.mark.row("HC-09")
@pytest.mark.parametrize("request_bytes", [*REFUSED.values(), IN_CHUNKS], ids=[*REFUSED, "body in chunks"])
def test_refused_connections_leave_no_cycles_behind(counting: RunningServer, request_bytes: bytes) -> None:
    in_cycles(counting)
    for _ in range(CONNECTIONS):
        with Caller(counting) as caller:
            assert 400 <= caller.ask(request_bytes).status < 500
    wait_until(lambda: held_by(*counting.worker_pids()).fds < CONNECTIONS)
    assert in_cycles(counting) <= MOST_OBJECTS * CONNECTIONS
