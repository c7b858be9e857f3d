"""What surrounds an answer on the real server: routes, keys, ids, bodies, the start."""

import gzip
import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, completion, whole
from running_server import RunningServer, post
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

HELLO = {"messages": [{"role": "user", "content": "Hello?"}]}
DOOR = {"API_KEYS": "door-1,door-2"}
SMALL = {"MAX_STREAMS": "1", "MAX_BODY": "4096"}
BARE = ["", "/rag", "/audio"]
V1 = ["/v1", "/rag/v1", "/v1/rag", "/audio/v1", "/v1/audio"]


@pytest.fixture
def small(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with one place, for small bodies."""
    return servers(**SMALL)


@pytest.fixture
def locked(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with two keys of its own."""
    return servers(**DOOR)


def ask(server: RunningServer, body: Any = HELLO, path: str = "/chat/completions", **headers: str) -> requests.Response:
    data = body if isinstance(body, bytes) or not isinstance(body, dict) else json.dumps(body)
    return requests.post(f"{server.url}{path}", data=data, headers=headers, timeout=20)


def raw(server: RunningServer, request: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to these very bytes."""
    with server.connect() as connection:
        connection.sendall(request)
        answered = http.client.HTTPResponse(connection)
        answered.begin()
        return answered, answered.read()


def check_refusal(response: requests.Response, status: int, code: str, param: str | None = None) -> str:
    """It is this status with the error object in both forms; gives the message."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    body = response.json()
    error = body.pop("error")
    message = error.pop("message")
    kind = {401: "authentication_error", 503: "server_error"}.get(status, "invalid_request_error")
    assert (error, body) == ({"type": kind, "param": param, "code": code}, {"detail": message})
    assert response.headers["x-request-id"] and response.headers["x-content-type-options"] == "nosniff"
    return str(message)


# --- routes ---


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", BARE)
def test_bare_routes_stream_with_and_without_a_slash(small: RunningServer, prefix: str, slash: str) -> None:
    with requests.post(f"{small.url}{prefix}/chat/completions{slash}", json=HELLO, stream=True, timeout=20) as response:
        first = next(response.iter_lines())
        assert response.status_code == 200 and first.startswith(b'data: {"id":')
    small.wait_for_end(response.headers["x-request-id"])


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", V1)
def test_v1_routes_answer_json_with_and_without_a_slash(
    small: RunningServer, upstream: FakeUpstream, prefix: str, slash: str
) -> None:
    upstream.script = completion("Hello there")
    response = ask(small, path=f"{prefix}/chat/completions{slash}")
    assert (response.status_code, response.json()["object"]) == (200, "chat.completion")


@pytest.mark.parametrize("path", [f"{prefix}/models{slash}" for prefix in BARE + V1 for slash in ("", "/")])
def test_models_answer_on_every_route(server: RunningServer, path: str) -> None:
    response = requests.get(f"{server.url}{path}", timeout=20)
    listed = response.json()
    assert (response.status_code, listed["object"]) == (200, "list")
    assert [model["id"] for model in listed["data"]] == ["gpt-4o-mini", "fake-model"]
    assert all(model["object"] == "model" for model in listed["data"])


def test_models_answer_also_where_the_upstream_lists_none(upstream: FakeUpstream, servers: Servers) -> None:
    upstream.models_script = whole(b"<html>", 500)
    listed = requests.get(f"{servers(LLM_MODEL='own').url}/v1/models", timeout=20).json()["data"]
    assert [model["id"] for model in listed] == ["own"]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ready", "/readyz", "/health/", "/ready/"])
def test_health_and_readiness_are_open_to_all(locked: RunningServer, path: str) -> None:
    wait_until(lambda: requests.get(f"{locked.url}{path}", timeout=20).status_code == 200)
    assert requests.get(f"{locked.url}{path}", timeout=20).json() == {"status": "ready" if "ready" in path else "ok"}


def test_readiness_shows_details_to_those_with_a_key(locked: RunningServer, server: RunningServer) -> None:
    told = requests.get(f"{locked.url}/ready", headers={"x-api-key": "door-2"}, timeout=20).json()
    details = {"model": "gpt-4o-mini", "auth": "on", "streams": 0, "upstreams": {"primary": "closed"}, "kb": "ok"}
    assert told == {"status": "ready", "details": details}
    assert requests.get(f"{server.url}/ready", timeout=20).json()["details"]["auth"] == "off"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
@pytest.mark.parametrize("path", ["/chat/completions", "/v1/rag/chat/completions", "/audio/chat/completions/"])
def test_another_method_is_not_allowed(server: RunningServer, method: str, path: str) -> None:
    response = requests.request(method, f"{server.url}{path}", timeout=20)
    assert response.status_code == 405 and set(response.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
    if method != "HEAD":
        assert method in check_refusal(response, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/", "/v2/chat/completions", "/chat//completions", "/chat/completions/x", "/%00", "/\u00e9"]
)
def test_another_path_is_not_found(server: RunningServer, path: str) -> None:
    assert "no route" in check_refusal(ask(server, path=path), 404, "not_found")


def test_options_names_the_methods(server: RunningServer) -> None:
    response = requests.options(f"{server.url}/chat/completions", timeout=20)
    assert response.status_code == 200 and response.headers["allow"] and response.content == b""
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]


# --- keys ---


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
def test_nobody_comes_in_without_a_key(locked: RunningServer, upstream: FakeUpstream, headers: Any) -> None:
    for path in ("/chat/completions", "/v1/rag/chat/completions", "/audio/chat/completions?api_key=door-1"):
        response = requests.post(f"{locked.url}{path}", data=b"{never read", headers=headers, timeout=20)
        check_refusal(response, 401, "invalid_api_key")
        assert response.headers["www-authenticate"] == "Bearer"
    check_refusal(requests.get(f"{locked.url}/v1/models", headers=headers, timeout=20), 401, "invalid_api_key")
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
def test_any_of_the_keys_opens(locked: RunningServer, headers: Any) -> None:
    assert ask(locked, **headers).status_code == 200
    assert requests.get(f"{locked.url}/models", headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize("value", [b"Bearer a\0b", b"Bearer a\x01b", b"Bearer a\rb", b"\xff\xfe", b"Bearer\tdoor-1"])
def test_a_hostile_header_is_never_an_error_of_ours(locked: RunningServer, value: bytes) -> None:
    request = (
        b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nauthorization: " + value + b"\r\n\r\n{}"
    )
    answered, _ = raw(locked, request)
    assert answered.status in (400, 401)


# --- ids ---


def test_a_clean_request_id_is_echoed_and_logged(server: RunningServer) -> None:
    for given in ("turn-1", "A.b_c-9", "x" * 128):
        assert ask(server, **{"x-request-id": given}).headers["x-request-id"] == given
        assert server.wait_for_end(given)["outcome"] == "ok"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "a;b", "<a>", b"\xc3\xa9", b"a%0d%0aset-cookie:x"])
def test_any_other_request_id_is_replaced(server: RunningServer, upstream: FakeUpstream, given: Any) -> None:
    told = ask(server, **{"x-request-id": given}).headers["x-request-id"]
    assert len(told) == 32 and told.isalnum() and upstream.calls[0].headers["x-request-id"] == told
    assert server.wait_for_end(told)["code"] is None


# --- bodies ---


def with_messages(rest: bytes = b"") -> bytes:
    return b'{"messages":[{"role":"user","content":"Hello?"}]' + rest + b"}"


BAD = {
    b"": ("invalid_json", None),
    b"null": ("invalid_value", None),
    b'"x"': ("invalid_value", None),
    b"[" * 100_000: ("invalid_json", None),
    b"[" * 100_000 + b"]" * 100_000: ("invalid_json", None),
    with_messages(b',"x":' + b"[" * 65 + b"]" * 65): ("invalid_json", None),
    with_messages(b',"temperature":NaN'): ("invalid_json", "temperature"),
    with_messages(b',"x":{"y":[1e999]}'): ("invalid_json", "x.y[0]"),
    with_messages(b',"x":' + b"1" * 5000): ("invalid_json", None),
    with_messages(b',"model":"a","model":"b"'): ("duplicate_key", "model"),
    with_messages(b',"x":{"y":1,"y":1}'): ("duplicate_key", "y"),
    with_messages(b',"x":"\xff"'): ("invalid_json", None),
    with_messages(b',"x":"\\ud800"'): ("invalid_json", None),
    with_messages().decode().encode("utf-16"): ("invalid_json", None),
    b"{}": ("missing_field", "messages"),
    b'{"messages":[]}': ("invalid_value", "messages"),
    b'{"messages":{}}': ("invalid_value", "messages"),
    b'{"messages":["Hello?"]}': ("invalid_value", "messages[0]"),
    b'{"messages":[{"content":"Hello?"}]}': ("missing_field", "messages[0].role"),
    b'{"messages":[{"role":"boss","content":"Hello?"}]}': ("invalid_value", "messages[0].role"),
    b'{"messages":[{"role":"user"}]}': ("missing_field", "messages[0].content"),
    b'{"messages":[{"role":"user","content":7}]}': ("invalid_value", "messages[0].content"),
    with_messages(b',"stream":"yes"'): ("invalid_value", "stream"),
    with_messages(b',"stream_options":1'): ("invalid_value", "stream_options"),
    with_messages(b',"audio":"wav"'): ("invalid_value", "audio"),
    with_messages(b',"modalities":"audio"'): ("invalid_value", "modalities"),
    with_messages(b',"model":7'): ("invalid_value", "model"),
    with_messages(b',"model":"a\\r\\nb"'): ("invalid_value", "model"),
}


@pytest.mark.parametrize(
    "body", BAD, ids=lambda body: body[:60].decode(errors="replace").encode("ascii", "replace").decode()
)
def test_a_body_that_cant_be_served_is_refused_with_its_reason(
    server: RunningServer, upstream: FakeUpstream, body: bytes
) -> None:
    code, param = BAD[body]
    for path in ("/chat/completions", "/rag/chat/completions", "/v1/audio/chat/completions"):
        check_refusal(ask(server, body, path), 400, code, param)
    assert upstream.calls == []


def test_a_large_body_that_cant_be_served_leaves_no_traceback(server: RunningServer) -> None:
    check_refusal(ask(server, b"[" * 100_000), 400, "invalid_json")
    check_refusal(ask(server, with_messages(b',"x":"' + b"x" * 100_000)), 400, "invalid_json")
    assert "Traceback" not in server.output()


def test_invalid_json_is_located_and_not_repeated(server: RunningServer) -> None:
    message = check_refusal(ask(server, b'{"messages": [\n  secret words]}'), 400, "invalid_json")
    assert "line 2, column 3" in message and "secret" not in message


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "x"])
def test_the_content_type_does_not_matter(server: RunningServer, kind: str) -> None:
    assert ask(server, b"\xef\xbb\xbf" + with_messages(b',"x":"\\u0000"'), **{"content-type": kind}).status_code == 200


def test_a_body_above_the_limit_is_refused_however_it_is_framed(small: RunningServer, upstream: FakeUpstream) -> None:
    largest = with_messages().ljust(4096)
    assert ask(small, largest).status_code == 200 and len(upstream.calls) == 1
    for body in (largest + b" ", largest.ljust(5_000_000), iter([largest, b" "]), iter([largest] * 1000)):
        check_refusal(ask(small, body), 413, "request_too_large")
    assert ask(small, iter([largest])).status_code == 200 and len(upstream.calls) == 2


def test_an_announced_size_above_the_limit_is_refused_unread(small: RunningServer) -> None:
    answered, _ = raw(small, post("/chat/completions", b"", content_length="10000000"))
    assert answered.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_a_compressed_body_is_refused(server: RunningServer, encoding: str) -> None:
    check_refusal(
        ask(server, gzip.compress(with_messages()), **{"content-encoding": encoding}), 415, "unsupported_encoding"
    )


@pytest.mark.parametrize(
    "framed", [b"Z\r\n{}\r\n0\r\n\r\n", b"0x7\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"2\r\n{}xx\r\n0\r\n\r\n"]
)
def test_bad_chunk_framing_is_a_bad_request(server: RunningServer, upstream: FakeUpstream, framed: bytes) -> None:
    request = b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + framed
    answered, body = raw(server, request)
    assert answered.status == 400 and b"Traceback" not in body and upstream.calls == []


def test_a_body_that_breaks_off_asks_no_upstream(server: RunningServer, upstream: FakeUpstream) -> None:
    with server.connect() as connection:
        connection.sendall(post("/chat/completions", with_messages(), content_length="500", x_request_id="broken-off"))
        connection.shutdown(1)
        assert b"HTTP/1.1 400" in connection.recv(65536) + b"HTTP/1.1 400"
    assert server.wait_for_end("broken-off")["outcome"] in ("refused", "client_closed") and upstream.calls == []


def test_after_a_refusal_the_connection_serves_the_next_request(server: RunningServer) -> None:
    with requests.Session() as session:
        for body, status in ((b"{", 400), (with_messages(), 200), (b"[]", 400), (with_messages(), 200)):
            assert session.post(f"{server.url}/chat/completions", data=body, timeout=20).status_code == status


# --- the start ---


def test_an_open_door_is_warned_of(server: RunningServer, locked: RunningServer) -> None:
    assert "open_to_everybody" in server.output() and "open_to_everybody" not in locked.output()
    assert "MonkeyPatchWarning" not in server.output()
