"""Which proxy the environment names, and how an upstream is reached through it."""

import base64
import contextlib
import dataclasses
import socket
import subprocess
import threading
from typing import Self
from urllib.parse import urlsplit

import pytest
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import FakeUpstream, whole
from tls_client import two_requests
from unreachable import silent

from parley.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from parley.http_client.connect import Route, connect
from parley.http_client.pool import ConnectionPool
from parley.http_client.proxies import BadProxy

TIMEOUT = 10.0


class Proxy:
    """A proxy that connects every request with one port of the loopback, whatever host it names; it keeps the heads."""

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


# --- the environment ---


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
def test_the_environment_names_the_proxy(
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
        "http//proxy.example:3128",
        "http:/proxy.example:3128",
        "http://proxy.example:3128/path",
        "http://pro xy.example:3128",
        '"http://proxy.example:3128"',
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
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    assert Route.to(f"{scheme}://{host}:8080").proxy is None


# --- through a proxy ---


def through(port: int, base_url: str, user: str = "") -> Route:
    """Return the route to a base URL through the proxy on this port."""
    return dataclasses.replace(Route.to(base_url), proxy=urlsplit(f"http://{user}127.0.0.1:{port}"))


def test_plain_http_goes_to_the_proxy_with_its_absolute_url(
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
def test_https_is_tunnelled_and_hides_the_proxy_credentials(certificates: Certificates, user: str) -> None:
    with FakeTlsUpstream(certificates.good) as fake, Proxy(fake.port) as proxy:
        fake.script = whole(b"hello")
        printed = two_requests(
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
            two_requests(certificates.authority, "https://upstream.test", HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}")
        assert "UpstreamTlsError" in raised.value.stderr and "Hostname mismatch" in raised.value.stderr


@pytest.mark.parametrize("host", ["[2001:db8::1]", "upstream.test"])
def test_connect_names_the_upstream_with_its_port(host: str) -> None:
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


def test_a_silent_proxy_is_a_timeout() -> None:
    with silent() as port, pytest.raises(UpstreamTimeout):
        connect(through(port, "https://upstream.test/v1"), 0.05)
