"""Bodies that can't be served, or only just, on every route."""

import json
import uuid
from typing import Any

import pytest
import requests
from exchange import AUDIO, CHAT, ENDPOINTS, RAG, ROUTES, Answer, Caller, ask_once, check_error
from fake_upstream import FakeUpstream
from heard import says
from plain_http import HELLO, check_refusal, send, send_bytes
from running_server import RunningServer, post

pytestmark = pytest.mark.server

MESSAGES = [{"role": "user", "content": "Are you open?"}]


def hello(rest: bytes) -> bytes:
    """A good body, with more in it."""
    return b'{"messages":[{"role":"user","content":"Are you open?"}],"waiting":"off"' + rest + b"}"


@pytest.fixture
def server(single: RunningServer, first: FakeUpstream) -> RunningServer:
    """The server; its upstream answers in the form that is asked for."""
    first.script = says("Hello there")
    return single


def check_refused(
    server: RunningServer, upstream: FakeUpstream, body: bytes, code: str, param: str | None = None, **headers: str
) -> str:
    """All routes refuse this body in the same words, ask nobody, and serve the next request; gives the words."""
    messages = set()
    with Caller(server) as caller:
        for route in ROUTES:
            id = uuid.uuid4().hex
            answer = caller.ask(post(route, body, x_request_id=id, **headers))
            messages.add(check_error(answer, 400, code, param))
            end = server.wait_for_end(id)
            assert (end["outcome"], end["code"], end["attempts"]) == ("refused", code, 0)
        caller.check_in_step()
    assert upstream.calls == []
    (message,) = messages
    return message


def ask(server: RunningServer, route: str, body: Any, **headers: str) -> Answer:
    return ask_once(server, post(route, body, **headers))


def check_served(server: RunningServer, upstream: FakeUpstream, body: Any, **headers: str) -> Any:
    """Every route serves it; gives what the upstream was sent, which the routes have in common."""
    for route in (CHAT, RAG, "/v1/chat/completions"):
        assert ask(server, route, body, **headers).status == 200
    assert ask(server, "/v1/audio/chat/completions", body, **headers).status == 200
    assert [call.json["stream"] for call in upstream.calls] == [True, True, False]
    return upstream.calls[0].json


@pytest.mark.row("IN-01")
@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"messages": [\n  secret words]}', "line 2, column 3"),
        (b"secret", "line 1, column 1"),
        (b'{"messages":[],}', "line 1, column 16"),
        (b'{"secret": "words', "line 1, column 12"),
        (b"{'messages':[]}", "line 1, column 2"),
        (hello(b"") + b"secret", "line 1, column 73"),
        (b'{"a":1}{"a":1}', "line 1, column 8"),
    ],
)
def test_invalid_json_is_located_and_not_repeated(
    server: RunningServer, first: FakeUpstream, body: bytes, place: str
) -> None:
    message = check_refused(server, first, body, "invalid_json")
    assert place in message and "secret" not in message


@pytest.mark.row("IN-02")
@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "invalid_json"), (b" \n", "invalid_json")]
    + [(body, "invalid_value") for body in (b"null", b"[]", b'"x"', b"7", b"true", b'[{"messages":[]}]')],
)
def test_a_body_that_is_no_object_is_refused(
    server: RunningServer, first: FakeUpstream, body: bytes, code: str
) -> None:
    check_refused(server, first, body, code)


@pytest.mark.row("IN-03")
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "x", "multipart/form-data; boundary=x", "a\xff/;=,"]
)
def test_the_content_type_does_not_matter(server: RunningServer, first: FakeUpstream, kind: str) -> None:
    check_served(server, first, HELLO, content_type=kind)
    first.calls.clear()
    check_refused(server, first, b"model=a&messages=b", "invalid_json", content_type=kind)


@pytest.mark.row("IN-04")
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        hello(b',"tools":' + b"[" * 64 + b"]" * 64),
        hello(b',"tools":' + b'{"a":' * 64 + b"0" + b"}" * 64),
    ],
    ids=["open", "closed", "objects", "64 in the object", "64 objects in the object"],
)
def test_deep_nesting_is_refused(server: RunningServer, first: FakeUpstream, body: bytes) -> None:
    assert "64 levels" in check_refused(server, first, body, "invalid_json")


@pytest.mark.row("IN-04")
def test_nesting_up_to_the_limit_is_served(server: RunningServer, first: FakeUpstream) -> None:
    check_served(server, first, hello(b',"tools":' + b"[" * 63 + b"]" * 63))


@pytest.mark.row("IN-05")
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_a_number_unknown_to_json_is_refused_by_name(server: RunningServer, first: FakeUpstream, number: bytes) -> None:
    check_refused(server, first, hello(b',"temperature":' + number), "invalid_json", "temperature")
    check_refused(server, first, hello(b',"x":{"y":[1,' + number + b"]}"), "invalid_json", "x.y[1]")


@pytest.mark.row("IN-06")
@pytest.mark.parametrize(
    ("rest", "param"),
    [
        (b',"model":"a","model":"b"', "model"),
        (b',"stream":true,"stream":true', "stream"),
        (b',"x":{"y":1,"y":2}', "y"),
        (b',"messages":[]', "messages"),
        (b',"a":1,"\\u0061":2', "a"),
    ],
)
def test_a_field_that_occurs_twice_is_named(
    server: RunningServer, first: FakeUpstream, rest: bytes, param: str
) -> None:
    assert repr(param) in check_refused(server, first, hello(rest), "duplicate_key", param)


@pytest.mark.row("IN-07")
@pytest.mark.parametrize(
    "body",
    [
        hello(b',"user":"\xff"'),
        hello(b',"user":"\xc3"'),
        hello(b',"user":"\xed\xa0\x80"'),
        hello(b"").decode().encode("utf-16"),
        hello(b"").decode().encode("utf-16-le"),
        hello(b"").decode().encode("utf-32"),
        hello(b',"user":"\\ud800"'),
        hello(b',"user":"\\udc00\\ud800"'),
        hello(b',"x":{"\\uDBFF":1}'),
        hello(b',"user":"\0"'),
    ],
    ids=range(10),
)
def test_a_body_that_is_not_unicode_is_refused(server: RunningServer, first: FakeUpstream, body: bytes) -> None:
    check_refused(server, first, body, "invalid_json")


@pytest.mark.row("IN-07")
def test_a_byte_order_mark_and_every_character_are_accepted(server: RunningServer, first: FakeUpstream) -> None:
    words = "\0 \x7f \u2028 \ufeff \uffff \U0001f6b2 \u05e9\u05dc\u05d5\u05dd"
    body = json.dumps({"messages": [{"role": "user", "content": words}], "waiting": "off"}).encode()
    assert check_served(server, first, b"\xef\xbb\xbf" + body)["messages"][0]["content"] == words


@pytest.mark.row("IN-08")
@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1" + b"0" * 1_000_000])
def test_an_integer_of_thousands_of_digits_is_refused(
    server: RunningServer, first: FakeUpstream, number: bytes
) -> None:
    assert "too long" in check_refused(server, first, hello(b',"seed":' + number), "invalid_json")


@pytest.mark.row("IN-08")
def test_large_numbers_go_upstream_as_they_came(server: RunningServer, first: FakeUpstream) -> None:
    sent = check_served(server, first, hello(b',"seed":' + b"9" * 4000 + b',"top_p":1e-400'))
    assert (sent["seed"], sent["top_p"]) == (10**4000 - 1, 0.0)


@pytest.mark.row("IN-09")
@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        (None, "missing_field", "messages"),
        ({}, "invalid_value", "messages"),
        ("Hello?", "invalid_value", "messages"),
        ([], "invalid_value", "messages"),
        (7, "invalid_value", "messages"),
        (["Hello?"], "invalid_value", "messages[0]"),
        ([*MESSAGES, None], "invalid_value", "messages[1]"),
        ([[]], "invalid_value", "messages[0]"),
    ],
)
def test_messages_must_be_a_list_of_messages(
    server: RunningServer, first: FakeUpstream, messages: Any, code: str, param: str
) -> None:
    assert param in check_refused(server, first, json.dumps({"messages": messages}).encode(), code, param)


@pytest.mark.row("IN-10")
@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ({"content": "x"}, "missing_field", "role"),
        ({"role": "boss", "content": "x"}, "invalid_value", "role"),
        ({"role": ["user"], "content": "x"}, "invalid_value", "role"),
        ({"role": "User", "content": "x"}, "invalid_value", "role"),
        ({"role": "user"}, "missing_field", "content"),
        ({"role": "user", "content": None}, "missing_field", "content"),
        ({"role": "tool", "tool_call_id": "a"}, "missing_field", "content"),
        ({"role": "user", "content": 7}, "invalid_value", "content"),
        ({"role": "user", "content": {"type": "text"}}, "invalid_value", "content"),
        ({"role": "user", "content": [7]}, "invalid_value", "content[0]"),
        ({"role": "user", "content": [{"type": "text", "text": "x"}, None]}, "invalid_value", "content[1]"),
    ],
)
def test_an_invalid_message_is_refused_by_its_field(
    server: RunningServer, first: FakeUpstream, message: Any, code: str, field: str
) -> None:
    param = f"messages[1].{field}"
    body = json.dumps({"messages": [*MESSAGES, message]}).encode()
    assert param in check_refused(server, first, body, code, param)


CALL = {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "hologram", "depth": [1, {"x": None}]},
]


@pytest.mark.row("IN-10")
@pytest.mark.parametrize("route", [CHAT, "/v1/chat/completions"])
def test_parts_and_tool_calls_go_upstream_untouched(server: RunningServer, first: FakeUpstream, route: str) -> None:
    said = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": PARTS, "name": "caller"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call-1", "content": "seen"},
        {"role": "assistant", "refusal": "no"},
        {"role": "user", "content": [{"type": "hologram"}]},
    ]
    assert ask(server, route, {"messages": said}).status == 200
    assert first.calls[0].json["messages"] == said


@pytest.mark.row("IN-10")
@pytest.mark.parametrize("content", [PARTS, [{"type": "hologram", "text": 7}], [{}], "", []])
def test_no_part_is_too_odd_for_retrieval_and_audio(server: RunningServer, first: FakeUpstream, content: Any) -> None:
    body = {**HELLO, "messages": [{"role": "user", "content": content}]}
    for route in (RAG, "/rag/v1/chat/completions", "/v1/audio/chat/completions"):
        assert ask(server, route, body).status == 200
    assert len(first.calls) == 2


@pytest.mark.row("IN-11")
def test_unknown_fields_are_no_error_and_stay_here(server: RunningServer, first: FakeUpstream) -> None:
    unknown = {"never_heard_of": {"a": [1]}, "turn_id": 7, "call": {"id": "x"}, "metadata": {"k": "v"}, "": 0}
    sent = check_served(server, first, {**HELLO, **unknown, "top_k": 5, "seed": 1})
    assert sent.keys() == {"messages", "model", "stream", "top_k", "seed"}


@pytest.mark.row("IN-11")
def test_a_field_held_back_is_logged_the_first_time(server: RunningServer, first: FakeUpstream) -> None:
    check_served(server, first, {**HELLO, "held_back_once": 1, "turn_id": 8})  # three times, on three routes
    lines = [json.loads(line) for line in server.lines() if '"field_held_back"' in line]
    assert [line["field"] for line in lines].count("held_back_once") == 1
    assert "turn_id" not in [line["field"] for line in lines]  # known to be the platform's own


UPSTREAMS_OWN = {"temperature": "hot", "max_tokens": -1, "n": 5, "tools": "none", "stop": {}, "user": 7, "seed": None}


@pytest.mark.row("IN-12")
def test_types_are_checked_only_where_the_field_is_used(server: RunningServer, first: FakeUpstream) -> None:
    sent = check_served(server, first, {**HELLO, **UPSTREAMS_OWN})
    assert {name: sent[name] for name in UPSTREAMS_OWN} == UPSTREAMS_OWN


@pytest.mark.row("IN-12")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 7) for name in ("model", "stream", "stream_options", "modalities", "audio", "asset")),
        *(("stream", value) for value in ("yes", 1, [], "true")),
        ("modalities", ["text", None]),
        ("audio", []),
        ("asset", {"name": "welcome"}),
        *(("waiting", value) for value in ("sometimes", True, -1, 60_001, 1.5, [], {})),
    ],
)
def test_a_wrong_type_in_a_used_field_is_refused_by_name(
    server: RunningServer, first: FakeUpstream, name: str, value: Any
) -> None:
    body = json.dumps({**HELLO, name: value}).encode()
    assert name in check_refused(server, first, body, "invalid_value", name)


@pytest.mark.row("IN-13")
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "*/*", "\x00"[:0], "nonsense;q=x"])
@pytest.mark.parametrize(("wish", "bare", "v1"), [(True, 1, 1), (False, 0, 0), (None, 1, 0), ("absent", 1, 0)])
def test_the_stream_field_decides_and_else_the_path(
    server: RunningServer, first: FakeUpstream, wish: Any, bare: int, v1: int, accept: str
) -> None:
    body = {**HELLO, "asset": "x", **({} if wish == "absent" else {"stream": wish})}
    kinds = ("application/json", "text/event-stream")
    objects = (b'"chat.completion"', b'"chat.completion.chunk"')
    for number, route in enumerate(ROUTES):
        streams = v1 if number >= len(ENDPOINTS) else bare
        if streams and route.endswith("audio/chat/completions"):
            continue  # lasts as long as speech; where it is heard, the tests of /audio show it
        answer = ask(server, route, body, accept=accept)
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kinds[streams])
        assert objects[streams] in answer.body.replace(b": ", b":"), answer.body
    assert {call.json["stream"] for call in first.calls} == {bool(bare), bool(v1)}


@pytest.mark.row("IN-13")
def test_audio_streams_by_default(server: RunningServer) -> None:
    with Caller(server) as caller:
        caller.connection.sendall(post(AUDIO, HELLO))
        assert b"text/event-stream" in caller.connection.recv(4096)


def with_messages(rest: bytes = b"") -> bytes:
    return b'{"messages":[{"role":"user","content":"Are you open?"}]' + rest + b"}"


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
    b'{"messages":[{"content":"Are you open?"}]}': ("missing_field", "messages[0].role"),
    b'{"messages":[{"role":"boss","content":"Are you open?"}]}': ("invalid_value", "messages[0].role"),
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
        check_refusal(send(server, body, path), 400, code, param)
    assert upstream.calls == []


def test_a_large_body_that_cant_be_served_leaves_no_traceback(server: RunningServer) -> None:
    check_refusal(send(server, b"[" * 100_000), 400, "invalid_json")
    check_refusal(send(server, with_messages(b',"x":"' + b"x" * 100_000)), 400, "invalid_json")
    assert "Traceback" not in server.output()


def test_invalid_json_is_located_by_line_and_column(server: RunningServer) -> None:
    message = check_refusal(send(server, b'{"messages": [\n  secret words]}'), 400, "invalid_json")
    assert "line 2, column 3" in message and "secret" not in message


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "x"])
def test_any_content_type_will_do(server: RunningServer, kind: str) -> None:
    assert send(server, b"\xef\xbb\xbf" + with_messages(b',"x":"\\u0000"'), **{"content-type": kind}).status_code == 200


@pytest.mark.parametrize(
    "framed", [b"Z\r\n{}\r\n0\r\n\r\n", b"0x7\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"2\r\n{}xx\r\n0\r\n\r\n"]
)
def test_bad_chunk_framing_is_a_bad_request(server: RunningServer, upstream: FakeUpstream, framed: bytes) -> None:
    request = b"POST /chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + framed
    answered, body = send_bytes(server, request)
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


MIB = 1 << 20


@pytest.mark.row("IN-18")
@pytest.mark.parametrize("model", ["x" * 257, "x" * MIB, "a\r\nb", "a\0b", "a\u2028b", "\u200b", "a\tb"])
def test_an_invalid_model_name_is_refused(server: RunningServer, first: FakeUpstream, model: str) -> None:
    for route in ROUTES:
        check_error(ask_once(server, post(route, {**HELLO, "model": model})), 400, "invalid_value", "model")
    assert first.calls == []


@pytest.mark.row("IN-18")
@pytest.mark.parametrize("model", ["../../etc/passwd", "{{7*7}}", "${HOME}", "%s%n", "a/b:c", "x" * 256, "'; --", "é"])
def test_any_other_model_name_is_only_a_name(server: RunningServer, first: FakeUpstream, model: str) -> None:
    answer = ask_once(server, post("/v1/chat/completions", {**HELLO, "model": model}, x_request_id="in-18"))
    assert answer.status == 200 and "49" not in answer.headers.values()
    (call,) = first.calls
    assert call.json["model"] == model and call.path == "/v1/chat/completions"
    assert not [value for name, value in call.headers.items() if model in value and name != "content-length"]
    with Caller(server) as caller:
        metrics = caller.ask(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    assert metrics.status == 200 and model.encode() not in metrics.body


STEERING = ("api_base", "base_url", "api_key", "extra_headers", "extra_body", "organization", "proxy", "timeout", "url")


@pytest.mark.row("IN-19")
def test_a_caller_cannot_steer_where_the_request_goes(
    server: RunningServer, first: FakeUpstream, second: FakeUpstream, our_key: str
) -> None:
    wishes: dict[str, Any] = {**dict.fromkeys(STEERING, second.base_url), "extra_headers": {"x-evil": "1"}}
    before = second.connections
    for route in (CHAT, RAG, "/v1/chat/completions"):
        assert ask_once(server, post(f"{route}?base_url={second.base_url}", {**HELLO, **wishes})).status == 200
    for call in first.wait_for_calls(3):
        assert not call.json.keys() & wishes.keys() and "x-evil" not in call.headers
        assert call.headers["authorization"] == f"Bearer {our_key}"
    assert (second.connections, second.calls) == (before, [])
