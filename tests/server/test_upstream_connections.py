"""Upstreams that can't be reached, whose names or certificates are wrong, or whose connections close."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import (
    DONE,
    END,
    FakeUpstream,
    Step,
    answer,
    chunks,
    close,
    event,
    events,
    reset,
)
from heard import DIFFERENT, ask, ask_all, each, fallback_to, in_turn, rested, says
from running_server import RunningServer
from unreachable import black_hole

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
every_way = pytest.mark.parametrize("way", DIFFERENT)


@pytest.fixture(scope="module")
def silent_url() -> Iterator[str]:
    """A base URL that answers no SYN."""
    with black_hole() as port:
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", port), timeout=0.3)
        yield f"http://127.0.0.1:{port}/v1"


@pytest.mark.row("UP-07")
@every_way
def test_a_refused_connection_is_tried_twice_and_reported_soon(quick_servers: Servers, refusing: str, way: str) -> None:
    heard = ask(quick_servers(LLM_BASE_URL=refusing), way)
    heard.failed(502, "upstream_unreachable")
    assert heard.end["attempts"] == 2 and 50 <= heard.end["ms"] < 1000


@pytest.mark.row("UP-07")
@every_way
def test_a_refused_connection_goes_to_the_next_upstream(
    quick_servers: Servers, second: FakeUpstream, refusing: str, way: str
) -> None:
    second.script = says("From the second")
    heard = ask(quick_servers(LLM_BASE_URL=refusing, LLM_FALLBACKS=fallback_to(second)), way)
    heard.answered("From the second")
    assert heard.end["ms"] < 1000


@pytest.mark.row("UP-08")
def test_an_unanswered_connect_is_a_504_after_its_timeout(quick_servers: Servers, silent_url: str) -> None:
    for heard in ask_all(quick_servers(LLM_BASE_URL=silent_url, CONNECT_TIMEOUT="0.3"), DIFFERENT):
        heard.failed(504, "upstream_timeout")
        assert heard.end["attempts"] <= 3 and 300 <= heard.end["ms"] < 3000


@pytest.mark.row("UP-08")
def test_an_unanswered_connect_goes_to_the_next_upstream(
    quick_servers: Servers, second: FakeUpstream, silent_url: str
) -> None:
    server = quick_servers(LLM_BASE_URL=silent_url, CONNECT_TIMEOUT="0.3", LLM_FALLBACKS=fallback_to(second))
    second.script = says("From the second")
    for heard in ask_all(server, DIFFERENT):
        heard.answered("From the second")
        assert 300 <= heard.end["ms"] < 2000 and heard.end["attempts"] == 2


@pytest.mark.row("UP-09")
@every_way
def test_a_host_that_does_not_exist_is_unreachable(quick_servers: Servers, way: str) -> None:
    heard = ask(quick_servers(LLM_BASE_URL="http://nosuch.invalid/v1"), way)
    heard.failed(502, "upstream_unreachable")
    assert heard.end["ms"] < 3000


HANGING_RESOLVER = """
import _socket, socket, time
sleep, resolve = time.sleep, _socket.getaddrinfo
def getaddrinfo(host, *more, **named):
    if host in ("hangs.invalid", b"hangs.invalid"):
        sleep(10)
    return resolve(host, *more, **named)
_socket.getaddrinfo = socket.getaddrinfo = getaddrinfo
"""
"""Run as `sitecustomize`, before anything is patched: looking up this name blocks its thread for long."""


@pytest.fixture
def with_hanging_dns(
    request: pytest.FixtureRequest, second: FakeUpstream, quick_servers: Servers, tmp_path: Path
) -> RunningServer:
    """A server whose first upstream's name can't be resolved in ten seconds, and whose second is in good health."""
    (tmp_path / "sitecustomize.py").write_text(HANGING_RESOLVER)
    by_name = json.dumps([{"base_url": f"http://localhost:{second.port}/v1", "api_key": "k"}])
    settings = {"LLM_BASE_URL": "http://hangs.invalid/v1", "LLM_FALLBACKS": by_name}
    return quick_servers(alone=request.node.name, **settings, CONNECT_TIMEOUT="0.4", PYTHONPATH=str(tmp_path))


@pytest.mark.row("UP-09")
def test_hanging_dns_costs_the_connect_timeout_and_no_stream(
    with_hanging_dns: RunningServer, second: FakeUpstream
) -> None:
    ticks = [f"{number} " for number in range(60)]
    second.script = [*events(chunks("".join(ticks)), 0.02), event(DONE), END]
    with ThreadPoolExecutor(1) as pool:
        flowing = pool.submit(gaps_of_a_stream, with_hanging_dns)
        second.wait_for_calls(1)
        second.script = says("From the second")
        heard = ask(with_hanging_dns)
        heard.answered("From the second")
        assert heard.end["attempts"] == 2 and 400 <= heard.end["ms"] < 1500
        assert max(flowing.result()) < 0.3


@pytest.mark.row("RF-26")
@pytest.mark.parametrize("size", [10, 100_000])
def test_calls_of_any_size_wait_for_no_hanging_lookup(
    with_hanging_dns: RunningServer, second: FakeUpstream, size: int
) -> None:
    """The second upstream's name is looked up for the first time while a dozen lookups of the first one hang."""
    second.script = says("From the second")
    long = [{"role": "user", "content": "x" * size}]
    with ThreadPoolExecutor(12) as pool:
        for heard in pool.map(lambda _: ask(with_hanging_dns, messages=long), range(12)):
            heard.answered("From the second")
            assert heard.end["ms"] < 3000


def gaps_of_a_stream(server: RunningServer) -> list[float]:
    """Seconds between the pieces of a stream, as its caller gets them."""
    connection = server.connect()
    body = b'{"messages":[{"role":"user","content":"Go on"}],"stream":true}'
    connection.sendall(b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    times = []
    received = b""
    while b"data: [DONE]" not in received:
        received += connection.recv(65536)
        times.append(time.monotonic())
    connection.close()
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.row("UP-09")
def test_many_hanging_lookups_do_not_block_the_next_upstream(
    with_hanging_dns: RunningServer, second: FakeUpstream
) -> None:
    second.script = says("From the second")
    for heard in ask_all(with_hanging_dns, ["chat"] * 24):
        heard.answered("From the second")
        assert heard.end["attempts"] == 2 and heard.end["ms"] < 1500


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_upstream(certificates: Certificates) -> Iterator[FakeTlsUpstream]:
    with FakeTlsUpstream(certificates.good) as fake:
        yield fake


@pytest.fixture
def over_tls(
    quick_servers: Servers, second: FakeUpstream, tls_upstream: FakeTlsUpstream, certificates: Certificates
) -> RunningServer:
    """A server that trusts the authority, with no connection left that it could keep, and with another upstream."""
    tls_upstream.script, tls_upstream.certificate = says("Hello there"), certificates.good
    settings = {"LLM_BASE_URL": tls_upstream.base_url, "LLM_FALLBACKS": fallback_to(second)}
    settings["SPARE_CONNECTIONS"] = "0"
    server = quick_servers(**settings, SSL_CERT_FILE=str(certificates.authority))
    tls_upstream.hang_up()
    tls_upstream.calls.clear()
    return server


@pytest.mark.row("UP-10")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("self_signed", "self-signed"),
        ("expired", "expired"),
        ("wrong_host", "Hostname mismatch"),
        (None, "TLS handshake"),
    ],
)
@every_way
def test_a_tls_failure_is_reported_and_never_retried(
    over_tls: RunningServer,
    tls_upstream: FakeTlsUpstream,
    second: FakeUpstream,
    certificates: Certificates,
    our_key: str,
    fault: str | None,
    reason: str,
    way: str,
) -> None:
    tls_upstream.certificate = getattr(certificates, fault) if fault else None
    before = tls_upstream.connections
    heard = ask(over_tls, way)
    error = heard.failed(502, "upstream_tls_error")
    assert reason in error["message"] and our_key not in error["message"]
    assert (heard.end["attempts"], tls_upstream.connections - before, second.calls) == (1, 1, [])
    assert tls_upstream.calls == []  # no byte of a request, no key


@pytest.mark.row("UP-10")
def test_five_streams_over_tls_flow_at_once_and_are_reused(
    over_tls: RunningServer, tls_upstream: FakeTlsUpstream
) -> None:
    before = tls_upstream.connections
    for _ in range(2):
        all_here = threading.Event()
        *early, done, end = answer("Hello there")
        tls_upstream.script = [*early, all_here, done + end]  # type: ignore[operator]
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(ask, over_tls) for _ in range(5)]
            tls_upstream.wait_until(lambda: tls_upstream.open_calls == 5)
            all_here.set()
            for answered in asked:
                answered.result().answered("Hello there")
    assert tls_upstream.connections - before == 5 and len(tls_upstream.calls) == 10
    assert set(tls_upstream.server_names) == {"localhost"}


@pytest.mark.row("UP-10")
def test_a_kept_tls_connection_that_was_closed_is_replaced(
    over_tls: RunningServer, tls_upstream: FakeTlsUpstream
) -> None:
    for _ in range(3):
        tls_upstream.script = lambda call: [*says("Hello there")(call), close]
        heard = ask(over_tls)
        heard.answered("Hello there")
        assert heard.end["attempts"] == 1
        tls_upstream.wait_until(lambda: not tls_upstream.open_connections)


@pytest.mark.row("UP-10")
def test_a_certificate_of_an_untrusted_authority_is_refused(
    quick_servers: Servers, certificates: Certificates, tls_upstream: FakeTlsUpstream
) -> None:
    tls_upstream.certificate = certificates.good
    ask(quick_servers(LLM_BASE_URL=tls_upstream.base_url)).failed(502, "upstream_tls_error")


@pytest.mark.row("UP-11")
@pytest.mark.parametrize("cut", [close, reset])
def test_a_connection_closed_without_a_byte_is_replaced_at_once(
    single: RunningServer, first: FakeUpstream, cut: Step
) -> None:
    first.script = each(lambda: in_turn([cut], says("Hello there")))
    for heard in ask_all(single, DIFFERENT):
        heard.answered("Hello there")
        cut_off, answered = heard.calls(first)
        assert heard.end["attempts"] == 1 and cut_off.connection_number != answered.connection_number


@pytest.mark.row("UP-11")
def test_an_upstream_that_always_closes_is_unreachable(single: RunningServer, first: FakeUpstream) -> None:
    rested(single, first)
    first.script = [close]
    for heard in ask_all(single, DIFFERENT):
        heard.failed(502, "upstream_unreachable")
        assert heard.end["attempts"] == 2 and len(heard.calls(first)) == 4 and heard.end["ms"] < 1000


@pytest.mark.row("UP-11")
def test_many_stale_connections_cost_one_question_nothing(single: RunningServer, first: FakeUpstream) -> None:
    together = threading.Barrier(8)
    first.script = lambda call: (together.wait(5), *answer("Hello there")[:-2], event(DONE) + END, 0.05, close)[1:]
    assert [heard.status for heard in ask_all(single, ["chat"] * 8)] == [200] * 8
    assert all(call.finished.wait(2) for call in first.calls)
    first.script = says("Hello there")
    heard = ask(single)
    heard.answered("Hello there")
    assert heard.end["attempts"] == 1 and len(first.calls) == 9
