"""Kept connections: the one that serves next, the replacement of a stale one, and the bytes of a request."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from early_upstream import MANNERS, EarlyUpstream
from fake_tls_upstream import Certificates
from fake_upstream import (
    DONE,
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    close,
    event,
    head,
    http_chunk,
    reset,
    whole,
)

from parley.errors import UpstreamBadResponse, UpstreamDisconnected, UpstreamTimeout, UpstreamUnreachable
from parley.http_client import connect as connect_module
from parley.http_client import pool as pool_module
from parley.http_client.pool import ConnectionPool
from parley.http_client.response import HttpResponse, NoResponse

TIMEOUT = 10.0
HELLO = whole(b"hello")


@pytest.fixture
def connect(upstream: FakeUpstream) -> Iterator[Callable[..., ConnectionPool]]:
    """Yield a factory of pools, which are closed after the test."""
    with contextlib.ExitStack() as stack:

        def made(max_idle: int = 10, base_url: str = upstream.base_url) -> ConnectionPool:
            pool = ConnectionPool(base_url, max_idle=max_idle, connect_timeout=TIMEOUT)
            stack.callback(pool.close)
            return pool

        yield made


@pytest.fixture
def pool(connect: Callable[..., ConnectionPool]) -> ConnectionPool:
    return connect()


def asked(pool: ConnectionPool, **more: object) -> HttpResponse:
    """Return a response whose head has arrived."""
    wanted = {"headers": {}, "body": b"{}", "timeout": TIMEOUT, **more}
    return pool.request("POST", "/chat/completions", **wanted)  # type: ignore[arg-type]


def ask(pool: ConnectionPool, **more: object) -> bytes:
    """Return the body of one exchange."""
    with contextlib.closing(asked(pool, **more)) as answer:
        return answer.read(TIMEOUT)


def numbers(upstream: FakeUpstream) -> list[int]:
    """Return the numbers of the connections on which the calls arrived."""
    return [call.connection_number for call in upstream.calls]


# --- requests ---


def test_a_request_is_sent_with_its_headers_and_body(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    headers = {"authorization": "Bearer sk-1", "accept": "text/event-stream", "x-latin": "\xe9"}
    with contextlib.closing(asked(pool, headers=headers, body=b'{"a":"\xc3\xa9"}')) as answer:
        assert (answer.status, answer.read(TIMEOUT)) == (200, b"hello")
    (call,) = upstream.calls
    assert (call.method, call.path, call.body) == ("POST", "/v1/chat/completions", b'{"a":"\xc3\xa9"}')
    assert call.headers == {
        **{"host": f"127.0.0.1:{upstream.port}", "user-agent": "parley", "accept-encoding": "identity"},
        **headers,
        "content-length": "10",
    }


def test_a_post_without_a_body_has_a_length_and_a_get_has_none(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.models_script = HELLO
    for method, path in (("POST", "/chat/completions"), ("GET", "/models")):
        pool.request(method, path, headers={}, timeout=TIMEOUT).close()
    assert [call.headers.get("content-length") for call in upstream.calls] == ["0", None]


def test_a_request_leaves_in_one_write(connect: Callable[..., ConnectionPool]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = connect(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        received = []

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                received.append(accepted.recv(65536))
                accepted.sendall(b"".join(HELLO))  # type: ignore[arg-type]

        serving = threading.Thread(target=serve)
        serving.start()
        assert ask(pool) == b"hello"
        serving.join()
    assert received[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n") and received[0].endswith(b"\r\n\r\n{}")


# --- the choice of the connection ---


def test_one_connection_serves_one_request_after_another(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    assert [ask(pool) for _ in range(5)] == [b"hello"] * 5 and numbers(upstream) == [1] * 5


def test_the_connection_used_last_serves_next(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    answers = [asked(pool) for _ in range(3)]
    for answer_ in answers:
        answer_.read(TIMEOUT)
    for number in (0, 2, 1):
        answers[number].close()
    again = [asked(pool) for _ in range(4)]
    assert numbers(upstream) == [1, 2, 3, 2, 3, 1, 4]
    for answer_ in again:
        answer_.close()


def test_at_most_max_idle_connections_are_kept(connect: Callable[..., ConnectionPool], upstream: FakeUpstream) -> None:
    pool = connect(max_idle=2)
    answers = [asked(pool) for _ in range(5)]
    for answer_ in answers:
        answer_.read(TIMEOUT)
        answer_.close()
    upstream.wait_until(lambda: len(upstream.open_connections) == 2)
    assert [ask(pool) for _ in range(2)] == [b"hello"] * 2 and numbers(upstream)[5:] == [2, 2]


def test_a_response_that_is_not_read_costs_its_connection(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.enqueue([head(), http_chunk(b"he"), HANG])
    asked(pool).close()
    assert upstream.calls[0].finished.wait(TIMEOUT) and upstream.calls[0].outcome == "peer_left"
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2]


def test_a_stream_read_to_its_end_frees_its_connection(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [*answer("Hello there")[:-2], event(DONE) + END]
    assert b"there" in ask(pool) and b"[DONE]" in ask(pool) and numbers(upstream) == [1, 1]


def test_a_connection_opened_ahead_serves_the_first_request(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    pool.open_ahead()
    upstream.wait_until(lambda: upstream.connections == 1)
    assert ask(pool) == b"hello" and upstream.connections == 1


def test_connections_that_the_upstream_closed_are_missing(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    assert pool.missing(2) == 2
    pool.open_ahead()
    assert pool.missing(2) == 1 and pool.missing(1) == 0
    upstream.wait_until(lambda: upstream.connections == 1)
    for open_connection in list(upstream.open_connections):
        open_connection.socket.shutdown(socket.SHUT_RDWR)
    upstream.wait_until(lambda: not upstream.open_connections)
    assert pool.missing(2) == 2


def test_no_more_are_missing_than_max_idle(upstream: FakeUpstream) -> None:
    assert ConnectionPool(upstream.base_url, max_idle=3, connect_timeout=5).missing(8) == 3


def test_close_closes_the_idle_connections(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    pool.open_ahead()
    pool.close()
    upstream.wait_until(lambda: not upstream.open_connections)


# --- stale connections ---


@pytest.mark.parametrize("cut", [close, reset])
def test_a_closed_connection_is_replaced_before_it_is_used(
    pool: ConnectionPool, upstream: FakeUpstream, cut: Step
) -> None:
    for _ in range(3):
        upstream.enqueue([*HELLO, cut])
        assert ask(pool) == b"hello" and upstream.calls[-1].finished.wait(TIMEOUT)
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2, 3, 4]


def test_all_stale_connections_are_skipped(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [*HELLO, close]
    answers = [asked(pool) for _ in range(4)]
    for answer_ in answers:
        answer_.read(TIMEOUT)
        answer_.close()
    assert all(call.finished.wait(TIMEOUT) for call in upstream.calls)
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("cut", [close, reset])
def test_a_kept_connection_that_closes_on_a_request_is_replaced(
    pool: ConnectionPool, upstream: FakeUpstream, cut: Step
) -> None:
    ask(pool)
    upstream.enqueue([cut])
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 1, 2]


@pytest.mark.parametrize("cut", [close, reset])
def test_a_fresh_connection_that_closes_is_replaced_too(
    pool: ConnectionPool, upstream: FakeUpstream, cut: Step
) -> None:
    upstream.enqueue([cut])
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2]


@pytest.mark.parametrize("kept", [True, False])
def test_a_connection_is_replaced_once_and_by_a_fresh_one(
    pool: ConnectionPool, upstream: FakeUpstream, kept: bool
) -> None:
    if kept:
        answers = [asked(pool) for _ in range(2)]
        for answer_ in answers:
            answer_.read(TIMEOUT)
            answer_.close()
    before = len(upstream.calls)
    upstream.script = [close]
    with pytest.raises(NoResponse) as raised:
        ask(pool)
    assert numbers(upstream)[before:] == ([2, 3] if kept else [1, 2])
    assert isinstance(raised.value, UpstreamUnreachable)


def test_a_body_that_breaks_off_is_not_requested_again(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [head(), http_chunk(b"he"), close]
    with pytest.raises(UpstreamDisconnected):
        ask(pool)
    upstream.wait_until(lambda: not upstream.open_connections)
    assert len(upstream.calls) == 1


def test_a_head_that_breaks_off_is_not_requested_again(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [b"HTTP/1.1 200 OK\r\n", close]
    with pytest.raises(UpstreamDisconnected):
        ask(pool)
    assert len(upstream.calls) == 1


# --- requests that are sent once ---


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("cut", [close, reset])
def test_a_request_with_an_effect_is_never_repeated(
    pool: ConnectionPool, upstream: FakeUpstream, cut: Step, kept: bool
) -> None:
    if kept:
        ask(pool)
    before = len(upstream.calls)
    upstream.enqueue([cut])
    with pytest.raises(NoResponse):
        asked(pool, again=False)
    assert len(upstream.calls) == before + 1


def test_silence_does_not_repeat_a_request_with_an_effect(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    upstream.enqueue([HANG])
    with pytest.raises(UpstreamTimeout):
        asked(pool, again=False, suspect_after=0.01, timeout=0.5)
    assert len(upstream.calls) == 2


def test_an_old_connection_serves_no_request_with_an_effect(
    pool: ConnectionPool, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(pool)
    ask(pool, again=False)
    assert numbers(upstream) == [1, 1]
    ask(pool)
    monkeypatch.setattr(pool_module, "SURE_IDLE_SECONDS", 0.0)
    ask(pool, again=False)
    assert numbers(upstream) == [1, 1, 1, 2]


# --- kept connections that died without a sign ---


def silent_on(numbers_: set[int]) -> Callable[[Call], list[Step]]:
    """Return a script that answers nothing on these connections, and on others at once."""
    return lambda call: [HANG] if call.connection_number in numbers_ else HELLO  # type: ignore[return-value]


def keep_four(pool: ConnectionPool) -> None:
    """Leave four idle connections, numbers 1 to 4, in the pool."""
    answers = [asked(pool) for _ in range(4)]
    for answer_ in answers:
        answer_.read(TIMEOUT)
        answer_.close()


@pytest.mark.row("RF-22")
def test_a_silent_kept_connection_is_replaced_beside(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    keep_four(pool)
    upstream.script = silent_on({1, 2, 3, 4})
    suspected: list[int] = []
    pool.on_suspicion = lambda: suspected.append(len(pool._idle))
    with contextlib.closing(asked(pool, suspect_after=0.3)) as answer_:
        assert answer_.read(TIMEOUT) == b"hello"
    assert numbers(upstream)[4:] == [4, 5] and suspected == [0]
    assert [ask(pool) for _ in range(3)] == [b"hello"] * 3 and numbers(upstream)[6:] == [5, 5, 5]
    upstream.wait_until(lambda: len(upstream.open_connections) == 1)


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_connections_that_die_again_and_again_cost_the_same(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    """What was waited for in vain is no measure of the upstream."""
    served: set[int] = set()
    upstream.script = lambda call: [HANG] if call.connection_number in served else HELLO
    for _ in range(4):
        with contextlib.closing(asked(pool, suspect_after=0.5)) as answer_:
            answer_.read(TIMEOUT)
        served.add(max(numbers(upstream)))
    assert numbers(upstream) == [1, 1, 2, 2, 3, 3, 4] and max(pool._slowest.values()) < 0.5


@pytest.mark.row("RF-22")
@pytest.mark.parametrize("fresh", [[HANG], [close], [b"SSH-2.0\r\n"], []], ids=["silent", "closing", "junk", "slow"])
def test_the_kept_connection_may_answer_after_all(
    pool: ConnectionPool, upstream: FakeUpstream, fresh: list[Step]
) -> None:
    ask(pool)
    upstream.enqueue([1.5, *HELLO])
    upstream.script = fresh or [2.5, *whole(b"late")]
    with contextlib.closing(asked(pool, suspect_after=0.3)) as answer_:
        assert answer_.read(TIMEOUT) == b"hello"
    gevent.sleep(0.05)
    assert numbers(upstream)[:2] == [1, 1] and set(numbers(upstream)[2:]) >= {2}
    assert all(call.finished.wait(TIMEOUT) for call in upstream.calls)
    upstream.wait_until(lambda: len(upstream.open_connections) <= 1)


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_without_leave_nothing_is_sent_twice(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    pool.may_repeat = lambda: False
    upstream.script = [0.7, *HELLO]
    with contextlib.closing(asked(pool, suspect_after=0.3)) as answer_:
        assert answer_.read(TIMEOUT) == b"hello"
    assert numbers(upstream) == [1, 1]


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_an_upstream_that_is_always_slow_is_not_suspected(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [0.5, *HELLO]
    for _ in range(3):
        with contextlib.closing(asked(pool, suspect_after=0.3)) as answer_:
            answer_.read(TIMEOUT)
    assert numbers(upstream) == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_an_answer_that_has_begun_is_not_suspected(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    upstream.script = [b"HTTP/1.1 200 OK\r\n", 0.8, b"content-length: 2\r\n\r\nhi"]
    with contextlib.closing(asked(pool, suspect_after=0.3)) as answer_:
        assert answer_.read(TIMEOUT) == b"hi"
    assert numbers(upstream) == [1, 1]


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_an_interruption_ends_both_requests(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    upstream.script = [HANG]
    with gevent.Timeout(1.5, False):
        asked(pool, suspect_after=0.3)
    gevent.sleep(0.05)
    assert numbers(upstream) == [1, 1, 2]
    upstream.wait_until(lambda: not upstream.open_connections)


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_both_silent_is_a_timeout(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    upstream.script = [HANG]
    with pytest.raises(UpstreamTimeout):
        asked(pool, timeout=0.8, suspect_after=0.3)
    upstream.wait_until(lambda: not upstream.open_connections)


@pytest.mark.slow
@pytest.mark.row("RF-22")
def test_half_a_request_that_is_not_read_goes_elsewhere(connect: Callable[..., ConnectionPool]) -> None:
    body = b"x" * (16 << 20)
    received = []

    def serve() -> None:
        first, _ = listener.accept()
        first.recv(1 << 16)
        first.sendall(b"".join(HELLO))  # type: ignore[arg-type]
        second, _ = listener.accept()
        with first, second:
            size = 0
            while size < len(body):
                size += len(second.recv(1 << 20))
            second.sendall(b"".join(HELLO))  # type: ignore[arg-type]
            received.append(size)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = connect(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        serving = threading.Thread(target=serve)
        serving.start()
        assert ask(pool) == b"hello"
        with contextlib.closing(asked(pool, body=body, suspect_after=0.3, timeout=9)) as answer_:
            assert answer_.read(TIMEOUT) == b"hello"
        serving.join()
    assert received[0] > len(body)


@pytest.mark.row("RF-22")
@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 1_900_000])
def test_packets_that_vanish_cost_a_second_and_no_second_request(size: int) -> None:
    script = Path(__file__).parents[1] / "support" / "vanishing_packets.py"
    command = ["unshare", "-rn", sys.executable, str(script), str(size)]
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode or not shutil.which("ip"):
        pytest.skip("no network namespace of its own may be made here")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert max(seen["took"]) < 4 and seen["next"] < 0.5 and seen["requests"] == 4 + 4 + 1


# --- upstreams with few threads ---


@pytest.mark.slow
@pytest.mark.row("RE-01")
def test_an_idle_plain_connection_is_closed_after_a_moment(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    with gevent.Timeout(10):
        while upstream.open_connections:
            gevent.sleep(0.02)
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2]


@pytest.mark.slow
@pytest.mark.row("RE-01")
def test_a_request_that_waits_for_a_thread_gets_one(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    """An upstream of one thread serves the second connection when the first is closed."""
    free = threading.Event()

    def one_thread(call: Call) -> list[Step]:
        return [0.1, *HELLO] if call.connection_number == 1 else [free, *HELLO]

    upstream.script = one_thread
    first = asked(pool)
    second = gevent.spawn(ask, pool)
    with gevent.Timeout(10):
        while not pool._late:
            gevent.sleep(0.01)
        assert first.read(TIMEOUT) == b"hello"
        first.close()
        while len(upstream.open_connections) != 1:
            gevent.sleep(0.01)
    free.set()
    assert second.get() == b"hello" and numbers(upstream) == [1, 2]


def test_silence_is_a_timeout_and_not_requested_again(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [HANG]
    with pytest.raises(UpstreamTimeout):
        asked(pool, timeout=0.02)
    assert len(upstream.calls) == 1 and upstream.calls[0].finished.wait(TIMEOUT)
    assert upstream.calls[0].outcome == "peer_left"


def test_a_connection_with_unasked_bytes_is_not_used(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    unasked = threading.Event()

    def speaking(_call: Call) -> list[Step]:
        return [*HELLO, unasked, *HELLO]

    upstream.enqueue(speaking)
    ask(pool)
    unasked.set()
    assert upstream.calls[0].finished.wait(TIMEOUT)
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2]


def test_a_second_response_behind_the_first_is_dropped(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    forged = whole(b"forged", 500)
    upstream.enqueue([b"".join([*HELLO, *forged])])  # type: ignore[list-item]
    with contextlib.closing(asked(pool)) as answer_:
        assert (answer_.status, answer_.read(TIMEOUT)) == (200, b"hello")
    assert ask(pool) == b"hello" and numbers(upstream) == [1, 2]


# --- failures ---


def test_a_refused_connection_is_unreachable(connect: Callable[..., ConnectionPool], upstream: FakeUpstream) -> None:
    upstream.stop()
    with pytest.raises(UpstreamUnreachable):
        ask(connect())


def test_a_refused_replacement_is_unreachable(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    ask(pool)
    upstream.stop()
    with pytest.raises(UpstreamUnreachable):
        ask(pool)


def test_an_upstream_that_reads_no_request_is_unreachable(connect: Callable[..., ConnectionPool]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = connect(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UpstreamUnreachable):
            asked(pool, body=b"x" * (32 << 20), timeout=0.05)


def test_anything_but_http_is_a_bad_response_and_closes(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    upstream.script = [b"SSH-2.0-OpenSSH_9.9\r\n", HANG]
    with pytest.raises(UpstreamBadResponse):
        ask(pool)
    assert upstream.calls[0].finished.wait(TIMEOUT) and len(upstream.calls) == 1


def test_a_closed_pool_keeps_no_connection(pool: ConnectionPool, upstream: FakeUpstream) -> None:
    response = pool.request("GET", "/models", headers={}, timeout=TIMEOUT)
    pool.close()
    while response.receive(TIMEOUT):
        pass
    response.close()

    assert not pool._idle
    upstream.wait_until(lambda: not upstream.open_connections)


# --- answers that come before the request has left ---

UNTIL_CLOSE = [head(413, {"content-type": "application/json"}), b"{}"]
IN_CHUNKS = [head(413), http_chunk(b"{}"), END]
HALF = [head(413, {"content-length": "9"}), b"{}"]


@pytest.mark.row("RF-25")
@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("size", [100_000, 1_900_000, 8_000_000])
@pytest.mark.parametrize(
    "answer", [whole(b"{}", 413), UNTIL_CLOSE, IN_CHUNKS, HALF], ids=["length", "close", "chunks", "half"]
)
def test_an_early_answer_is_read_after_one_upload(
    connect: Callable[..., ConnectionPool], manner: str, size: int, answer: list[bytes]
) -> None:
    if manner == "deaf" and answer in (UNTIL_CLOSE, HALF):
        pytest.skip("such an answer has no end")
    with EarlyUpstream(answer, manner) as early:
        pool = connect(base_url=early.base_url)
        with contextlib.closing(asked(pool, body=b"x" * size)) as response:
            assert (response.status, response.read(TIMEOUT)) == (413, b"{}")
        assert early.uploads == 1


@pytest.mark.slow
@pytest.mark.row("RF-25")
@pytest.mark.parametrize("manner", MANNERS)
def test_an_early_answer_is_read_over_tls(
    connect: Callable[..., ConnectionPool], certificates: Certificates, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    trusting = ssl.create_default_context(cafile=certificates.authority)
    monkeypatch.setattr(connect_module, "_tls_context", lambda: trusting)
    with EarlyUpstream(whole(b"{}", 413), manner, certificate=certificates.good) as early:
        pool = connect(base_url=early.base_url)
        for size in (100_000, 1_900_000, 8_000_000):
            with contextlib.closing(asked(pool, body=b"x" * size)) as response:
                assert (response.status, response.read(TIMEOUT)) == (413, b"{}")
        assert early.uploads == 3


@pytest.mark.row("RF-25")
def test_an_upstream_that_takes_no_more_and_says_nothing_is_gone(connect: Callable[..., ConnectionPool]) -> None:
    with EarlyUpstream([], "reset") as early, pytest.raises(NoResponse):
        asked(connect(base_url=early.base_url), body=b"x" * 8_000_000)
    assert early.uploads == 2


@pytest.mark.row("RF-25")
def test_a_connection_of_a_request_cut_short_is_not_kept(connect: Callable[..., ConnectionPool]) -> None:
    with EarlyUpstream(whole(b"{}", 413), "deaf") as early:
        pool = connect(base_url=early.base_url)
        for _ in range(2):
            with contextlib.closing(asked(pool, body=b"x" * 8_000_000)) as response:
                response.read(TIMEOUT)
        assert early.uploads == 2


@pytest.mark.row("RF-25")
def test_an_interim_response_does_not_end_an_upload(connect: Callable[..., ConnectionPool]) -> None:
    body = b"x" * 8_000_000
    received = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(head(100, {}))
            size = 0
            while size < len(body):
                size += len(connection.recv(1 << 20))
            received.append(size)
            connection.sendall(b"".join(HELLO))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        pool = connect(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        with contextlib.closing(asked(pool, body=body)) as response:
            assert response.read(TIMEOUT) == b"hello"
        serving.join()
    assert received[0] >= len(body)
