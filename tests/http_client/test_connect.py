"""The way to an upstream: addresses, proxies, TLS, and what its faults are called."""

import base64
import contextlib
import dataclasses
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import FakeUpstream, whole
from running_server import ROOT, free_port
from unreachable import black_hole

from parley.errors import UpstreamError, UpstreamTimeout, UpstreamTlsError, UpstreamUnreachable
from parley.http_client import dns
from parley.http_client.connect import Route, connect
from parley.http_client.pool import ConnectionPool
from parley.http_client.proxies import BadProxy

TIMEOUT = 2.0
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Proxy:
    """A proxy that leads every question to one port of the loopback, whatever host it names; it notes the heads."""

    def __init__(self, port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self._target = ("127.0.0.1", port)
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heads: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = client.recv(65536)
            self.heads.append(head.decode("latin-1"))
            if head.startswith(b"CONNECT"):
                client.sendall(self._answer)
                head = b""
            if b" 200 " not in self._answer[:13]:
                return
            with socket.create_connection(self._target) as upstream:
                upstream.sendall(head)
                back = threading.Thread(target=_pass_on, args=(upstream, client))
                back.start()
                _pass_on(client, upstream)
                back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65536):
            sink.sendall(received)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests are run with."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = whole(b"hello")
        yield fake


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


# --- routes ---


@pytest.mark.parametrize(
    ("base_url", "first_hop", "host_header", "target"),
    [
        ("https://api.openai.com/v1", ("api.openai.com", 443), "api.openai.com", "/v1/models"),
        ("http://localhost:8080", ("localhost", 8080), "localhost:8080", "/models"),
        ("http://a.example/", ("a.example", 80), "a.example", "/models"),
        ("http://a.example:443/x/y/", ("a.example", 443), "a.example:443", "/x/y/models"),
        ("https://a.example:443", ("a.example", 443), "a.example", "/models"),
        ("http://[::1]:8080/v1", ("::1", 8080), "[::1]:8080", "/v1/models"),
        ("http://[2001:db8::1]", ("2001:db8::1", 80), "[2001:db8::1]", "/models"),
    ],
)
def test_a_base_url_is_a_route(base_url: str, first_hop: tuple[str, int], host_header: str, target: str) -> None:
    route = Route.to(base_url)
    assert (route.first_hop, route.host_header, route.target("/models")) == (first_hop, host_header, target)
    assert route.proxy_headers() == {}


ONE, OTHER = ("proxy.example", 3128), ("other.example", 8080)
HTTP, HTTPS = {"HTTP_PROXY": "http://proxy.example:3128"}, {"HTTPS_PROXY": "http://proxy.example:3128"}


@pytest.mark.parametrize(
    ("variables", "base_url", "first_hop"),
    [
        (HTTP, "http://a.example", ONE),
        (HTTPS, "https://a.example", ONE),
        (HTTP, "https://a.example", ("a.example", 443)),
        (HTTPS, "http://a.example", ("a.example", 80)),
        ({"https_proxy": "http://proxy.example:3128"}, "https://a.example", ONE),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://a.example", ONE),
        ({"HTTPS_PROXY": "http://proxy.example"}, "https://a.example", ("proxy.example", 80)),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "https://a.example", ONE),
        ({**HTTPS, "ALL_PROXY": "http://other.example:8080"}, "https://a.example", ONE),
        ({**HTTP, "ALL_PROXY": "http://other.example:8080"}, "https://a.example", OTHER),
        ({**HTTPS, "NO_PROXY": "a.example"}, "https://a.example", ("a.example", 443)),
        ({**HTTPS, "NO_PROXY": "b.example, .example"}, "https://a.example", ("a.example", 443)),
        ({**HTTPS, "NO_PROXY": "*"}, "https://a.example", ("a.example", 443)),
        ({**HTTPS, "NO_PROXY": "b.example"}, "https://a.example", ONE),
        ({**HTTPS, "no_proxy": "a.example"}, "https://a.example", ("a.example", 443)),
    ],
)
def test_the_environment_says_through_which_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], base_url: str, first_hop: tuple[str, int]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Route.to(base_url).first_hop == first_hop


@pytest.mark.parametrize(
    "proxy",
    [
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "socks5h://proxy.example",
        "http://proxy.example:port",
        "http://proxy.example:99999",
        "http://proxy.example:0",
        "http://:3128",
        "http://[::1",
        "http://",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_another_kind_of_proxy_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)

    with pytest.raises(BadProxy, match=f"^{variable}: expected a proxy such as http://"):
        Route.to("https://a.example")
    assert Route.to("https://localhost").proxy is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_loopback_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str, host: str) -> None:
    for name in PROXY_VARIABLES[:3]:
        monkeypatch.setenv(name, "http://proxy.example:3128")
    assert Route.to(f"{scheme}://{host}:8080").proxy is None


# --- dialing ---


def test_a_connection_sends_at_once_and_probes_its_peer(upstream: FakeUpstream) -> None:
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
def test_what_can_not_be_reached_is_called_so(base_url: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        connect(Route.to(base_url), TIMEOUT)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("scheme", "place"), [("http", black_hole), ("https", black_hole), ("https", silent)])
def test_what_does_not_answer_in_time_is_a_timeout(
    scheme: str, place: Callable[[], contextlib.AbstractContextManager[int]]
) -> None:
    with place() as port:
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            connect(Route.to(f"{scheme}://127.0.0.1:{port}"), 0.05)
        assert time.monotonic() - started < 1


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


def test_plain_http_on_a_tls_port_is_a_fault_of_tls(upstream: FakeUpstream) -> None:
    with pytest.raises(UpstreamTlsError, match="handshake"):
        connect(Route.to(upstream.base_url.replace("http", "https")), TIMEOUT)


TRUSTING = """
import os, sys
from parley.http_client import dns
from parley.http_client.pool import ConnectionPool
connections = ConnectionPool(sys.argv[1], max_idle=1, connect_timeout=5)
for _ in range(2):
    answer = connections.request("POST", "/chat/completions", headers={"authorization": "Bearer sk-1"}, timeout=5)
    print(answer.status, answer.read(5).decode())
    answer.close()
    if "AGAIN" in os.environ:
        connections.close()
connections.close()
"""


def run_trusting(authority: Path, base_url: str, **variables: str) -> str:
    """What two questions print in a process that trusts the authority."""
    environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority), **variables}
    command = [sys.executable, "-W", "error", "-c", TRUSTING, base_url]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=20
    ).stdout


@pytest.mark.slow
def test_a_further_connection_resumes_an_earlier_tls_session(certificates: Certificates) -> None:
    with FakeTlsUpstream(certificates.good) as fake:
        fake.script = whole(b"hello", headers={"connection": "close"})
        run_trusting(certificates.authority, fake.base_url)
        fake.script = whole(b"hello")
        assert run_trusting(certificates.authority, fake.base_url, AGAIN="1") == "200 hello\n200 hello\n"
        assert fake.resumed == [False, False, False, True]


@pytest.mark.slow
def test_a_good_certificate_is_trusted_and_reused(certificates: Certificates) -> None:
    with FakeTlsUpstream(certificates.good) as fake:
        fake.script = whole(b"hello")
        assert run_trusting(certificates.authority, fake.base_url) == "200 hello\n200 hello\n"
        assert [call.connection_number for call in fake.calls] == [1, 1] and fake.server_names == ["localhost"]


# --- proxies ---


def through(port: int, base_url: str, user: str = "") -> Route:
    """The route to a base URL through the proxy on this port."""
    return dataclasses.replace(Route.to(base_url), proxy=urlsplit(f"http://{user}127.0.0.1:{port}"))


def test_plain_http_goes_to_the_proxy_with_its_url_and_our_name(
    monkeypatch: pytest.MonkeyPatch, upstream: FakeUpstream
) -> None:
    with Proxy(upstream.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://us%40er:p%3Ass@127.0.0.1:{proxy.port}")
        connections = ConnectionPool("http://upstream.test:8080/v1", max_idle=1, connect_timeout=TIMEOUT)
        answer = connections.request("GET", "/models", headers={}, timeout=TIMEOUT)
        answer.read(TIMEOUT)
        answer.close()
        connections.close()
    (head,) = proxy.heads
    request_line, *fields = head.split("\r\n")
    assert request_line == "GET http://upstream.test:8080/v1/models HTTP/1.1"
    assert "host: upstream.test:8080" in fields
    assert f"proxy-authorization: Basic {base64.b64encode(b'us@er:p:ss').decode()}" in fields


@pytest.mark.slow
@pytest.mark.parametrize("user", ["", "user:secret@"])
def test_https_is_tunnelled_and_only_the_proxy_sees_our_name(certificates: Certificates, user: str) -> None:
    with FakeTlsUpstream(certificates.good) as fake, Proxy(fake.port) as proxy:
        fake.script = whole(b"hello")
        printed = run_trusting(
            certificates.authority, "https://upstream.test/v1", HTTPS_PROXY=f"http://{user}127.0.0.1:{proxy.port}"
        )
    (head,) = proxy.heads
    lines = head.removesuffix("\r\n\r\n").split("\r\n")
    assert printed == "200 hello\n200 hello\n" and fake.server_names == ["upstream.test"]
    assert lines[:2] == ["CONNECT upstream.test:443 HTTP/1.1", "host: upstream.test:443"]
    basic = f"proxy-authorization: Basic {base64.b64encode(b'user:secret').decode()}"
    assert lines[2:] == ([basic] if user else [])
    for call in fake.calls:
        assert "proxy-authorization" not in call.headers and call.headers["host"] == "upstream.test"
        assert call.path == "/v1/chat/completions"


@pytest.mark.slow
def test_the_certificate_is_the_upstreams_not_the_proxys(certificates: Certificates) -> None:
    with FakeTlsUpstream(certificates.wrong_host) as fake, Proxy(fake.port) as proxy:
        with pytest.raises(subprocess.CalledProcessError) as raised:
            run_trusting(certificates.authority, "https://upstream.test", HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}")
        assert "UpstreamTlsError" in raised.value.stderr and "Hostname mismatch" in raised.value.stderr


@pytest.mark.parametrize("host", ["[2001:db8::1]", "upstream.test"])
def test_a_tunnel_is_asked_for_by_a_readable_address(host: str) -> None:
    with Proxy(1, b"HTTP/1.1 502 Bad Gateway\r\n\r\n") as proxy, pytest.raises(UpstreamUnreachable):
        connect(through(proxy.port, f"https://{host}/v1"), TIMEOUT)
    assert proxy.heads[0].startswith(f"CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\n")


REFUSALS = {
    "403": b"HTTP/1.1 403 Forbidden\r\n\r\n",
    "407": b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
    "a close": b"",
    "a close inside the head": b"HTTP/1.1 200 OK\r\n",
    "not HTTP": b"SSH-2.0\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
}


@pytest.mark.parametrize("answer", REFUSALS)
def test_without_a_tunnel_the_upstream_is_unreachable(answer: str) -> None:
    class Refusing(Proxy):
        def _serve(self, client: socket.socket) -> None:
            with contextlib.suppress(OSError), client:
                client.recv(65536)
                client.sendall(REFUSALS[answer])

    with Refusing(1) as proxy, pytest.raises(UpstreamError) as raised:
        connect(through(proxy.port, "https://upstream.test/v1", "user:secret@"), TIMEOUT)
    assert isinstance(raised.value, UpstreamUnreachable) and "secret" not in str(raised.value)


def test_a_proxy_that_says_nothing_is_a_timeout() -> None:
    with silent() as port, pytest.raises(UpstreamTimeout):
        connect(through(port, "https://upstream.test/v1"), 0.05)


@pytest.mark.slow
def test_without_a_file_left_the_server_is_full() -> None:
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


@pytest.mark.parametrize("another", [True, False])
def test_an_address_that_refuses_leaves_no_cycle(
    monkeypatch: pytest.MonkeyPatch, no_collections: None, another: bool
) -> None:
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
