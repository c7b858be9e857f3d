"""Browsers and their pages: origins, preflights, and headers that keep an answer from being executed."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, answer
from running_server import RunningServer, running_server

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
HELLO = json.dumps({"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"})
GOOD, ALSO = "https://a.example", "http://localhost:3000"
BAD = (
    "null",
    "https://a.example.evil",
    "https://evil-a.example",
    "http://a.example",
    "https://a.example:8443",
    "https://b.a.example",
    "https://aXexample",
    "https://a.example/",
    "https://a.example, https://evil.example",
    "*",
)
KEY = {"x-api-key": "door-0123456789"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = answer("Hello there")
        yield fake


@pytest.fixture(scope="module")
def usual(upstream: FakeUpstream) -> Iterator[RunningServer]:
    """Open to everybody, and no origin named."""
    with running_server({"LLM_BASE_URL": upstream.base_url}) as running:
        yield running


@pytest.fixture(scope="module")
def named(upstream: FakeUpstream) -> Iterator[RunningServer]:
    """Behind a key, and for the pages of two origins."""
    settings = {"CORS_ORIGINS": f"{GOOD}, {ALSO}", "API_KEYS": KEY["x-api-key"]}
    with running_server({"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "k", **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def one(upstream: FakeUpstream) -> Iterator[RunningServer]:
    """Open to everybody, and for the pages of one origin."""
    with running_server({"LLM_BASE_URL": upstream.base_url, "CORS_ORIGINS": GOOD}) as running:
        yield running


@pytest.fixture(scope="module")
def every(upstream: FakeUpstream) -> Iterator[RunningServer]:
    """Open to everybody, and for the pages of all."""
    with running_server({"LLM_BASE_URL": upstream.base_url, "CORS_ORIGINS": "*"}) as running:
        yield running


def answers(server: RunningServer, origin: str | None) -> Iterator[Mapping[str, str]]:
    """The headers of all kinds of answers: streams, JSON, errors, and what a browser asks beforehand."""
    headers = {**KEY, **({"origin": origin} if origin else {})}
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    for path in ENDPOINTS:
        url = server.url + path
        sent: dict[str, Any] = {"headers": {**headers, "content-type": "application/json"}, "timeout": 9}
        yield requests.post(url, data=HELLO, stream=True, **sent).headers
        yield requests.post(url, data="{", **sent).headers
        yield requests.get(url, **sent).headers
        yield requests.options(url, headers={**headers, **asks}, timeout=30).headers
    for path in ("/health", "/ready", "/models", "/metrics", "/openapi.json", "/nowhere"):
        yield requests.get(server.url + path, headers=headers, timeout=30).headers


def leave(headers: Mapping[str, str]) -> dict[str, str]:
    """What a browser is told of other origins."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("access-control-")}


@pytest.mark.row("BR-01")
@pytest.mark.parametrize("origin", [None, GOOD, "null"])
def test_by_default_no_web_page_is_allowed(usual: RunningServer, origin: str | None) -> None:
    assert [leave(headers) for headers in answers(usual, origin)] == [{}] * 18


@pytest.mark.row("BR-02")
@pytest.mark.parametrize("origin", [GOOD, ALSO])
def test_a_named_origin_is_allowed_without_credentials(named: RunningServer, origin: str) -> None:
    for headers in answers(named, origin):
        told = leave(headers)
        assert told["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in told
        assert headers["vary"] == "Origin"


@pytest.mark.row("BR-02")
def test_a_preflight_is_answered_without_a_key(named: RunningServer) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    for path in ENDPOINTS:
        told = requests.options(named.url + path, headers={"origin": GOOD, **asks}, timeout=30)
        assert told.status_code == 200
        assert "POST" in told.headers["access-control-allow-methods"]
        assert told.headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.row("BR-02")
@pytest.mark.parametrize("origin", [None, *BAD])
def test_no_other_origin_is_allowed_and_caches_are_told(named: RunningServer, one: RunningServer, origin: str) -> None:
    for server in (named, one):
        for headers in answers(server, origin):
            assert leave(headers) == {} and headers["vary"] == "Origin"


APPS = (
    *(
        "app://",
        "app://.",
        "app://obsidian.md",
        "chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh",
        "tauri://localhost",
    ),
    *(
        "moz-extension://0f1e2d3c-0000-4000-8000-0123456789ab",
        "safari-web-extension://0F1E2D3C",
        "capacitor://localhost",
    ),
    *(
        "ionic://localhost",
        "file://",
        "http://tauri.localhost",
        "http://[::1]:3000",
        "vscode-webview://1a2b",
        "app://My",
    ),
)
NOT_APPS = (
    *(
        "app://x",
        "app:",
        "APP://",
        "app:///",
        "chrome-extension://aaaabbbbccccddddeeeeffffgggghhhi",
        "tauri://localhost:1",
    ),
    *(
        "tauri://localhost.evil.example",
        "http://localhost",
        "https://tauri.localhost",
        "capacitor://localhost/",
        "null",
    ),
    *("file:///", "file:///etc/passwd", "http://[::1]:30000", "http://:3000", "http://1:3000", "app://my", "ionic://"),
)


@pytest.mark.row("RD-03")
def test_origins_of_apps_are_allowed_and_compared_exactly(upstream: FakeUpstream) -> None:
    settings = {"CORS_ORIGINS": ",".join(APPS)}
    with running_server({"LLM_BASE_URL": upstream.base_url, **settings}) as server:
        for origin in APPS:
            asked = requests.post(server.url + CHAT, data=HELLO, headers={"origin": origin}, timeout=30)
            assert (asked.status_code, leave(asked.headers)["access-control-allow-origin"]) == (200, origin)
        for origin in NOT_APPS:
            refused = requests.post(server.url + CHAT, data=HELLO, headers={"origin": origin}, timeout=30)
            assert (refused.status_code, leave(refused.headers)) == (403, {}), origin


@pytest.mark.row("RD-03")
@pytest.mark.parametrize("origin", APPS)
def test_a_refused_app_is_told_of_the_setting(usual: RunningServer, origin: str) -> None:
    refused = requests.post(usual.url + CHAT, data=HELLO, headers={"origin": origin}, timeout=30)
    assert refused.status_code == 403 and "see CORS_ORIGINS" in refused.json()["error"]["message"]


@pytest.mark.row("RD-03")
def test_a_page_without_an_origin_is_not_sent_to_the_setting(usual: RunningServer) -> None:
    refused = requests.post(usual.url + CHAT, data=HELLO, headers={"origin": "null"}, timeout=30)
    assert refused.status_code == 403 and "CORS_ORIGINS" not in refused.json()["error"]["message"]


@pytest.mark.row("BR-03")
@pytest.mark.parametrize("origin", [GOOD, "null", "https://evil.example"])
def test_all_origins_are_allowed_if_configured(every: RunningServer, origin: str) -> None:
    for headers in answers(every, origin):
        told = leave(headers)
        assert told["access-control-allow-origin"] == "*" and "access-control-allow-credentials" not in told
    assert requests.post(every.url + CHAT, data=HELLO, headers={"origin": origin}, timeout=30).status_code == 200


@pytest.mark.row("BR-03")
def test_allowing_all_origins_without_a_key_is_warned_of(
    every: RunningServer, one: RunningServer, upstream: FakeUpstream
) -> None:
    def warnings(server: RunningServer) -> list[str]:
        return [line for line in server.lines() if "open_to_every_page" in line]

    assert [json.loads(line)["level"] for line in warnings(every)] == ["warning"]
    assert warnings(one) == []
    settings = {"CORS_ORIGINS": "*", "API_KEYS": KEY["x-api-key"]}
    with running_server({"LLM_BASE_URL": upstream.base_url, **settings}) as locked:
        assert warnings(locked) == []


SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None)


@pytest.mark.row("BR-04")
@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_foreign_page_cannot_have_its_visitors_ask(
    usual: RunningServer, one: RunningServer, upstream: FakeUpstream, path: str, kind: str | None
) -> None:
    upstream.calls.clear()
    for server, origins in ((usual, (*BAD, GOOD)), (one, BAD)):
        for origin in origins:
            headers = {"origin": origin, **({"content-type": kind} if kind else {})}
            refused = requests.post(server.url + path, data=HELLO, headers=headers, timeout=30)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden_origin")
            assert refused.json()["error"]["type"] == "permission_error"
    assert upstream.calls == []


@pytest.mark.row("BR-04")
def test_own_pages_named_ones_and_other_clients_can_ask(usual: RunningServer, one: RunningServer) -> None:
    own = usual.url
    for server, origin in ((usual, own), (usual, None), (one, GOOD), (one, one.url)):
        headers = {"content-type": "text/plain", **({"origin": origin} if origin else {})}
        assert requests.post(server.url + CHAT, data=HELLO, headers=headers, timeout=30).status_code == 200


def rebound(server: RunningServer, name: str, scheme: str = "http") -> requests.Response:
    """What a page gets whose host name leads to this server since it was loaded."""
    headers = {"content-type": "text/plain", "host": name, "origin": f"{scheme}://{name}"}
    return requests.post(server.url + CHAT, data=HELLO, headers=headers, timeout=30)


@pytest.mark.row("BR-04")
def test_a_page_that_rebinds_its_name_cannot_ask(
    usual: RunningServer, one: RunningServer, upstream: FakeUpstream
) -> None:
    upstream.calls.clear()
    for server in (usual, one):
        for name in ("evil.example", f"evil.example:{server.port}", f"127.0.0.1.evil.example:{server.port}"):
            refused = rebound(server, name)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden_origin")
            assert "TRUSTED_HOSTS" in refused.json()["error"]["message"]
    assert upstream.calls == []


@pytest.mark.row("BR-04")
def test_a_host_name_that_the_operator_trusts_can_ask(upstream: FakeUpstream) -> None:
    trusted = {"LLM_BASE_URL": upstream.base_url, "TRUSTED_HOSTS": "Voice.example.com, other.example:8443"}

    with running_server(trusted) as server:
        assert rebound(server, "voice.example.com").status_code == 200
        assert rebound(server, f"localhost:{server.port}").status_code == 200
        assert rebound(server, "other.example:8443").status_code == 200
        assert rebound(server, "other.example").status_code == 403
        assert rebound(server, "evil.example").status_code == 403


ROUTES = ("/", "/ready", "/models", "/rag/models", "/metrics", "/openapi.json")
NAMES = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "")


def fetched(server: RunningServer, path: str, host: str, **headers: str) -> int:
    """Return the status of a GET for a host: by hand, because a library would not send an empty one."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    with server.connect() as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.row("PG-03")
@pytest.mark.parametrize("name", NAMES, ids=[*NAMES[:-1], "empty"])
def test_a_rebound_page_reads_no_route(usual: RunningServer, one: RunningServer, name: str) -> None:
    for server in (usual, one):
        host = f"{name}:{server.port}" if name else ""
        for path in ROUTES:
            assert fetched(server, path, host, **{"Sec-Fetch-Site": "same-origin"}) == 403, path
            assert fetched(server, path, host, Origin=f"http://{host}") == 403, path
        assert fetched(server, "/health", host, **{"Sec-Fetch-Site": "none"}) == 200
        # As of any path that is not there.
        assert fetched(server, "/nowhere", host, **{"Sec-Fetch-Site": "none"}) == 404
    assert fetched(one, "/models", f"{name}:{one.port}" if name else "", Origin=GOOD) == 200


@pytest.mark.row("PG-03")
def test_a_foreign_page_reads_no_route_at_the_right_host(usual: RunningServer) -> None:
    for origin in ("https://evil.example", "http://localhost.evil.example", "null"):
        assert {fetched(usual, path, f"127.0.0.1:{usual.port}", Origin=origin) for path in ROUTES} == {403}


@pytest.mark.row("PG-03")
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_rebound_page_without_an_origin_cannot_ask(usual: RunningServer, upstream: FakeUpstream, path: str) -> None:
    upstream.calls.clear()
    headers = {"host": "evil.example", "sec-fetch-site": "same-origin", "content-type": "text/plain"}
    refused = requests.post(usual.url + path, data=HELLO, headers=headers, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden_origin")
    assert upstream.calls == []


@pytest.mark.row("PG-03")
def test_browsers_at_loopback_names_and_other_clients_are_served(
    usual: RunningServer, every: RunningServer, named: RunningServer
) -> None:
    for host in ("localhost", "LocalHost:8000", "parley.localhost:1", "127.0.0.1", "[::1]:8000"):
        assert {fetched(usual, path, host, **{"Sec-Fetch-Site": "none"}) for path in ROUTES} == {200}
    # A platform behind a proxy on this machine, and a server that any page may call.
    assert {fetched(usual, path, "voice.example.com") for path in ROUTES} == {200}
    assert fetched(every, "/models", "voice.example.com", Origin="https://evil.example") == 200
    # With keys, they decide.
    assert fetched(named, "/ready", "voice.example.com", **{"Sec-Fetch-Site": "none"}) == 200


@pytest.mark.row("BR-05")
def test_every_answer_forbids_guessing_its_type(usual: RunningServer) -> None:
    for headers in answers(usual, None):
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["server"] == "gunicorn", "without its version"
        if headers["content-type"].startswith("text/event-stream"):
            assert headers["cache-control"] == "no-cache, no-transform"
            assert headers["x-accel-buffering"] == "no"


@pytest.mark.row("BR-06")
def test_the_playground_is_led_to_and_runs_nothing_foreign(usual: RunningServer) -> None:
    shown = requests.get(usual.url, headers={"accept": "text/html"}, timeout=30)
    policy = dict(part.split(" ", 1) for part in shown.headers["content-security-policy"].split("; "))
    assert shown.url == f"{usual.url}/playground"
    assert policy.pop("img-src") == "'self' data:" and set(policy.values()) == {"'none'", "'self'", "'script'"}
    assert {policy[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}


@pytest.mark.row("BR-06")
def test_nothing_that_a_browser_would_execute(usual: RunningServer) -> None:
    # Through a proxy, so that / is its own page and leads to no other.
    wanted = {"accept": "text/html", "x-request-id": "<script>alert(1)</script>", "via": "1.1 proxy"}
    evil = "<script>alert(1)</script>"
    for path in (f"/?x={evil}", f"/{evil}", f"/models?x={evil}", "/health", "/metrics", "/openapi.json", CHAT):
        for method in ("GET", "POST", "DELETE"):
            shown = requests.request(method, usual.url + path, headers=wanted, data=evil, timeout=30)
            is_page = method == "GET" and path.startswith("/?")
            kinds = ("text/html",) if is_page else ("application/json", "text/plain")
            assert shown.headers["content-type"].split(";")[0] in kinds
            assert evil not in str(shown.headers)
            if is_page:
                check_page(shown)


def check_page(shown: requests.Response) -> None:
    """Check that the one page there is can neither execute nor load anything, nor be framed."""
    policy = dict(part.split(" ", 1) for part in shown.headers["content-security-policy"].split("; "))
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<(script|style|link|img|iframe|form|object)|\son\w+=|javascript:", shown.text, re.IGNORECASE)


@pytest.mark.row("RD-02")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_answers_default_health_checks(usual: RunningServer, method: str) -> None:
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}, {"user-agent": "ELB-HealthChecker/2.0"}):
        shown = requests.request(method, f"{usual.url}/", headers=headers, timeout=30, allow_redirects=False)
        assert shown.status_code == 200 and bool(shown.content) == (method == "GET")
