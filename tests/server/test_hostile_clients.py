"""Peers that flood, stall or trickle, and callers who ask for too much at once: nobody else's call is hurt.

Each attack runs beside callers who talk on, against the real server: every word of theirs must come, none after a
silence, and the worker must live. The bounds here are generous, for busy machines; `make promises` has sharp ones.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest
import strangers
from exchange import CHAT, CLOSED, HEALTH, Caller
from fake_upstream import FakeUpstream, answer
from hostile import BEHIND_REFUSALS, HALF_HEAD, LARGE, OTHERS, PIPELINING, SHAPES, SILENT
from hostile_rows import interrupt
from running_server import RunningServer, held_by, hooked, post, receive_until, running_server
from strangers import Beside
from talkers import KEY, serving
from waiting import wait_until

pytestmark = pytest.mark.server

LOCKED = {"API_KEYS": KEY}
HELLO = {"messages": [{"role": "user", "content": "Hello?"}], "waiting": "off"}
CHUNKED = b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
MOST_GAP = 0.5
MOST_WAIT = 1.5
"""Seconds for a health check or a new call beside strangers; an idle machine takes some milliseconds."""
REFUSALS = 10
"""Refused requests in a row, after which a connection is closed."""
HEAD_SECONDS = 0.5
FEW_PLACES = 20
"""MAX_STREAMS of a server that takes 2 * FEW_PLACES + 500 connections."""
MANY = 700
"""Connections: more than that."""
MOST_MIB = 400
SHORT_HEADS = f"from parley.server import connections; connections.HEAD_SECONDS = {HEAD_SECONDS}"


def attacked(kinds: Sequence[str], count: int, settings: Mapping[str, str] = LOCKED, seconds: float = 2.0) -> Beside:
    """Return what eight callers get beside so many strangers."""

    async def run() -> Beside:
        async with serving(settings) as (server, house):
            found = await strangers.beside(server, house, kinds, count, seconds, callers=8, words=40)
            assert "Traceback" not in await asyncio.to_thread(server.output)
            return found

    return asyncio.run(run())


def check_unhurt(found: Beside) -> None:
    """Every call was whole and flowed, health answered, and the worker is the one that it was."""
    assert (found.workers_lost, found.faults) == (0, [])
    assert found.calls > 8
    longest = {"gap": max(found.gaps), "health": max(found.health), "new call": max(found.new_calls)}
    assert longest["gap"] <= MOST_GAP and max(longest.values()) <= MOST_WAIT, longest


# --- requests sent ahead ---


@pytest.mark.parametrize("kind", PIPELINING)
def test_hc_01_requests_sent_ahead_hold_up_no_other_call(kind: str) -> None:
    found = attacked([kind], 20)

    check_unhurt(found)
    assert found.tally.answers > 100


def test_hc_01_one_connection_that_sends_ahead_holds_up_nobody() -> None:
    check_unhurt(attacked(["pipelined_health"], 1, seconds=3.0))


# --- connections whose requests are refused ---

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


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=list(REFUSED))
def test_hc_02_a_connection_is_closed_after_ten_refusals(locked: RunningServer, request_bytes: bytes) -> None:
    with Caller(locked) as caller:
        answers = [caller.ask(request_bytes) for _ in range(REFUSALS)]
        assert all(400 <= answer.status < 500 for answer in answers)
        assert [answer.headers.get("connection") == "close" for answer in answers] == [*[False] * 9, True]
        assert caller.is_closed()


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=list(REFUSED))
def test_hc_02_what_was_sent_ahead_of_the_tenth_refusal_is_not_read(
    locked: RunningServer, request_bytes: bytes
) -> None:
    with Caller(locked) as caller:
        caller.connection.sendall(request_bytes * 40)
        statuses = []
        while (given := caller.answer()) != CLOSED:
            statuses.append(given.status)
    assert len(statuses) == REFUSALS


def test_hc_02_a_call_between_refusals_keeps_the_connection(locked: RunningServer, upstream: FakeUpstream) -> None:
    with Caller(locked) as caller:
        for _ in range(REFUSALS // 2 + 1):
            assert caller.ask(REFUSED["no route"]).status == 404
            assert caller.ask(REFUSED["no key"]).status == 401
            assert caller.ask(GOOD).status == 200


def test_hc_02_who_shows_a_key_may_err_more_often(locked: RunningServer) -> None:
    with Caller(locked) as caller:
        for _ in range(2 * REFUSALS):
            assert caller.ask(post(CHAT, b"{", x_api_key=KEY)).status == 400


# --- silent connections ---


@pytest.mark.parametrize("kind", SILENT)
def test_hc_03_silent_connections_keep_nobody_out(kind: str) -> None:
    found = attacked([kind], MANY, {**LOCKED, "MAX_STREAMS": str(FEW_PLACES)}, seconds=3.0)

    check_unhurt(found)
    assert found.tally.connections >= MANY


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


@pytest.mark.parametrize("first", [b"", HALF_HEAD], ids=["nothing", "half a head"])
def test_hc_03_the_oldest_silent_connections_go_first_and_callers_last(
    upstream: FakeUpstream, upstream_url: str, first: bytes
) -> None:
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


def test_hc_03_a_conversation_is_never_closed_for_a_newcomer(upstream: FakeUpstream, upstream_url: str) -> None:
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


# --- slow heads ---


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


@pytest.mark.parametrize(
    ("first", "more"),
    [(HALF_HEAD, b""), (b"G", b""), (HALF_HEAD, b"x"), (b"GET / HTTP/1.1\r\n", b"a: b\r\n")],
    ids=["half a head", "one byte", "byte by byte", "line by line"],
)
@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "second"])
def test_hc_04_a_slow_head_is_ended_at_its_own_limit(
    short: RunningServer, first: bytes, more: bytes, before: bytes
) -> None:
    with Caller(short) as caller:
        if before:
            assert caller.ask(before).status == 200
        caller.connection.sendall(first)
        assert HEAD_SECONDS * 0.8 < seconds_until_closed(caller.connection, more) < HEAD_SECONDS + 3


def test_hc_04_an_idle_kept_connection_may_wait_for_longer(short: RunningServer) -> None:
    with Caller(short) as caller:
        for _ in range(2):
            caller.check_in_step()
            time.sleep(2 * HEAD_SECONDS)
        caller.check_in_step()


# --- work behind refusals ---


@pytest.mark.parametrize("kind", BEHIND_REFUSALS)
def test_hc_05_what_is_sent_behind_a_refusal_holds_up_no_call(kind: str) -> None:
    check_unhurt(attacked([kind], 20))


def test_hc_05_a_refused_body_in_chunks_does_not_cost_the_answer(locked: RunningServer) -> None:
    with Caller(locked) as caller:
        caller.connection.sendall(CHUNKED + b"3e8\r\n%b\r\n" % (b" " * 1000) * 50 + b"0\r\n\r\n")
        given = caller.answer()
        assert (given.status, given.headers.get("connection")) == (401, "close")
        assert caller.is_closed()


# --- barge-in where a single place is all there is ---


@pytest.mark.parametrize("cap", ["MAX_STREAMS", "MAX_STREAMS_PER_KEY"])
def test_hc_06_who_interrupts_and_asks_again_at_once_finds_a_place(cap: str) -> None:
    async def run() -> list[int]:
        async with serving({**LOCKED, cap: "1"}) as (server, house):
            return (await interrupt(server, house, 40))[0]

    assert asyncio.run(run()) == [200] * 40


@pytest.mark.parametrize("cap", ["MAX_STREAMS", "MAX_STREAMS_PER_KEY"])
def test_hc_06_where_nobody_leaves_a_call_is_refused_soon(upstream: FakeUpstream, upstream_url: str, cap: str) -> None:
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


# --- large bodies ---


@pytest.mark.parametrize("settings", [{}, LOCKED], ids=["accepted", "refused"])
@pytest.mark.parametrize("kind", LARGE)
def test_hc_07_large_bodies_take_little_memory_and_hold_up_no_call(kind: str, settings: Mapping[str, str]) -> None:
    found = attacked([kind], 12, settings, seconds=4.0)

    check_unhurt(found)
    assert found.rss_mib <= MOST_MIB


# --- the others, and all at once ---


@pytest.mark.parametrize("kind", OTHERS)
def test_hc_08_odd_connections_hold_up_no_call(kind: str) -> None:
    check_unhurt(attacked([kind], 20))


def test_hc_08_strangers_of_all_kinds_at_once_hold_up_no_call() -> None:
    check_unhurt(attacked(sorted(SHAPES), 3 * len(SHAPES), seconds=4.0))


# --- what they leave behind ---

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


@pytest.mark.parametrize("request_bytes", [*REFUSED.values(), IN_CHUNKS], ids=[*REFUSED, "body in chunks"])
def test_hc_09_refused_connections_leave_no_cycles_behind(counting: RunningServer, request_bytes: bytes) -> None:
    in_cycles(counting)
    for _ in range(CONNECTIONS):
        with Caller(counting) as caller:
            assert 400 <= caller.ask(request_bytes).status < 500
    wait_until(lambda: held_by(*counting.worker_pids()).fds < CONNECTIONS)
    assert in_cycles(counting) <= MOST_OBJECTS * CONNECTIONS
