"""What the endpoints share: key, slot, body, and an answer or an error as a response."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from parley.errors import ClientGone, ParleyError, UpstreamDisconnected, UpstreamUnreachable
from parley.services import Services
from parley.settings import Settings
from parley.turn import Batches
from parley.turn_record import TurnRecord
from parley.upstream.router import NoUpstream
from parley.wire import sse
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest

CHAT, V1 = "/chat/completions", "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}]}
KEY = {"authorization": "Bearer key-0123456789"}


class Upstream(NoUpstream):
    """An upstream in the place of all: it says a word, then fails with `error` if there is one."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.fails_at_once = False
        self.asked: list[ChatRequest] = []

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Batches:
        self._ask(chat, record)
        if self.error and self.fails_at_once:
            raise self.error
        yield [envelope.text("Hello", first=True)]
        if self.error:
            raise self.error
        yield sse.LastBatch([envelope.finish("stop")])

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        self._ask(chat, record)
        if self.error:
            raise self.error
        return b'{"object":"chat.completion"}'

    def _ask(self, chat: ChatRequest, record: TurnRecord) -> None:
        self.asked.append(chat)
        record.attempts, record.upstream_request_id = 2, "up-1"

    def unavailable_reason(self) -> Any:
        return None


@pytest.fixture(autouse=True)
def _logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an app from configuring the logs of the whole process, which other tests capture."""
    monkeypatch.setattr("parley.telemetry.logs.configure", lambda *_: None)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


def app_with(upstream: Upstream, **settings: str) -> Flask:
    return create_app(services=Services(Settings.from_environ(settings), upstream))


@pytest.fixture
def client(upstream: Upstream) -> Iterator[FlaskClient]:
    """Yield a client of a server that asks for no key."""
    with app_with(upstream, MAX_BODY="200000").test_client() as client:
        yield client


@pytest.fixture
def locked(upstream: Upstream) -> Iterator[FlaskClient]:
    """Yield a client of a server that asks for a key."""
    with app_with(upstream, API_KEYS="key-0123456789").test_client() as client:
        yield client


def running(client: FlaskClient) -> int:
    """Return how many slots are taken."""
    return len(client.application.extensions["parley"].admission.running)


def check_error(response: TestResponse, status: int, code: str) -> str:
    """Check that a response is this error in both shapes; return its message."""
    assert (response.status_code, response.content_type) == (status, "application/json"), response.data
    assert response.json is not None and response.json.keys() == {"error", "detail"}
    error = response.json["error"]
    assert (error["code"], error["message"]) == (code, response.json["detail"])
    assert response.headers["X-Content-Type-Options"] == "nosniff" and response.headers["X-Request-ID"]
    response.close()
    return str(error["message"])


# --- an answer as a response ---


def test_a_stream_has_the_headers_of_one_and_frees_its_slot(client: FlaskClient) -> None:
    response = client.post(CHAT, json=HELLO)

    assert response.status_code == 200 and response.content_type == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.data.endswith(b"data: [DONE]\n\n") and b"Hello" in response.data
    assert running(client) == 0


def test_a_stream_holds_its_slot_until_it_is_closed(client: FlaskClient) -> None:
    response = client.post(CHAT, json=HELLO, buffered=False)
    assert running(client) == 1
    response.close()
    assert running(client) == 0


@pytest.mark.row("RF-23")
@pytest.mark.parametrize("path", [CHAT, "/v1/rag/chat/completions", "/audio/chat/completions"])
@pytest.mark.parametrize("fault", [None, UpstreamUnreachable("no"), RuntimeError("bug")], ids=["ok", "error", "bug"])
def test_a_json_answer_holds_its_slot_until_it_is_closed(
    client: FlaskClient, upstream: Upstream, path: str, fault: Exception | None
) -> None:
    upstream.error = fault
    response = client.post(path, json={**HELLO, "stream": False}, buffered=False)
    assert response.status_code == 200 or fault
    assert running(client) == 1
    response.close()
    assert running(client) == 0


def test_a_json_answer_is_the_upstreams_own(client: FlaskClient) -> None:
    response = client.post(V1, json=HELLO)

    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.data == b'{"object":"chat.completion"}'
    response.close()
    assert running(client) == 0


def test_an_answer_tells_its_attempts_and_the_upstreams_id(client: FlaskClient) -> None:
    headers = client.post(V1, json=HELLO).headers

    assert (headers["X-Relay-Attempts"], headers["X-Upstream-Request-ID"]) == ("2", "up-1")


# --- an error as a response ---


@pytest.mark.parametrize("path", [CHAT, V1])
def test_an_early_failure_is_its_status(client: FlaskClient, upstream: Upstream, path: str) -> None:
    upstream.error, upstream.fails_at_once = UpstreamUnreachable("the upstream is down"), True

    assert check_error(client.post(path, json=HELLO), 502, "upstream_unreachable") == "the upstream is down"
    assert running(client) == 0


def test_a_late_failure_ends_the_stream(client: FlaskClient, upstream: Upstream) -> None:
    upstream.error = UpstreamDisconnected("cut")

    response = client.post(CHAT, json=HELLO)

    assert response.status_code == 200 and b"DONE" not in response.data
    assert b'"code":"upstream_disconnected"' in response.data.replace(b": ", b":") and running(client) == 0


@pytest.mark.parametrize("path", [CHAT, V1])
def test_a_fault_of_ours_is_a_500_without_its_text(client: FlaskClient, upstream: Upstream, path: str) -> None:
    upstream.error, upstream.fails_at_once = ZeroDivisionError("secret"), True

    response = client.post(path, json=HELLO, headers={"x-request-id": "turn-7"})

    message = check_error(response, 500, "internal_error")
    assert "turn-7" in message and "secret" not in message and running(client) == 0


@pytest.mark.parametrize("path", [CHAT, V1])
def test_a_client_that_left_gets_a_499(client: FlaskClient, upstream: Upstream, path: str) -> None:
    upstream.error, upstream.fails_at_once = ClientGone(), True

    response = client.post(path, json=HELLO)
    response.close()
    assert response.status_code == 499 and running(client) == 0


def test_another_path_and_another_method_have_the_same_shape(client: FlaskClient) -> None:
    assert "/nowhere" in check_error(client.get("/nowhere"), 404, "not_found")
    response = client.get(CHAT)
    check_error(response, 405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_an_errors_own_headers_are_sent(client: FlaskClient, upstream: Upstream) -> None:
    upstream.error, upstream.fails_at_once = ParleyError("wait", headers={"Retry-After": "7"}), True

    assert client.post(V1, json=HELLO).headers["Retry-After"] == "7"


# --- key ---


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic key-0123456789"}, {"x-api-key": "no"}]
)
def test_without_a_key_nothing_is_read(locked: FlaskClient, upstream: Upstream, headers: dict[str, str]) -> None:
    response = locked.post(CHAT, data=b"{never read", headers=headers)

    check_error(response, 401, "invalid_api_key")
    assert response.headers["WWW-Authenticate"] == "Bearer" and upstream.asked == []


@pytest.mark.parametrize("headers", [KEY, {"x-api-key": "key-0123456789"}, {"authorization": "bEARER  key-0123456789"}])
def test_a_key_is_accepted_in_either_header(locked: FlaskClient, headers: dict[str, str]) -> None:
    assert locked.post(V1, json=HELLO, headers=headers).status_code == 200


def test_a_foreign_page_may_not_ask_in_open_mode(client: FlaskClient, locked: FlaskClient) -> None:
    page = {"origin": "https://evil.example"}

    check_error(client.post(V1, json=HELLO, headers=page), 403, "forbidden_origin")
    assert locked.post(V1, json=HELLO, headers={**page, **KEY}).status_code == 200


def test_a_full_server_refuses_before_it_reads(upstream: Upstream) -> None:
    with app_with(upstream, MAX_STREAMS="1").test_client() as client:
        held = client.post(CHAT, json=HELLO, buffered=False)
        check_error(client.post(V1, data=b"{never read"), 503, "server_overloaded")
        held.close()
        assert client.post(V1, json=HELLO).status_code == 200


# --- body and ids ---


def test_a_body_above_the_limit_is_refused(client: FlaskClient, upstream: Upstream) -> None:
    check_error(client.post(V1, data=b" " * 200_001), 413, "request_too_large")
    check_error(client.post(V1, data=b"{}", headers={"content-encoding": "gzip"}), 415, "unsupported_encoding")
    assert upstream.asked == []


def test_a_large_body_is_parsed_like_a_small_one(client: FlaskClient) -> None:
    large = json.dumps({**HELLO, "metadata": "x" * 100_000}).encode()

    assert client.post(V1, data=large).status_code == 200
    check_error(client.post(V1, data=large[:-1]), 400, "invalid_json")


@pytest.mark.parametrize(
    ("given", "kept"), [("turn-1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False)]
)
def test_only_a_clean_request_id_is_kept(client: FlaskClient, upstream: Upstream, given: str, kept: bool) -> None:
    told = client.post(V1, json=HELLO, headers={"x-request-id": given}).headers["X-Request-ID"]

    assert (told == given) is kept and upstream.asked[0].origin.request_id == told


def test_only_a_valid_trace_goes_on(client: FlaskClient, upstream: Upstream) -> None:
    good = f"00-{'a' * 32}-{'b' * 16}-01"
    for trace in (good, good.upper(), "00-a-b-01"):
        client.post(V1, json=HELLO, headers={"traceparent": trace})

    assert [asked.origin.traceparent for asked in upstream.asked] == [good, None, None]
