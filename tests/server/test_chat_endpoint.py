"""`/chat/completions`: what goes upstream, what comes back byte for byte, and how it ends."""

import json
import re
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
import requests
from engine import REQUEST
from fake_upstream import (
    DONE,
    END,
    EVENT_STREAM,
    HANG,
    ID,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    close,
    completion,
    encode,
    event,
    events,
    head,
    http_chunk,
    refusal,
    reset,
    text_chunk,
    whole,
)
from running_server import RunningServer, payloads, post, receive_until, running_server

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

HELLO = {"messages": [{"role": "user", "content": "Hello?"}]}
ROLE, *WORDS, FINISH = chunks("One two")
SPOKEN = "Sorry, please say that again."
SPEAKING = {"FALLBACK_TEXT": SPOKEN, "TTFT_TIMEOUT": "0.5"}

HELLO_THERE = (
    b'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
    b'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model","choices":'
    b'[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}]}\n\n'
    b'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model","choices":'
    b'[{"index":0,"delta":{"content":" there"},"logprobs":null,"finish_reason":null}]}\n\n'
    b'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model","choices":'
    b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
ERROR_CHUNK = (
    b'{"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model","choices":'
    b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"error"}]}'
)
AGORA = json.loads(REQUEST)


def ask(server: RunningServer, path: str = "/chat/completions", headers: Any = None, **fields: Any) -> Any:
    """The server's answer, read to its end."""
    return requests.post(f"{server.url}{path}", json={**HELLO, **fields}, headers=headers, timeout=20)


def frames(*payloads: bytes) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


DATA_SEGMENTS_IN = 152
"""Where tcp_info has the number of packets with data that have come (linux/tcp.h)."""


def packets_heard(connection: socket.socket) -> int:
    """How many packets with data the other end has sent so far."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, DATA_SEGMENTS_IN + 4)
    return int.from_bytes(told[DATA_SEGMENTS_IN:], sys.byteorder)


def check_error(response: Any, status: int, code: str | None) -> dict[str, Any]:
    """It is a true status with the error object in both its forms; gives the `error` part."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error", "detail"} and body["detail"] == body["error"]["message"]
    assert body["error"].keys() == {"message", "type", "param", "code"} and body["error"]["code"] == code
    return dict(body["error"])


# --- what comes back ---


def test_a_stream_is_relayed_byte_for_byte(server: RunningServer) -> None:
    assert ask(server).content == HELLO_THERE


def test_unusual_fields_and_tool_calls_pass_unaltered(server: RunningServer, upstream: FakeUpstream) -> None:
    sent = [
        ROLE,
        b'{ "id":"chatcmpl-fake", "object":"chat.completion.chunk","created":1764000000,"model":"fake-model",'
        b'"x":{"deep":[1.0,1e2,12345678901234567890123]},"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}] }',
        text_chunk(ID, "caf\u00e9 \u2028\u2029 \u4f60\u597d \U0001f44b\U0001f3fd \u0645\u0631\u062d\u0628\u0627 \x7f"),
        rb'{"id":"chatcmpl-fake","choices":[{"index":0,"delta":{"content":"\ud83d\udc4b\u2028\n"}}],"usage":null}',
        chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "a", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "b", "arguments": "{}"}}]}),
        chunk(None),
        *chunks("", finish_reason="tool_calls", usage=True)[1:],
    ]
    upstream.script = [head(), http_chunk(frames(*sent[:3])), http_chunk(frames(*sent[3:])), event(DONE), END]
    assert ask(server).content == frames(*sent, DONE)


def test_comments_event_names_line_ends_and_a_bom_go(server: RunningServer, upstream: FakeUpstream) -> None:
    dressed = (
        b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\nevent: message\r\nid: 1\r\nretry: 10\r\ndata:" + ROLE + b"\r\n"
    )
    rest = b"\r\n" + b"\r\n".join(b"data: %b\r\n\r\n: ping\r\n" % payload for payload in (*WORDS, FINISH))
    upstream.script = [head(), http_chunk(dressed), http_chunk(rest), http_chunk(b"\r\ndata: [DONE]\r\n\r\n"), END]
    assert ask(server).content == frames(ROLE, *WORDS, FINISH, DONE)


def test_a_stream_that_arrives_byte_by_byte_is_the_same(server: RunningServer, upstream: FakeUpstream) -> None:
    stream = frames(ROLE, text_chunk(ID, "gr\u00fc\u00df \U0001f44b"), FINISH, DONE)
    upstream.script = [head(), *(http_chunk(stream[place : place + 1]) for place in range(len(stream))), END]
    assert ask(server).content == stream


def test_the_headers_are_those_of_an_event_stream(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [head(headers={**EVENT_STREAM, "set-cookie": "a=b", "x-powered-by": "x"}), *answer("Hi")[1:]]
    headers = ask(server, headers={"x-request-id": "turn-7"}).headers
    assert headers["content-type"].partition(";")[0] == "text/event-stream"
    assert headers["cache-control"] == "no-cache, no-transform" and headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff" and headers["x-request-id"] == "turn-7"
    assert not headers.keys() & {"set-cookie", "x-powered-by", "content-length", "content-encoding"}


def test_what_arrived_together_leaves_together_with_the_end(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [b"".join([head(), *map(event, (*chunks("Hello there"), DONE)), END])]
    with server.connect() as connection:
        connection.sendall(post("/chat/completions", HELLO))
        heard = receive_until(connection, b"\r\n0\r\n\r\n")
        assert heard.count(b"data: ") == 5 and packets_heard(connection) == 1


@pytest.mark.parametrize(
    "tail",
    [
        [event(DONE), event(DONE), END],
        [event(DONE), event(WORDS[0]), END],
        [event(DONE), close],
        [END],
        [close],
        [reset],
    ],
    ids=["two", "words after it", "no end of the body", "none", "none and a cut", "none and a reset"],
)
def test_an_answer_with_a_finish_reason_ends_with_one_done(
    server: RunningServer, upstream: FakeUpstream, tail: list[Step]
) -> None:
    upstream.script = [*events([ROLE, *WORDS, FINISH]), 0.05, *tail]
    assert ask(server).content == frames(ROLE, *WORDS, FINISH, DONE)


def test_done_without_a_finish_reason_gets_one(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [*events([ROLE, *WORDS]), event(DONE), END]
    assert ask(server).content == frames(ROLE, *WORDS, FINISH, DONE)


def test_a_connection_to_the_upstream_serves_many_requests(server: RunningServer, upstream: FakeUpstream) -> None:
    script = answer("Hello there")
    upstream.script = [*script[:-2], event(DONE) + END]
    assert [ask(server).content for _ in range(3)] == [HELLO_THERE] * 3
    upstream.script = completion("Hello there")
    assert ask(server, stream=False).status_code == 200
    assert len({call.connection_number for call in upstream.calls}) == 1 and len(upstream.calls) == 4


def test_a_json_answer_is_the_upstreams_own_bytes(server: RunningServer, upstream: FakeUpstream) -> None:
    body = b'{ "id":"x",\n "n":1.50, "choices":[ {"index":0,"message":{"content":"\xc3\xa9"}} ], "own": 1234567890123 }'
    upstream.script = whole(body)
    response = ask(server, stream=False, stream_options={"include_usage": True})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.content == body
    assert upstream.calls[0].json == {**HELLO, "model": "gpt-4o-mini", "stream": False}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/event-stream"])
@pytest.mark.parametrize(("path", "streams"), [("/chat/completions", True), ("/v1/chat/completions", False)])
def test_where_stream_is_absent_the_path_decides(
    server: RunningServer, upstream: FakeUpstream, path: str, streams: bool, accept: str
) -> None:
    upstream.script = answer("Hello there") if streams else completion("Hello there")
    response = ask(server, path, headers={"accept": accept})
    assert upstream.calls[0].json["stream"] is streams
    assert response.content == HELLO_THERE if streams else response.json()["object"] == "chat.completion"


def test_a_json_object_in_place_of_a_stream_becomes_one(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = completion("Hello there")
    spoken, finish, done = payloads(ask(server).content)
    assert json.loads(spoken)["choices"][0]["delta"] == {"role": "assistant", "content": "Hello there"}
    assert json.loads(finish)["choices"][0]["finish_reason"] == "stop" and done == DONE


def test_an_endless_answer_is_capped(server: RunningServer, upstream: FakeUpstream) -> None:
    sent, upstream.script = [event(text_chunk(ID, "x" * 65536))], lambda call: (head(), *sent * 100, HANG)
    *_, last, done = payloads(ask(server).content)
    assert json.loads(last)["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
    assert done == DONE and upstream.calls[0].finished.wait(2) and upstream.calls[0].outcome == "peer_left"


# --- what goes upstream ---


def test_of_agoras_request_only_openais_part_goes_upstream(server: RunningServer, upstream: FakeUpstream) -> None:
    assert ask(server, "/chat/completions?session_id=7", **AGORA, metadata={"call": 1}).content == HELLO_THERE
    messages = [{"role": said["role"], "content": said["content"]} for said in AGORA["messages"]]
    # The interruption is told: tests/server/test_interruptions.py.
    messages[-2]["content"] = "We have three plans, the first —"
    messages[-1]["content"] = '[You were interrupted; not heard: "costs ten dollars."]\nJust this one.'
    wanted = {"model": "gpt-4o-mini", "stream": True, "max_tokens": 200, "messages": messages}
    assert (upstream.calls[0].path, upstream.calls[0].json) == ("/v1/chat/completions", wanted)


def test_content_in_every_form_goes_upstream_in_openais(server: RunningServer, upstream: FakeUpstream) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "a", "arguments": "{}"}}]
    url = "https://x.example/a.png"
    said = [
        {"role": "system", "content": ["Be brief.", "Be kind."]},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image", "image_url": url}]},
        {"role": "assistant", "content": None, "tool_calls": calls, "audio": {"id": "audio_1", "transcript": "Hm"}},
        {"role": "tool", "tool_call_id": "call_1", "content": "42", "turn_id": 1},
    ]
    assert ask(server, messages=said, temperature="hot", top_k=5, base_url="http://evil.example").status_code == 200
    body = upstream.calls[0].json
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [said[1]["content"][0], {"type": "image_url", "image_url": {"url": url}}]},
        {"role": "assistant", "content": None, "tool_calls": calls, "audio": {"id": "audio_1"}},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]
    assert body.keys() == {"messages", "temperature", "top_k", "model", "stream"} and body["temperature"] == "hot"


def test_the_headers_upstream_are_ours(server: RunningServer, upstream: FakeUpstream, our_key: str) -> None:
    ask(server, headers={"authorization": "Bearer theirs", "cookie": "a=b", "x-own": "1", "x-request-id": "turn-8"})
    headers = upstream.calls[0].headers
    assert headers["accept-encoding"] == "identity" and headers["content-type"] == "application/json"
    assert headers["authorization"] == f"Bearer {our_key}" and headers["x-request-id"] == "turn-8"
    assert not headers.keys() & {"cookie", "x-own", "x-api-key"}


DOOR = {"API_KEYS": "door-1,door-2"}
NO_KEY = {"LLM_API_KEY": ""}


@pytest.mark.parametrize(
    ("settings", "headers", "upstreams"),
    [
        ({}, {"authorization": "Bearer theirs"}, "Bearer {ours}"),
        ({}, {}, "Bearer {ours}"),
        (DOOR, {"authorization": "Bearer door-1"}, "Bearer {ours}"),
        (DOOR, {"x-api-key": "door-2", "authorization": "Bearer theirs"}, "Bearer {ours}"),
        ({**DOOR, **NO_KEY}, {"authorization": "Bearer door-2"}, None),
        ({**DOOR, **NO_KEY}, {"x-api-key": "door-2", "authorization": "Bearer theirs"}, None),
        (NO_KEY, {"authorization": "bearer theirs"}, "Bearer theirs"),
        (NO_KEY, {"authorization": "Basic dTpw"}, None),
        (NO_KEY, {"x-api-key": "theirs"}, None),
        (NO_KEY, {}, None),
    ],
)
def test_each_upstream_gets_its_own_key_or_else_the_callers(
    upstream: FakeUpstream, servers: Servers, our_key: str, settings: Any, headers: Any, upstreams: str | None
) -> None:
    assert ask(servers(**settings), headers=headers).status_code == 200
    sent = upstream.calls[0].headers
    assert sent.get("authorization") == (upstreams and upstreams.format(ours=our_key)) and "x-api-key" not in sent


def test_a_caller_whose_own_key_is_refused_is_told_so(upstream: FakeUpstream, servers: Servers) -> None:
    upstream.script = refusal(
        401, {"message": "Incorrect API key", "type": "x", "param": None, "code": "invalid_api_key"}
    )
    response = ask(servers(**NO_KEY), headers={"authorization": "Bearer theirs"})
    assert check_error(response, 401, "invalid_api_key")["message"] == "Incorrect API key"


# --- how it fails ---

OPENAIS = {
    "message": "too long",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
ERROR_EVENT = event(encode({"error": {"message": "boom at 10.0.0.1", "code": "overloaded"}}))
EARLY: dict[str, tuple[list[Step], int, str]] = {
    "no answer at all": ([close], 502, "upstream_unreachable"),
    "silence": ([HANG], 504, "upstream_timeout"),
    "silence after the head": ([head(), HANG], 504, "upstream_timeout"),
    "silence after the role": ([*events([ROLE]), HANG], 504, "upstream_timeout"),
    "500": (refusal(500, {"message": "boom at 10.0.0.1"}), 502, "upstream_error"),
    "503": (refusal(503, {"message": "boom at 10.0.0.1"}, {"retry-after": "9"}), 503, "upstream_error"),
    "529": (refusal(529, {"message": "boom at 10.0.0.1"}), 502, "upstream_error"),
    "our key refused": (refusal(401, {"message": "boom at 10.0.0.1"}), 502, "upstream_auth_failed"),
    "redirect": (whole(b"", 307, {"location": "http://127.0.0.1:9/v1"}), 502, "upstream_redirect"),
    "HTML": (whole(b"<html>boom at 10.0.0.1", 200, {"content-type": "text/html"}), 502, "upstream_bad_response"),
    "no event": ([head(), END], 502, "upstream_empty_response"),
    "DONE alone": ([head(), event(DONE), END], 502, "upstream_empty_response"),
    "broken JSON": ([head(), event(b'{"id":'), END], 502, "upstream_bad_response"),
    "an error after the role": ([*events([ROLE]), ERROR_EVENT, END], 502, "overloaded"),
    "a cut after the role": ([*events([ROLE]), close], 502, "upstream_disconnected"),
    "an end after the role": ([*events([ROLE]), END], 502, "upstream_incomplete"),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.9\r\n\r\n", close], 502, "upstream_bad_response"),
}


@pytest.mark.parametrize("fault", EARLY)
def test_a_failure_before_the_first_content_is_a_true_status(
    server: RunningServer, upstream: FakeUpstream, fault: str
) -> None:
    upstream.script, status, code = EARLY[fault]
    error = check_error(ask(server), status, code)
    assert error["type"] == "server_error" and error["param"] is None and "boom" not in error["message"]


@pytest.mark.parametrize("status", [400, 404, 413, 422, 429])
@pytest.mark.parametrize("stream", [True, False])
def test_the_upstreams_verdict_on_the_request_is_passed_on(
    server: RunningServer, upstream: FakeUpstream, our_key: str, status: int, stream: bool
) -> None:
    limits = {"retry-after": "60", "x-ratelimit-remaining-requests": "0", "set-cookie": "a=b", "x-request-id": "theirs"}
    upstream.script = refusal(status, {**OPENAIS, "message": f"too long, {our_key}", "internal": 1}, limits)
    response = ask(server, stream=stream)
    assert check_error(response, status, OPENAIS["code"]) == {**OPENAIS, "message": "too long, ***"}
    assert response.headers["retry-after"] == "60" and response.headers["x-ratelimit-remaining-requests"] == "0"
    assert "set-cookie" not in response.headers and response.headers["x-request-id"] != "theirs"


LATE: dict[str, tuple[list[Step], str]] = {
    "FIN": ([close], "upstream_disconnected"),
    "RST": ([0.1, reset], "upstream_disconnected"),
    "an end without a finish": ([END], "upstream_incomplete"),
    "a stall": ([HANG], "upstream_stalled"),
    "broken JSON": ([event(b'{"id":"chatcmpl'), HANG], "upstream_bad_response"),
    "invalid UTF-8": ([event(b'{"id":"\xff'), HANG], "upstream_bad_response"),
    "an event too large": ([http_chunk(b"data: " + b"x" * 3_000_000), HANG], "upstream_bad_response"),
    "OpenAI's error": ([ERROR_EVENT, HANG], "overloaded"),
    "an error in words": ([event(b'{"error":"boom at 10.0.0.1"}'), HANG], "upstream_error"),
    "vLLM's error": ([event(b'{"object":"error","message":"boom at 10.0.0.1","code":500}'), HANG], "upstream_error"),
    "OpenRouter's error": ([event(chunk({"content": ""}, "error", error={"code": 502})), HANG], "upstream_error"),
}


@pytest.mark.parametrize("fault", LATE)
def test_a_failure_after_the_first_content_ends_in_two_frames(
    server: RunningServer, upstream: FakeUpstream, fault: str
) -> None:
    tail, code = LATE[fault]
    upstream.script = [*events([ROLE, *WORDS]), *tail]
    response = ask(server, headers={"x-request-id": f"late-{list(LATE).index(fault)}"})
    *relayed, broken, error = payloads(response.content)
    assert response.status_code == 200 and (relayed, broken) == ([ROLE, *WORDS], ERROR_CHUNK)
    message = json.loads(error)["error"].pop("message")
    assert json.loads(error) == {"error": {"message": message, "type": "server_error", "param": None, "code": code}}
    assert message and "boom" not in message
    assert server.wait_for_end(response.headers["x-request-id"])["outcome"] == "error_mid"


def test_the_two_frames_in_bytes(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [*events([ROLE, *WORDS]), END]
    assert ask(server).content == frames(ROLE, *WORDS) + (
        b'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1764000000,"model":"fake-model",'
        b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"error"}]}\n\n'
        b'data: {"error":{"message":"the upstream\'s answer broke off","type":"server_error","param":null,'
        b'"code":"upstream_incomplete"}}\n\n'
    )


@pytest.mark.parametrize("fault", ["500", "silence after the role", "DONE alone"])
def test_the_fallback_text_is_spoken_for_an_early_failure(upstream: FakeUpstream, servers: Servers, fault: str) -> None:
    upstream.script, _, code = EARLY[fault]
    server = servers(**SPEAKING)
    response = ask(server, model="m", headers={"x-request-id": f"early-{code}"})
    envelope = re.sub(rb"chatcmpl-\w+|(?<=created\":)\d+", b"*", response.content)
    ours = b'data: {"id":"*","object":"chat.completion.chunk","created":*,"model":"m","choices":[{"index":0,"delta":'
    assert response.status_code == 200 and envelope == (
        ours + b'{"role":"assistant","content":"Sorry, please say that again."},"logprobs":null,'
        b'"finish_reason":null}]}\n\n'
        + ours + b'{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
        b": error code=%b request_id=early-%b\n\ndata: [DONE]\n\n" % (code.encode(), code.encode())
    )  # fmt: skip
    assert server.wait_for_end(f"early-{code}")["outcome"] == "spoken_fallback"


def test_the_idle_timeout_does_not_shorten_the_first_wait(upstream: FakeUpstream, servers: Servers) -> None:
    upstream.script = [0.6, head(), *answer("Hello there")[1:]]
    assert ask(servers(IDLE_TIMEOUT="0.2")).content == HELLO_THERE


def test_the_fallback_text_is_spoken_for_a_late_failure(upstream: FakeUpstream, servers: Servers) -> None:
    upstream.script = [*events([ROLE, *WORDS]), close]
    response = ask(servers(**SPEAKING), headers={"x-request-id": "late-spoken"})
    note = b": error code=upstream_disconnected request_id=late-spoken\n\n"
    wanted = frames(ROLE, *WORDS, text_chunk(ID, f" {SPOKEN}"), FINISH) + note + frames(DONE)
    assert response.content == wanted


def test_the_fallback_text_completes_no_half_tool_call(upstream: FakeUpstream, servers: Servers) -> None:
    call = chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "a", "arguments": '{"x'}}]})
    upstream.script = [*events([ROLE, call]), close]
    *relayed, broken, error = payloads(ask(servers(**SPEAKING)).content)
    assert (relayed, broken) == ([ROLE, call], ERROR_CHUNK)
    assert json.loads(error)["error"]["code"] == "upstream_disconnected"


def test_fallback_text_hides_no_refusal_and_no_json_failure(upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(**SPEAKING)
    upstream.script = refusal(400, OPENAIS)
    check_error(ask(server), 400, "context_length_exceeded")
    upstream.script = refusal(500, OPENAIS)
    check_error(ask(server, stream=False), 502, "upstream_error")


def test_a_json_answer_may_take_longer_than_the_first_content(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = [1, *completion("Hello there")]
    assert ask(server, stream=False).json()["choices"][0]["message"]["content"] == "Hello there"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ([close], 502, "upstream_unreachable"),
        (whole(b'{"error":{"message":"boom"}}'), 502, "upstream_error"),
        (whole(b'{"choices":[]}'), 502, "upstream_bad_response"),
        (whole(b"<html>", headers={"content-type": "text/html"}), 502, "upstream_bad_response"),
        ([head(200, {"content-length": "100"}), b'{"choices":', close], 502, "upstream_disconnected"),
    ],
)
def test_a_failed_json_answer_is_a_true_status(
    server: RunningServer, upstream: FakeUpstream, script: list[Step], status: int, code: str
) -> None:
    upstream.script = script
    check_error(ask(server, stream=False), status, code)


def test_connections_are_held_open_before_anybody_asks() -> None:
    with (
        FakeUpstream() as alone,
        running_server({"LLM_BASE_URL": alone.base_url, "SPARE_CONNECTIONS": "3"}) as server,
    ):
        alone.wait_until(lambda: alone.connections == 3)
        alone.script = answer("Hello there")
        for _ in range(3):
            requests.post(f"{server.url}/chat/completions", json=HELLO, timeout=30)
        assert alone.connections == 3
