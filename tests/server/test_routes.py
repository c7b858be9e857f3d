"""Routes: the bare ones, those under /v1, models, health, other methods and other paths."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from exchange import CLOSED, ENDPOINTS, ROUTES, SAMPLE_AGENTS, Caller, ask_once, check_error
from fake_upstream import FakeUpstream, completion, whole
from heard import says
from plain_http import HELLO, check_refusal, send
from running_server import RunningServer, post, receive_until
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

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


# --- routes ---


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", BARE)
def test_bare_routes_stream_with_and_without_a_slash(small: RunningServer, prefix: str, slash: str) -> None:
    with requests.post(f"{small.url}{prefix}/chat/completions{slash}", json=HELLO, stream=True, timeout=20) as response:
        first = next(line for line in response.iter_lines() if line.startswith(b"data: "))
        assert response.status_code == 200 and first.startswith(b'data: {"id":')
    small.wait_for_end(response.headers["x-request-id"])


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", V1)
def test_v1_routes_answer_json_with_and_without_a_slash(
    small: RunningServer, upstream: FakeUpstream, prefix: str, slash: str
) -> None:
    upstream.script = completion("Hello there")
    response = send(small, path=f"{prefix}/chat/completions{slash}")
    assert (response.status_code, response.json()["object"]) == (200, "chat.completion")


@pytest.mark.parametrize("path", [f"{prefix}/models{slash}" for prefix in BARE + V1 for slash in ("", "/")])
def test_models_answer_on_every_route(server: RunningServer, path: str) -> None:
    response = requests.get(f"{server.url}{path}", timeout=20)
    listed = response.json()
    assert (response.status_code, listed["object"]) == (200, "list")
    assert [model["id"] for model in listed["data"]] == [*SAMPLE_AGENTS, "gpt-4o-mini", "fake-model"]
    assert all(model["object"] == "model" for model in listed["data"])


def test_models_answer_also_where_the_upstream_lists_none(upstream: FakeUpstream, servers: Servers) -> None:
    upstream.models_script = whole(b"<html>", 500)
    listed = requests.get(f"{servers(LLM_MODEL='own').url}/v1/models", timeout=20).json()["data"]
    assert [model["id"] for model in listed] == [*SAMPLE_AGENTS, "own"]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ready", "/readyz", "/health/", "/ready/"])
def test_health_and_readiness_are_open_to_all(locked: RunningServer, path: str) -> None:
    wait_until(lambda: requests.get(f"{locked.url}{path}", timeout=20).status_code == 200)
    assert requests.get(f"{locked.url}{path}", timeout=20).json() == {"status": "ready" if "ready" in path else "ok"}


def test_readiness_shows_details_to_those_with_a_key(locked: RunningServer, server: RunningServer) -> None:
    told = requests.get(f"{locked.url}/ready", headers={"x-api-key": "door-2"}, timeout=20).json()
    details = {"model": "gpt-4o-mini", "auth": "on", "streams": 0, "upstreams": {"primary": "closed"}, "kb": "ok"}
    details |= {"redis": "off", "database": "off", "agents": len(SAMPLE_AGENTS)}
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
    "path", ["/chats", "/v2/chat/completions", "/chat//completions", "/chat/completions/x", "/%00", "/\u00e9"]
)
def test_another_path_is_not_found(server: RunningServer, path: str) -> None:
    assert "no route" in check_refusal(send(server, path=path), 404, "not_found")


@pytest.mark.row("RD-04")
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings", "/api/chat", "/v1/v1/chat/completions"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_route_of_another_api_says_what_there_is(server: RunningServer, path: str, method: str) -> None:
    response = requests.request(method, server.url + path, json=HELLO if method == "POST" else None, timeout=20)
    told = check_refusal(response, 404, "not_found")
    assert told.startswith(f"there is no route {path}; ") and ("/chat/completions" in told or "base URL" in told)


def test_options_names_the_methods(server: RunningServer) -> None:
    response = requests.options(f"{server.url}/chat/completions", timeout=20)
    assert response.status_code == 200 and response.headers["allow"] and response.content == b""
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]


JSON = json.dumps(HELLO).encode()
V1_ROUTES = ("/v1/chat/completions", "/v1/rag/chat/completions", "/v1/audio/chat/completions")


@pytest.fixture
def server(single: RunningServer, first: FakeUpstream) -> RunningServer:
    """The server; its upstream answers in the form that is asked for."""
    first.script = says("Hello there")
    return single


@pytest.mark.row("IN-20")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("route", [*ROUTES, "/chat/completions/"])
def test_no_route_allows_another_method(server: RunningServer, method: str, route: str) -> None:
    for request in (post(route, JSON).replace(b"POST", method.encode(), 1), post(route, b"").replace(b"POST", b"HEAD")):
        with Caller(server) as caller:
            caller.connection.sendall(request)
            if request.startswith(b"HEAD"):
                received = receive_until(caller.connection, b"\r\n\r\n")
                assert received.startswith(b"HTTP/1.1 405") and b"\r\nAllow: " in received
            else:
                answer = caller.answer()
                assert method in check_error(answer, 405, "method_not_allowed")
                assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
            caller.check_in_step()


@pytest.mark.row("IN-20")
@pytest.mark.parametrize(
    "path",
    [
        *("/chat//completions", "/chat", "/v1", "/v2/chat/completions", "/Chat/completions", "/%00", "/%ff"),
        *("/chat/completions/x", "/chat/completions/../x", "/%63hat/completionx", "/chat/completions;x"),
    ],
)
def test_an_unknown_path_is_not_found(server: RunningServer, first: FakeUpstream, path: str) -> None:
    check_error(ask_once(server, post(path, HELLO)), 404, "not_found")
    assert first.calls == []


@pytest.mark.row("IN-20")
@pytest.mark.parametrize("route", ROUTES)
def test_a_trailing_slash_loses_no_body(server: RunningServer, first: FakeUpstream, route: str) -> None:
    answer = ask_once(server, post(f"{route}/", {**HELLO, "stream": False}))
    assert (answer.status, answer.json["object"]) == (200, "chat.completion")


@pytest.mark.row("IN-20")
@pytest.mark.parametrize("route", [*ENDPOINTS, *V1_ROUTES])
def test_options_names_the_methods_and_allows_no_origin(server: RunningServer, route: str) -> None:
    answer = ask_once(server, f"OPTIONS {route} HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\n\r\n".encode())
    assert (answer.status, set(answer.headers["allow"].split(", "))) == (200, {"POST", "OPTIONS"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


VARYING = re.compile(rb'chatcmpl-[0-9a-f]{32}|"created": ?\d+|audio_[0-9a-f]{32}|"expires_at": ?\d+')
# The place of a word, by which a client joins words: answers under /v1 alone hold it.
WORD_INDEX = re.compile(rb'"index":\d+,(?="text")')


@pytest.mark.row("IN-21")
@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": False}, {"messages": []}, {"stream": 7}])
@pytest.mark.parametrize("name", ["/chat", "/rag/chat", "/audio/chat"])
def test_the_routes_under_v1_answer_alike(
    server: RunningServer, first: FakeUpstream, name: str, fields: dict[str, Any]
) -> None:
    if name == "/audio/chat" and fields.get("stream") is True:
        pytest.skip("lasts as long as speech; the routes share one function")
    bare = f"{name}/completions"
    routes = [bare, f"/v1{bare}", bare.replace("/chat", "/v1/chat")]
    answers = [ask_once(server, post(route, {**HELLO, **fields})) for route in routes]
    assert len({answer.status for answer in answers}) == 1 and CLOSED not in answers
    assert len({answer.headers["content-type"] for answer in answers}) == 1
    assert len({VARYING.sub(b"-", WORD_INDEX.sub(b"", answer.body)) for answer in answers}) == 1
    assert len({call.body for call in first.calls}) <= 1


@pytest.mark.row("IN-21")
def test_the_readme_names_the_routes_under_v1() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert "answers bare and under `/v1`" in readme
