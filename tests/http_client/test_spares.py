"""Spare connections: how many, that one is tried before the others, how long a failure waits, what is replaced."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import HANG, FakeUpstream, whole
from running_server import free_port
from unreachable import silent

from parley.http_client import spares
from parley.http_client.pool import ConnectionPool
from parley.http_client.spares import SpareConnections, number_for

Keep = Callable[..., SpareConnections]


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def keep(reports: list[str]) -> Iterator[Keep]:
    """Yield a function that keeps spare connections to a base URL in a greenlet, until the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(base_url: str, count: int = 3, paused: Callable[[], bool] = lambda: False) -> SpareConnections:
            pool = ConnectionPool(base_url, max_idle=10, connect_timeout=1, keeps_spares=True)
            kept = SpareConnections(pool, count, reports.append)
            greenlet = gevent.spawn(kept.keep, paused)
            stack.callback(pool.close)
            stack.callback(greenlet.kill)
            return kept

        yield start


def eventually(holds: Callable[[], object]) -> None:
    """Let greenlets run until it holds."""
    with gevent.Timeout(10):
        while not holds():
            gevent.sleep(0.005)


@contextlib.contextmanager
def closing_at_once() -> Iterator[tuple[str, list[float]]]:
    """Yield the base URL of a server that closes each connection, and the times at which it did."""
    closed: list[float] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                accepted.close()
                closed.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", closed
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.row("RE-01")
@pytest.mark.parametrize(
    ("base_url", "wanted", "number"),
    [
        ("https://api.example.com/v1", None, 8),
        ("HTTPS://api.example.com/v1", None, 8),
        ("http://127.0.0.1:8080/v1", None, 0),
        ("http://10.1.2.3/v1", 3, 3),
        ("https://api.example.com/v1", 0, 0),
        ("https://api.example.com/v1", 50, 50),
    ],
)
def test_the_number_is_the_operators_or_the_schemes(base_url: str, wanted: int | None, number: int) -> None:
    assert number_for(base_url, wanted) == number


@pytest.mark.slow
@pytest.mark.row("RE-02")
def test_one_is_opened_and_then_the_others(
    keep: Keep, upstream: FakeUpstream, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_at_proof: list[int] = []
    prove = SpareConnections.prove

    def proving(kept: SpareConnections) -> None:
        open_at_proof.append(len(kept._pool._idle))
        prove(kept)

    monkeypatch.setattr(SpareConnections, "prove", proving)
    kept = keep(upstream.base_url)
    eventually(lambda: upstream.connections == 3)
    assert (open_at_proof, kept.fault, reports) == ([1], "", [])


@pytest.mark.slow
@pytest.mark.row("RE-02")
def test_a_server_that_closes_at_once_sees_one_at_a_time(keep: Keep, reports: list[str]) -> None:
    with closing_at_once() as (base_url, closed):
        kept = keep(base_url)
        eventually(lambda: len(closed) == 2)
        assert closed[1] - closed[0] >= spares.FIRST_WAIT_SECONDS
    assert reports == [kept.fault] == ["the upstream closes connections before a request is sent"]


def reason_for(fault: str, certificates: Certificates, keep: Keep) -> str:
    """Return the reason that is reported for a way in which connections can't be opened."""
    with contextlib.ExitStack() as stack:
        if fault == "refused":
            base_url = f"http://127.0.0.1:{free_port()}"
        elif fault == "unknown host":
            base_url = "http://nowhere.invalid"
        elif fault == "silent behind TLS":
            base_url = f"https://127.0.0.1:{stack.enter_context(silent())}"
        else:
            server = FakeTlsUpstream(None if fault == "not TLS" else getattr(certificates, fault))
            base_url = stack.enter_context(server).base_url
        kept = keep(base_url)
        eventually(lambda: kept.fault)
        return kept.fault


@pytest.mark.slow
@pytest.mark.row("RE-02")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refused", "Connection refused"),
        ("unknown host", "the upstream can't be reached: "),
        ("silent behind TLS", "took too long"),
        ("self_signed", "self-signed certificate"),
        ("not TLS", "the TLS handshake with the upstream failed: "),
    ],
)
def test_a_failure_is_reported_with_its_reason(
    keep: Keep, certificates: Certificates, reports: list[str], fault: str, reason: str
) -> None:
    assert reason in reason_for(fault, certificates, keep) and len(reports) == 1 and reason in reports[0]


@pytest.mark.row("RE-02")
def test_a_proxys_refusal_is_reported(
    keep: Keep, upstream: FakeUpstream, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script = whole(b"", 407)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{upstream.port}")
    kept = keep("https://upstream.test/v1")
    eventually(lambda: kept.fault)
    assert [call.method for call in upstream.calls] == ["CONNECT"]
    assert reports == ["the proxy refused a tunnel to the upstream (status 407)"]


class Waits:
    """In place of the event: notes how long would be waited, and lets `rounds` of them pass at once."""

    def __init__(self, rounds: int, between: Callable[[], None] = lambda: None) -> None:
        self.seconds: list[float] = []
        self._rounds = rounds
        self._between = between

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._between()
        if len(self.seconds) == self._rounds:
            raise gevent.GreenletExit

    def clear(self) -> None:
        pass

    set = clear


@pytest.mark.row("RE-02")
def test_each_further_failure_waits_longer(upstream: FakeUpstream, reports: list[str]) -> None:
    upstream.stop()
    kept = SpareConnections(ConnectionPool(upstream.base_url, max_idle=9, connect_timeout=1), 8, reports.append)
    kept._wake = waits = Waits(11)  # type: ignore[assignment]
    gevent.spawn(kept.keep, lambda: False).join()
    assert waits.seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] and len(reports) == 1


@pytest.mark.slow
@pytest.mark.row("RE-02")
def test_an_upstream_that_closes_idle_ones_is_asked_less_often(upstream: FakeUpstream, reports: list[str]) -> None:
    def hang_up() -> None:
        upstream.wait_until(lambda: len(upstream.open_connections) == 2)
        upstream.hang_up()

    pool = ConnectionPool(upstream.base_url, max_idle=9, connect_timeout=1, keeps_spares=True)
    kept = SpareConnections(pool, 2, reports.append)
    kept._wake = waits = Waits(6, hang_up)  # type: ignore[assignment]
    gevent.spawn(kept.keep, lambda: False).join()
    assert waits.seconds == [20, 40, 80, 160, 300, 300] and reports == []


def interrupted(pool: ConnectionPool) -> None:
    """Ask, and give up before the answer's end, as for a caller who interrupts."""
    pool.request("POST", "/chat/completions", headers={}, body=b"{}", timeout=2).close()


@pytest.mark.slow
@pytest.mark.row("RE-02")
def test_a_spare_that_was_used_up_is_replaced_at_once(keep: Keep, upstream: FakeUpstream) -> None:
    kept = keep(upstream.base_url)
    eventually(lambda: upstream.connections == 3)
    upstream.script = [b"HTTP/1.1 200 OK\r\n\r\n", HANG]
    interrupted(kept._pool)
    eventually(lambda: upstream.connections == 4)
    assert upstream.calls[0].connection_number <= 3 and len(kept._pool._idle) == 3


@pytest.mark.slow
@pytest.mark.row("RE-02")
def test_an_answer_ends_the_wait_after_failures(keep: Keep, upstream: FakeUpstream) -> None:
    port = upstream.port
    upstream.stop()
    kept = keep(upstream.base_url)
    eventually(lambda: kept.fault)
    with FakeUpstream(port=port) as again:
        again.script = upstream.script
        kept._wake.clear()
        with contextlib.closing(kept._pool.request("GET", "/models", headers={}, timeout=2)) as response:
            response.read(2)
        eventually(lambda: len(kept._pool._idle) == 3)
    assert kept.fault == ""


def test_a_pause_opens_none(keep: Keep, upstream: FakeUpstream) -> None:
    looked: list[bool] = []

    def paused() -> bool:
        looked.append(True)
        return True

    keep(upstream.base_url, paused=paused)
    eventually(lambda: looked)
    assert upstream.connections == 0
