"""Authentication: callers' keys on every route, and which key goes upstream."""

import hashlib
import hmac
import inspect
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from exchange import CHAT, RAG, ROUTES, Answer, Caller, check_error
from fake_upstream import FakeUpstream, refusal
from heard import fallback_to, says
from plain_http import HELLO, check_refusal, send, send_bytes
from running_server import RunningServer, post
from structlog.testing import capture_logs

from parley.admission import Keyring
from parley.server import banner
from parley.settings import Settings

pytestmark = pytest.mark.server

KEYS = ("door-key-one-0123456789", "door-key-two-0123456789")
NEVER_READ = b"{never read"
Header = tuple[str, bytes]
Servers = Callable[..., RunningServer]


@pytest.fixture
def locked(first: FakeUpstream, servers: Servers) -> RunningServer:
    """Return a server with two keys."""
    first.script = says("Hello there")
    return servers(API_KEYS=",".join(KEYS))


def request(path: str, body: bytes, *headers: Header, method: str = "POST") -> bytes:
    """A request with these very bytes as headers."""
    fields = [("host", b"parley"), ("content-length", str(len(body)).encode()), *headers]
    lines = [f"{method} {path} HTTP/1.1".encode(), *(name.encode() + b": " + value for name, value in fields)]
    return b"\r\n".join([*lines, b"", b""]) + body


def check_locked_out(server: RunningServer, upstream: FakeUpstream, *headers: Header) -> None:
    """Every route refuses, before it reads the body, and the connection serves on."""
    with Caller(server) as caller:
        for route in ROUTES:
            id = uuid.uuid4().hex
            answer = caller.ask(request(route, NEVER_READ, *headers, ("x-request-id", id.encode())))
            check_error(answer, 401, "invalid_api_key")
            assert answer.headers["www-authenticate"] == "Bearer"
            end = server.wait_for_end(id)
            assert (end["outcome"], end["code"], end["attempts"]) == ("refused", "invalid_api_key", 0)
        for path in ("/models", "/v1/models", "/metrics"):
            check_error(caller.ask(request(path, b"", *headers, method="GET")), 401, "invalid_api_key")
        caller.check_in_step()
    assert upstream.calls == []


def ask(server: RunningServer, path: str, *headers: Header) -> Answer:
    with Caller(server) as caller:
        return caller.ask(request(path, json.dumps(HELLO).encode(), *headers))


NO_KEY: list[list[Header]] = [
    [],
    [("authorization", b"")],
    [("authorization", b"Bearer")],
    [("authorization", b"Bearer   ")],
    [("authorization", b"Bearer wrong")],
    [("x-api-key", b"")],
    [("x-api-key", b"wrong"), ("authorization", b"Bearer wrong")],
    [("authorization", f"Bearer {KEYS[0]}x".encode())],
    [("authorization", f"Bearer {KEYS[0][:-1]}".encode())],
    [("authorization", f"Bearer {','.join(KEYS)}".encode())],
]


@pytest.mark.row("AU-01")
@pytest.mark.parametrize("headers", NO_KEY, ids=str)
def test_nobody_is_served_without_a_key(locked: RunningServer, first: FakeUpstream, headers: list[Header]) -> None:
    check_locked_out(locked, first, *headers)


@pytest.mark.row("AU-01")
def test_the_key_is_checked_before_the_body(locked: RunningServer) -> None:
    with Caller(locked) as caller:
        answer = caller.ask(post(CHAT, b"", content_length="1000"))
        check_error(answer, 401, "invalid_api_key")
    with Caller(locked) as caller:
        check_error(caller.ask(request(CHAT, b" " * 5_000_000, ("content-encoding", b"gzip"))), 401, "invalid_api_key")
        caller.check_in_step()


@pytest.mark.row("AU-02")
def test_every_key_is_compared_by_its_digest() -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return hmac.compare_digest(ours, theirs)

    keyring = Keyring(KEYS, compare)
    for presented, holder in ((KEYS[0], "key-1"), (KEYS[1], "key-2"), ("wrong", None)):
        compared.clear()
        assert keyring.holder([presented]) == holder
        digest = hashlib.sha256(presented.encode()).digest()
        assert compared == [(hashlib.sha256(key.encode()).digest(), digest) for key in KEYS]


@pytest.mark.row("AU-02")
def test_key_comparison_takes_constant_time() -> None:
    assert inspect.signature(Keyring).parameters["compare"].default is hmac.compare_digest


ODD: list[Header] = [
    ("authorization", "Bearer ключ".encode()),
    ("authorization", KEYS[0].encode() + b"\xe9"),
    ("authorization", b"Bearer " + KEYS[0].encode() + b"\xff"),
    ("authorization", b"Bearer " + b"x" * 8000),
    ("authorization", b"Bearer Bearer " + KEYS[0].encode()),
    ("authorization", b"Basic " + KEYS[0].encode()),
    ("authorization", b"Basic eDp5"),
    ("authorization", KEYS[0].encode()),
    ("authorization", b"Bearer\t" + KEYS[0].encode()),
    ("authorization", b'Bearer "' + KEYS[0].encode() + b'"'),
    ("authorization", b"Token token=" + KEYS[0].encode()),
    ("x-api-key", "ключ".encode()),
    ("x-api-key", b"Bearer " + KEYS[0].encode()),
    ("api-key", KEYS[0].encode()),
    ("cookie", b"api_key=" + KEYS[0].encode()),
]


@pytest.mark.row("AU-03")
@pytest.mark.parametrize("header", ODD, ids=lambda header: ascii(header)[:60])
def test_an_odd_key_is_a_wrong_key(locked: RunningServer, first: FakeUpstream, header: Header) -> None:
    check_locked_out(locked, first, header)


@pytest.mark.row("AU-03")
@pytest.mark.parametrize("value", [b"Bearer a\0b", b"Bearer a\x01b", b"Bearer a\rb", b"Bearer \x7f"])
def test_control_characters_in_a_key_are_refused(locked: RunningServer, first: FakeUpstream, value: bytes) -> None:
    for route in ROUTES:
        assert ask(locked, route, ("authorization", value)).status in (400, 401)
    assert first.calls == []


@pytest.mark.row("AU-03")
@pytest.mark.parametrize("name", ["api_key", "key", "token", "access_token", "authorization", "x-api-key"])
def test_a_key_in_the_query_is_ignored(locked: RunningServer, first: FakeUpstream, name: str) -> None:
    for route in ROUTES:
        check_error(ask(locked, f"{route}?{name}={KEYS[0]}"), 401, "invalid_api_key")
    assert first.calls == [] and KEYS[0] not in locked.output()


@pytest.mark.row("AU-03")
@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER   ", b"BeArEr "])
def test_the_scheme_has_no_case(locked: RunningServer, scheme: bytes) -> None:
    assert ask(locked, "/v1/chat/completions", ("authorization", scheme + KEYS[0].encode())).status == 200


HOSTILE = [
    "' OR 1=1--",
    "../../etc/passwd",
    "{0.__class__}",
    "%s%s%n",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "`id`",
    "*",
    "\\",
]


@pytest.mark.row("AU-04")
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_a_wrong_key_and_not_repeated(locked: RunningServer, first: FakeUpstream, text: str) -> None:
    for name in ("authorization", "x-api-key"):
        value = f"{'Bearer ' if name == 'authorization' else ''}{text}-au-04"
        check_locked_out(locked, first, (name, value.encode()))
    assert "-au-04" not in locked.output()


@pytest.mark.row("AU-05")
def test_an_open_server_warns_and_shows_it(single: RunningServer, locked: RunningServer, first: FakeUpstream) -> None:
    warnings = [json.loads(line) for line in single.lines() if '"open_to_everybody"' in line]
    assert len(warnings) == 1 and warnings[0]["level"] == "warning" and "API_KEYS" in json.dumps(warnings[0])
    assert "open_to_everybody" not in locked.output()
    with Caller(single) as caller:
        assert caller.ask(request("/readyz", b"", method="GET")).json["details"]["auth"] == "off"
        for wrong in (b"Bearer wrong", b"Basic eDp5", b""):
            caller.ask(request("/v1/chat/completions", json.dumps(HELLO).encode(), ("authorization", wrong)))
    assert len(first.wait_for_calls(3)) == 3


@pytest.mark.row("AU-05")
@pytest.mark.parametrize(
    ("addresses", "env", "level"),
    [
        (["http://0.0.0.0:5000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "error"),
        (["http://127.0.0.1:8000", "http://0.0.0.0:5000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "error"),
        (["http://[::]:5000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "error"),
        (["http://10.0.0.7:5000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "error"),
        (["http://[fd00::7]:5000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "error"),
        (["unix:/run/0.0.0.0.sock"], {"LLM_API_KEY": "sk-ours-0123456789"}, "warning"),
        (["http://127.8.9.10:5000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "warning"),
        (["http://0.0.0.0:5000"], {}, "warning"),
        (["http://127.0.0.1:8000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "warning"),
        (["http://[::1]:8000"], {"LLM_API_KEY": "sk-ours-0123456789"}, "warning"),
        (["http://0.0.0.0:5000"], {"LLM_API_KEY": "sk-ours-0123456789", "API_KEYS": KEYS[0]}, None),
    ],
)
def test_an_open_public_server_with_our_key_logs_an_error(
    addresses: list[str], env: dict[str, str], level: str | None
) -> None:
    with capture_logs() as logged:
        banner.announce(Settings.from_environ({**env, "LOG_FORMAT": "json"}), addresses)
    assert [line["log_level"] for line in logged if line["event"] == "open_to_everybody"] == ([level] if level else [])


CALLERS = b"sk-callers-own-0123456789"


@pytest.fixture
def passing(first: FakeUpstream, second: FakeUpstream, servers: Servers) -> RunningServer:
    """Return a server without a key for its first upstream, and with one for the second."""
    first.script = second.script = says("Hello there")
    # Alone, with every timeout of a deployment: failures in other tests, or a slow machine, would open its breaker.
    return servers(alone="keys", LLM_API_KEY="", LLM_FALLBACKS=fallback_to(second))


@pytest.mark.row("AU-06")
@pytest.mark.parametrize("route", [CHAT, RAG, "/v1/chat/completions"])
def test_a_callers_token_goes_to_the_first_upstream_alone(
    passing: RunningServer, first: FakeUpstream, second: FakeUpstream, route: str
) -> None:
    first.script = refusal(500, {"message": "not now"})
    assert ask(passing, route, ("authorization", b"Bearer " + CALLERS)).status == 200
    for upstream, key in ((first, CALLERS.decode()), (second, "sk-fallback-0123456789")):
        assert {call.headers["authorization"] for call in upstream.calls} == {f"Bearer {key}"}


@pytest.mark.row("AU-06")
@pytest.mark.parametrize("header", [("x-api-key", CALLERS), ("authorization", b"Basic " + CALLERS)], ids=str)
def test_only_a_bearer_token_is_passed_on(passing: RunningServer, first: FakeUpstream, header: Header) -> None:
    assert ask(passing, "/v1/chat/completions", header).status == 200
    (call,) = first.calls
    assert "authorization" not in call.headers and CALLERS.decode() not in str(call.headers)


@pytest.mark.row("AU-06")
def test_each_upstream_gets_our_key_for_it(
    servers: Servers, first: FakeUpstream, second: FakeUpstream, our_key: str
) -> None:
    pair = servers(alone="keys", LLM_FALLBACKS=fallback_to(second))
    second.script = says("Hello there")
    first.script = refusal(500, {"message": "not now"})
    assert ask(pair, "/v1/chat/completions", ("authorization", b"Bearer " + CALLERS)).status == 200
    assert {call.headers["authorization"] for call in first.calls} == {f"Bearer {our_key}"}
    assert {call.headers["authorization"] for call in second.calls} == {"Bearer sk-fallback-0123456789"}


@pytest.mark.row("AU-06")
@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_a_callers_key_for_this_server_never_goes_upstream(first: FakeUpstream, servers: Servers, name: str) -> None:
    first.script = says("Hello there")
    running = servers(API_KEYS=",".join(KEYS), LLM_API_KEY="")
    value = (b"Bearer " if name == "authorization" else b"") + KEYS[0].encode()
    for route in (CHAT, RAG, "/v1/chat/completions"):
        assert ask(running, route, (name, value)).status == 200
    assert len(first.calls) == 3
    for call in first.calls:
        assert "authorization" not in call.headers and KEYS[0] not in str(call.headers) + str(call.body)


@pytest.mark.row("AU-07")
@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_list_is_accepted(locked: RunningServer, first: FakeUpstream, key: str) -> None:
    for headers in (
        [("authorization", f"Bearer {key}".encode())],
        [("x-api-key", key.encode())],
        [("x-api-key", key.encode()), ("authorization", b"Bearer wrong")],
        [("x-api-key", b"wrong"), ("authorization", f"Bearer {key}".encode())],
    ):
        assert ask(locked, "/v1/chat/completions", *headers).status == 200
        with Caller(locked) as caller:
            assert caller.ask(request("/models", b"", *headers, method="GET")).status == 200


@pytest.mark.row("AU-08")
def test_a_stranger_sees_only_that_the_server_lives(locked: RunningServer) -> None:
    with Caller(locked) as caller:
        for path, body in (("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready"})):
            answer = caller.ask(request(path, b"", method="GET"))
            assert (answer.status, answer.json) == (200, body)
        check_error(caller.ask(request("/metrics", b"", method="GET")), 401, "invalid_api_key")


@pytest.mark.row("AU-08")
def test_no_page_shows_a_value_of_the_configuration(locked: RunningServer, first: FakeUpstream, our_key: str) -> None:
    secrets = [*KEYS, our_key, first.base_url, str(first.port)]
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/models", "/", "/docs", "/debug", "/.env"):
        with Caller(locked) as caller:
            answer = caller.ask(request(path, b"", ("x-api-key", KEYS[0].encode()), method="GET"))
        shown = answer.body.decode() + str(answer.headers)
        assert answer.status in (200, 404) and not [secret for secret in secrets if secret in shown]


DOOR = {"API_KEYS": "door-1,door-2"}


@pytest.fixture
def two_keys(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with two keys of its own."""
    return servers(**DOOR)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "door-1"},
        {"authorization": "Basic door-1"},
        {"authorization": "Bearer Bearer door-1"},
        {"authorization": "Bearer door-1,door-2"},
        {"authorization": "Bearer ' OR 1=1--"},
        {"authorization": "Bearer " + "x" * 8000},
        {"authorization": "Bearer \u043a\u043b\u044e\u0447".encode()},
        {"authorization": "Bearer door-1\u00e9".encode("latin-1")},
        {"x-api-key": ""},
        {"x-api-key": "door-1 door-2"},
        {"x-api-key": "\u043a\u043b\u044e\u0447".encode()},
    ],
)
def test_nobody_comes_in_without_a_key(two_keys: RunningServer, upstream: FakeUpstream, headers: Any) -> None:
    for path in ("/chat/completions", "/v1/rag/chat/completions", "/audio/chat/completions?api_key=door-1"):
        response = requests.post(f"{two_keys.url}{path}", data=b"{never read", headers=headers, timeout=20)
        check_refusal(response, 401, "invalid_api_key")
        assert response.headers["www-authenticate"] == "Bearer"
    check_refusal(requests.get(f"{two_keys.url}/v1/models", headers=headers, timeout=20), 401, "invalid_api_key")
    assert upstream.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer door-1"},
        {"authorization": "bearer door-2"},
        {"authorization": "BEARER   door-1  "},
        {"x-api-key": "door-2"},
        {"x-api-key": "door-1", "authorization": "Bearer wrong"},
    ],
)
def test_any_of_the_keys_opens(two_keys: RunningServer, headers: Any) -> None:
    assert send(two_keys, **headers).status_code == 200
    assert requests.get(f"{two_keys.url}/models", headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize("value", [b"Bearer a\0b", b"Bearer a\x01b", b"Bearer a\rb", b"\xff\xfe", b"Bearer\tdoor-1"])
def test_a_hostile_header_is_never_an_error_of_ours(two_keys: RunningServer, value: bytes) -> None:
    request = (
        b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nauthorization: " + value + b"\r\n\r\n{}"
    )
    answered, _ = send_bytes(two_keys, request)
    assert answered.status in (400, 401)


def test_an_open_door_is_warned_of(server: RunningServer, two_keys: RunningServer) -> None:
    assert "open_to_everybody" in server.output() and "open_to_everybody" not in two_keys.output()
    assert "MonkeyPatchWarning" not in server.output()
