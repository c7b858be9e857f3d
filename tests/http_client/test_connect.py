"""The route to an upstream, TLS, deadlines, and the errors of connections that fail."""

import contextlib
import gc
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import FakeUpstream, whole
from running_server import ROOT, free_port
from tls_client import two_requests
from unreachable import black_hole, silent

from parley.errors import UpstreamTimeout, UpstreamTlsError, UpstreamUnreachable
from parley.http_client import dns
from parley.http_client.connect import Route, connect

TIMEOUT = 10.0


@pytest.mark.parametrize(
    ("base_url", "first_hop", "host_header", "target"),
    [
        ("https://api.openai.com/v1", ("api.openai.com", 443), "api.openai.com", "/v1/models"),
        ("http://localhost:8080", ("localhost", 8080), "localhost:8080", "/models"),
        ("http://a.example/", ("a.example", 80), "a.example", "/models"),
        ("http://a.example:443/x/y/", ("a.example", 443), "a.example:443", "/x/y/models"),
        ("https://a.example:443", ("a.example", 443), "a.example", "/models"),
        ("http://[::1]:8080/v1", ("::1", 8080), "[::1]:8080", "/v1/models"),
        ("http://a.example/x?api-version=7&b", ("a.example", 80), "a.example", "/x/models?api-version=7&b"),
        ("http://[2001:db8::1]", ("2001:db8::1", 80), "[2001:db8::1]", "/models"),
    ],
)
def test_a_base_url_is_a_route(base_url: str, first_hop: tuple[str, int], host_header: str, target: str) -> None:
    route = Route.to(base_url)
    assert (route.first_hop, route.host_header, route.target("/models")) == (first_hop, host_header, target)
    assert route.proxy_headers == {}


def test_connections_send_at_once_and_notice_dead_peers(upstream: FakeUpstream) -> None:
    with connect(Route.to(upstream.base_url), TIMEOUT) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


@pytest.mark.parametrize(
    "base_url",
    [
        f"http://127.0.0.1:{free_port()}",
        f"https://127.0.0.1:{free_port()}",
        "http://nosuch.invalid",
        f"http://{'a' * 64}.example",
        "http://a..example",
        "http://255.255.255.255",
    ],
    ids=["http", "https", "no such name", "a long name", "an empty label", "broadcast"],
)
def test_a_failed_connection_is_unreachable(base_url: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        connect(Route.to(base_url), TIMEOUT)


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "peer"), [("http", black_hole), ("https", black_hole), ("https", silent)])
def test_a_peer_that_does_not_answer_in_time_is_a_timeout(
    scheme: str, peer: Callable[[], contextlib.AbstractContextManager[int]]
) -> None:
    with peer() as port:
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout) as raised:
            connect(Route.to(f"{scheme}://127.0.0.1:{port}"), 0.05)
        assert raised.value.reason == "CONNECT_TIMEOUT of 0.05 s was reached"
        assert time.monotonic() - started < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("good", "self-signed certificate in certificate chain|unable to get local issuer"),
        ("self_signed", "self-signed"),
    ],
)
def test_an_untrusted_certificate_is_refused_with_the_reason(
    certificates: Certificates, certificate: str, reason: str
) -> None:
    with FakeTlsUpstream(getattr(certificates, certificate)) as fake:
        with pytest.raises(UpstreamTlsError, match=reason):
            connect(Route.to(fake.base_url), TIMEOUT)
        fake.wait_until(lambda: not fake.open_connections)
        assert fake.calls == []


def test_plain_http_on_a_tls_port_is_a_tls_error(upstream: FakeUpstream) -> None:
    with pytest.raises(UpstreamTlsError, match="handshake"):
        connect(Route.to(upstream.base_url.replace("http", "https")), TIMEOUT)


@pytest.mark.slow
def test_a_later_connection_resumes_the_tls_session(certificates: Certificates) -> None:
    with FakeTlsUpstream(certificates.good) as fake:
        fake.script = whole(b"hello", headers={"connection": "close"})
        two_requests(certificates.authority, fake.base_url)
        fake.script = whole(b"hello")
        assert two_requests(certificates.authority, fake.base_url, AGAIN="1") == "200 hello\n200 hello\n"
        assert fake.resumed == [False, False, False, True]


@pytest.mark.slow
def test_a_good_certificate_is_trusted_and_the_connection_kept(certificates: Certificates) -> None:
    with FakeTlsUpstream(certificates.good) as fake:
        fake.script = whole(b"hello")
        assert two_requests(certificates.authority, fake.base_url) == "200 hello\n200 hello\n"
        assert [call.connection_number for call in fake.calls] == [1, 1] and fake.server_names == ["localhost"]


@pytest.mark.slow
def test_without_file_descriptors_the_server_is_overloaded() -> None:
    code = (
        "import gevent, resource; gevent.sleep(0.001)\n"
        "from parley.errors import ServerOverloaded\n"
        "from parley.http_client.connect import Route, connect\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "try: connect(Route.to('http://127.0.0.1:9/v1'), 1)\n"
        "except ServerOverloaded as error: print(error.status, error.code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "503 server_overloaded\n", ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("another", [True, False])
def test_an_address_that_refuses_leaves_no_cycle(
    monkeypatch: pytest.MonkeyPatch, no_collections: None, another: bool
) -> None:
    gc.collect()  # of what earlier tests left
    with socket.create_server(("127.0.0.1", 0)) as listener:
        addresses = [(socket.AF_INET, ("127.0.0.1", free_port()))] * 2
        if another:
            addresses[1] = (socket.AF_INET, listener.getsockname())
        monkeypatch.setattr(dns, "addresses", lambda *_: addresses)
        if another:
            connect(Route.to("http://a.example"), TIMEOUT).close()
        else:
            with contextlib.suppress(UpstreamUnreachable):
                connect(Route.to("http://a.example"), TIMEOUT)
    assert gc.collect() == 0
