"""Headers and the framing of HTTP: smuggling, request ids, forwarded addresses, other protocols."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import gunicorn
import pytest
from exchange import CHAT, CLOSED, ENDPOINTS, HEALTH, RAG, ROUTES, Answer, Caller, check_error
from fake_upstream import EVENT_STREAM, FakeUpstream, answer, head, refusal
from heard import says
from plain_http import HELLO, send
from running_server import RunningServer, ServerDidNotStart, post, receive_until, running_server

pytestmark = pytest.mark.server

JSON = json.dumps(HELLO).encode()
SMUGGLED = b"GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: smuggled\r\n\r\n"


@pytest.fixture
def server(single: RunningServer, first: FakeUpstream) -> RunningServer:
    """The server; its upstream answers in the form that is asked for."""
    first.script = says("Hello there")
    return single


def framed(path: str, *lines: bytes, body: bytes = b"") -> bytes:
    """A request with these header lines and nothing of our own but a host."""
    return b"\r\n".join([f"POST {path} HTTP/1.1".encode(), b"host: parley", *lines, b"", b""]) + body


def check_gunicorns_own(server: RunningServer, upstream: FakeUpstream, request: bytes, *statuses: int) -> None:
    """gunicorn refuses with its short page and closes: nothing of ours ran, nothing behind it was read."""
    ends = len(server.request_ends())
    with Caller(server) as caller:
        refused = caller.ask(request + SMUGGLED)
        assert refused.status in statuses, refused
        assert refused == CLOSED or (refused.headers["connection"] == "close" and b"<html>" in refused.body)
        assert caller.is_closed()
    assert upstream.calls == [] and len(server.request_ends()) == ends and "Traceback" not in server.output()


FRAMING: dict[str, tuple[tuple[bytes, ...], int]] = {
    "length and chunked": ((b"content-length: 5", b"transfer-encoding: chunked"), 400),
    "chunked and length": ((b"transfer-encoding: chunked", b"content-length: 5"), 400),
    "two lengths": ((b"content-length: 5", b"content-length: 6"), 400),
    "two lengths in a line": ((b"content-length: 5, 6",), 400),
    "a length with plus": ((b"content-length: +7",), 400),
    "a length below none": ((b"content-length: -7",), 400),
    "a length in hex": ((b"content-length: 0x7",), 400),
    "a length with underscore": ((b"content-length: 1_0",), 400),
    "a length of words": ((b"content-length: seven",), 400),
    "no length": ((b"content-length:",), 400),
    "a length in other digits": ((b"content-length: \xd9\xa7",), 400),
    "a space before the colon": ((b"transfer-encoding : chunked",), 400),
    "a tab before the colon": ((b"transfer-encoding\t: chunked",), 400),
    "chunked, then identity": ((b"transfer-encoding: chunked, identity",), 400),
    "chunked twice": ((b"transfer-encoding: chunked, chunked",), 400),
    "chunked in two lines": ((b"transfer-encoding: chunked", b"transfer-encoding: chunked"), 400),
    "not quite chunked": ((b"transfer-encoding: xchunked",), 501),
    "chunked in quotes": ((b'transfer-encoding: "chunked"',), 501),
    "an unknown coding": ((b"transfer-encoding: cow",), 501),
    "chunked with a vertical tab": ((b"transfer-encoding: \x0bchunked",), 400),
}


@pytest.mark.row("HD-01")
@pytest.mark.parametrize("name", FRAMING)
def test_a_body_with_two_framings_is_refused(server: RunningServer, first: FakeUpstream, name: str) -> None:
    lines, status = FRAMING[name]
    for route in ROUTES:
        check_gunicorns_own(server, first, framed(route, *lines, body=b"0\r\n\r\n"), status)


@pytest.mark.row("HD-01")
def test_chunks_are_unknown_to_http_1_0(server: RunningServer, first: FakeUpstream) -> None:
    request = framed(CHAT, b"transfer-encoding: chunked", body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    check_gunicorns_own(server, first, request, 400)


@pytest.mark.row("HD-01")
def test_the_gunicorn_version_refuses_smuggling() -> None:
    assert int(gunicorn.__version__.partition(".")[0]) >= 23


CHUNKS = {
    "a size of no digits": b"Z\r\n{}\r\n0\r\n\r\n",
    "a size with prefix": b"0x7\r\n{}\r\n0\r\n\r\n",
    "a size below none": b"-1\r\n{}\r\n0\r\n\r\n",
    "a size with plus": b"+2\r\n{}\r\n0\r\n\r\n",
    "no size": b"\r\n{}\r\n0\r\n\r\n",
    "a size with a space": b" 2\r\n{}\r\n0\r\n\r\n",
    "a chunk that goes on": b"2\r\n{}xx\r\n0\r\n\r\n",
    "bare line feeds": b"2\n{}\n0\n\n",
    "an odd extension": b"2;\x01=\r\n{}\r\n0\r\n\r\n",
    "a bad trailer": b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
    "a size of many digits": b"f" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
    "a smuggled length": b"2\r\n{}\r\n0\r\ncontent-length : 5\r\n\r\n",
}


@pytest.mark.row("HD-02")
@pytest.mark.parametrize("name", CHUNKS)
def test_a_badly_framed_chunk_is_a_bad_request_and_closes(
    server: RunningServer, first: FakeUpstream, name: str
) -> None:
    for route in ROUTES:
        with Caller(server) as caller:
            refused = caller.ask(framed(route, b"transfer-encoding: chunked", body=CHUNKS[name] + SMUGGLED))
            check_error(refused, 400, "invalid_json")
            assert caller.is_closed()
    assert first.calls == [] and "smuggled" not in server.output() and "Traceback" not in server.output()


@pytest.mark.row("HD-02")
def test_chunks_that_stop_are_a_bad_request(server: RunningServer, first: FakeUpstream) -> None:
    for route in ROUTES:
        for half in (b"2\r\n{}", b"2\r\n{}\r\n", b"2\r\n{}\r\n0\r\n", b"ffffffff\r\n{}", b""):
            with Caller(server) as caller:
                caller.connection.sendall(framed(route, b"transfer-encoding: chunked", body=half))
                caller.connection.shutdown(1)
                assert caller.answer().status in (400, 0)
                assert caller.is_closed()
    assert first.calls == []


HEADERS = {
    "a bare line feed": b"x: a\nx-b: c",
    "a folded line": b"x: a\r\n b",
    "a folded line with a tab": b"x: a\r\n\tb",
    "NUL in a value": b"x: a\0b",
    "a bare carriage return": b"x: a\rb",
    "NUL in a name": b"x\0: a",
    "a space in a name": b"x y: a",
    "no name": b": a",
    "no colon": b"chunked",
    "a name that is not ASCII": "é: a".encode(),
    "a second host": b"host: other",
}


@pytest.mark.row("HD-03")
@pytest.mark.parametrize("name", HEADERS)
def test_an_ambiguous_head_is_refused(server: RunningServer, first: FakeUpstream, name: str) -> None:
    for route in ROUTES:
        check_gunicorns_own(server, first, framed(route, HEADERS[name], b"content-length: 0"), 400)


@pytest.mark.row("HD-03")
def test_bare_line_feeds_end_no_head(server: RunningServer, first: FakeUpstream) -> None:
    with Caller(server) as caller:
        caller.connection.sendall(framed(CHAT, b"content-length: 0").replace(b"\r\n", b"\n") + SMUGGLED)
        caller.connection.shutdown(1)
        assert caller.answer().status in (400, 0)
    assert first.calls == [] and "smuggled" not in server.output()


@pytest.mark.row("HD-04")
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (framed(CHAT, b"x: " + b"a" * 9000, b"content-length: 0"), 431),
        (framed(CHAT, *[b"x-%d: a" % number for number in range(101)]), 431),
        (framed(CHAT + "?" + "a" * 9000, b"content-length: 0"), 414),
        (framed(CHAT, b"x" * 9000 + b": a"), 431),
    ],
    ids=["a long header", "many headers", "a long path", "a long name"],
)
def test_a_head_too_large_is_refused_by_gunicorn(
    server: RunningServer, first: FakeUpstream, request_bytes: bytes, status: int
) -> None:
    check_gunicorns_own(server, first, request_bytes, status)


@pytest.mark.row("HD-04")
def test_the_readme_says_who_answers_a_malformed_request() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert re.search(r"gunicorn answers it with 400, 414, 417, 431 or 501 and a short HTML page", readme)


IDS = [b"a%0d%0aSet-Cookie:x=1", b"a b", b"a;b", b"<script>", b"x" * 129, b"", "é".encode(), b"a\tb", b"\xff", b"../x"]


@pytest.mark.row("HD-05")
@pytest.mark.parametrize("id", IDS, ids=ascii)
def test_only_a_clean_request_id_is_echoed(server: RunningServer, first: FakeUpstream, id: bytes) -> None:
    wished = b"/" not in id  # a path's characters are as unclean as any
    for route in (*ROUTES, "/nowhere"):
        with Caller(server) as caller:
            answered = caller.ask(framed(route, b"x-request-id: " + id, b"content-length: 2", body=b"{}"))
            told = answered.headers["x-request-id"]
            assert re.fullmatch("[0-9a-f]{32}", told) and "set-cookie" not in answered.headers and answered.status < 500
            caller.check_in_step()
    assert first.calls == [] and (wished or "../x" not in server.output())


@pytest.mark.row("HD-05")
def test_no_other_header_is_echoed(server: RunningServer) -> None:
    mark = "echo-4711"
    body = {**HELLO, "model": mark, "user": mark, "stream": False}
    lines = (f"x-{name}: {mark}".encode() for name in ("real-ip", "forwarded-host", "trace", "upstream-request-id"))
    for path in (f"{CHAT}?x={mark}", f"/{mark}"):
        content = json.dumps(body).encode()
        length = b"content-length: %d" % len(content)
        with Caller(server) as caller:
            answered = caller.ask(framed(path, *lines, b"host2: " + mark.encode(), length, body=content))
        assert mark not in str(answered.headers)


@pytest.mark.row("HD-06")
@pytest.mark.parametrize("name", ["LLM_API_KEY", "LLM_BASE_URL", "API_KEYS"])
@pytest.mark.parametrize(
    "value", ["sk-a\r\nx-evil: 1", "sk-a\nb", "sk-a\tb", "sk-\u00e9\u00e9\u00e9", "sk-a b"], ids=ascii
)
def test_a_setting_that_would_break_a_header_stops_the_start(name: str, value: str) -> None:
    given = f"http://127.0.0.1:9/{value}" if name == "LLM_BASE_URL" else value
    with pytest.raises(ServerDidNotStart) as caught, running_server({name: given}):
        pass
    assert f"parley: {name}: expected " in caught.value.output and "Traceback" not in caught.value.output


OUTBOUND = {
    *("host", "user-agent", "accept", "accept-encoding", "content-type", "content-length"),
    *("authorization", "x-request-id", "connection"),
}


@pytest.mark.row("HD-06")
@pytest.mark.parametrize("route", [CHAT, RAG, "/v1/chat/completions"])
def test_no_header_of_a_request_goes_upstream(server: RunningServer, first: FakeUpstream, route: str) -> None:
    evil = "x\r\nx-evil: 1\r\n\r\n"
    body = {**HELLO, "user": evil, "organization": evil, "messages": [{"role": "user", "content": evil, "name": evil}]}
    content = json.dumps(body).encode()
    odd = (
        b"x-evil: 1",
        b"cookie: a=b",
        b"openai-organization: x",
        b"forwarded: for=x",
        b"traceparent: x\xff",
        b"te: x",
    )
    with Caller(server) as caller:
        answered = caller.ask(framed(route, *odd, b"content-length: %d" % len(content), body=content))
        caller.check_in_step()
    (call,) = first.calls
    assert answered.status == 200 and call.headers.keys() <= OUTBOUND
    assert "evil" not in str(call.headers) and call.json["user"] == evil


@pytest.mark.row("HD-06")
def test_a_valid_traceparent_goes_upstream(server: RunningServer, first: FakeUpstream) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with Caller(server) as caller:
        answered = caller.ask(post("/v1/chat/completions", HELLO, traceparent=trace))
    assert first.calls[0].headers["traceparent"] == trace
    assert server.wait_for_end(answered.headers["x-request-id"])["trace_id"] == trace.split("-")[1]


INJECTION = 'Wait.\r\n\r\ndata: {"choices":[]}\n\ndata: [DONE]\n\n: x\revent: y'
IN_A_LINE = INJECTION.replace("\r", "\\r").replace("\n", "\\n")


@pytest.mark.row("HD-07")
@pytest.mark.parametrize("name", ["WAITING_MESSAGES", "FALLBACK_TEXT"])
def test_a_control_character_in_a_text_setting_is_refused(name: str) -> None:
    with pytest.raises(ServerDidNotStart) as caught, running_server({name: "One moment, \x1b[31mplease."}):
        pass
    assert re.search(rf"^parley: {name}: expected .*; it has U\+001B at 12$", caught.value.output, re.MULTILINE)


@pytest.mark.row("RE-04")
@pytest.mark.row("HD-07")
def test_a_text_setting_of_several_lines_is_said_in_one(first: FakeUpstream, quick_servers: Any) -> None:
    running = quick_servers(WAITING_MESSAGES=INJECTION, FALLBACK_TEXT="Désolé,\u00a0un\t instant\u202f!\n")
    first.script = refusal(500, {"message": "no"})
    with Caller(running) as caller:
        stream = caller.ask(post(RAG, {"messages": [{"role": "user", "content": "Are you open?"}]})).body
    payloads = [frame[6:] for frame in stream.split(b"\n\n") if frame.startswith(b"data: ")]
    said = [json.loads(payload)["choices"][0]["delta"].get("content", "") for payload in payloads[:-1]]
    assert "".join(said).split(" data: ") == ["Wait.", '{"choices":[]}', "[DONE] : x event: y.  Désolé, un instant !"]


@pytest.mark.row("HD-07")
def test_no_text_setting_can_break_the_stream(first: FakeUpstream, quick_servers: Any, tmp_path: Path) -> None:
    (tmp_path / "kb.json").write_text(json.dumps([{"title": INJECTION, "text": f"Hello hello. {INJECTION}"}]))
    running = quick_servers(WAITING_MESSAGES=IN_A_LINE, FALLBACK_TEXT=IN_A_LINE, KB_DIR=str(tmp_path))
    body = {"messages": [{"role": "user", "content": f"Are you open? {INJECTION}"}]}
    streams = []
    for script in (answer(INJECTION), refusal(500, {"message": INJECTION})):
        first.script = script
        with Caller(running) as caller:
            streams.append(caller.ask(post(RAG, body)).body)
    for stream in streams:
        *frames, rest = stream.split(b"\n\n")
        payloads = [frame[6:] for frame in frames if frame.startswith(b"data: ")]
        assert rest == b"" and payloads.count(b"[DONE]") == 1 and payloads[-1] == b"[DONE]"
        assert all(
            frame.startswith((b"data: ", b": error code=", b": citations ")) and b"\n" not in frame for frame in frames
        )
        deltas = [json.loads(payload)["choices"][0]["delta"] for payload in payloads[:-1]]
        said = "".join(delta.get("content") or "" for delta in deltas)
        assert said.startswith(IN_A_LINE) and said.endswith(INJECTION if stream is streams[0] else IN_A_LINE)
    assert "Hello hello." in first.calls[0].json["messages"][-1]["content"]


FORGED = (b"x-forwarded-for: 203.0.113.7, 198.51.100.9", b"x-forwarded-proto: https", b"x-real-ip: 203.0.113.7")


@pytest.mark.row("HD-08")
@pytest.mark.parametrize(("proxies", "client"), [("0", "127.0.0.1"), ("1", "198.51.100.9"), ("2", "203.0.113.7")])
def test_a_forwarded_address_is_trusted_from_counted_proxies(
    first: FakeUpstream, quick_servers: Any, proxies: str, client: str
) -> None:
    running, id = quick_servers(TRUSTED_PROXIES=proxies), f"hd-08-{proxies}"
    with Caller(running) as caller:
        length = b"content-length: %d" % len(JSON)
        caller.ask(framed(CHAT, *FORGED, b"x-request-id: " + id.encode(), length, body=JSON))
    end = running.wait_for_end(id)
    assert (end["client"], end["client_by"]) == (client, "peer" if client == "127.0.0.1" else "proxy")


@pytest.mark.row("HD-08")
@pytest.mark.parametrize(
    "forged", [b"x-forwarded-for: " + b"a," * 2000, b"x-forwarded-for: \xff", b"forwarded: for=\0"]
)
def test_a_malformed_forwarded_address_harms_nobody(first: FakeUpstream, quick_servers: Any, forged: bytes) -> None:
    with Caller(quick_servers(TRUSTED_PROXIES="1")) as caller:
        assert caller.ask(framed(CHAT, forged, b"content-length: 2", body=b"{}")).status == 400


UPSTREAMS = {
    "set-cookie": "a=b",
    "server": "upstream",
    "openai-organization": "org-secret",
    "openai-processing-ms": "7",
    "x-powered-by": "upstream",
    "connection": "x-hop, keep-alive",
    "x-hop": "1",
    "access-control-allow-origin": "*",
    "location": "https://elsewhere.example",
    "x-request-id": "upstream-7",
    "x-ratelimit-remaining-requests": "9",
}
OURS = {
    *("server", "date", "connection", "transfer-encoding", "content-type", "content-length", "cache-control"),
    *("x-accel-buffering", "x-request-id", "x-content-type-options", "x-relay-attempts", "x-upstream-request-id"),
    "server-timing",
}


@pytest.mark.row("HD-09")
@pytest.mark.parametrize("route", [CHAT, RAG, "/v1/chat/completions"])
def test_an_upstreams_headers_are_not_passed_on(server: RunningServer, first: FakeUpstream, route: str) -> None:
    def script(call: Any) -> Any:
        if not call.json["stream"]:
            start, body = says("Hello there")(call)
            fields = "".join(f"{name}: {value}\r\n" for name, value in UPSTREAMS.items()).encode()
            return [start.replace(b"\r\n", b"\r\n" + fields, 1), body]
        return [head(200, {**EVENT_STREAM, **UPSTREAMS}), *answer("Hello there")[1:]]

    first.script = script
    with Caller(server) as caller:
        answered = caller.ask(post(route, HELLO, x_request_id="callers-own"))
        caller.check_in_step()
    assert answered.status == 200 and answered.headers.keys() <= OURS | {"x-ratelimit-remaining-requests"}
    told = (answered.headers["x-request-id"], answered.headers["x-upstream-request-id"])
    assert told == ("callers-own", "upstream-7") and answered.headers["server"] == "gunicorn"


@pytest.mark.row("HD-09")
def test_of_a_refusals_headers_only_the_limits_are_passed_on(server: RunningServer, first: FakeUpstream) -> None:
    limits = {"retry-after": "60", "x-ratelimit-remaining-requests": "0"}
    hostile = {name: value for name, value in UPSTREAMS.items() if name != "connection"}
    first.script = refusal(429, {"message": "slow down"}, {**hostile, **limits})
    for route in (CHAT, RAG, "/v1/chat/completions"):
        with Caller(server) as caller:
            answered = caller.ask(post(route, HELLO))
            caller.check_in_step()
        assert answered.status == 429 and limits.items() <= answered.headers.items()
        assert answered.headers.keys() <= OURS | limits.keys()


@pytest.mark.row("HD-09")
@pytest.mark.parametrize("value", ["a b", "x" * 129, "<a>", "a;b=c", "\u00e9"])
def test_an_upstreams_unclean_id_is_not_relayed(server: RunningServer, first: FakeUpstream, value: str) -> None:
    first.script = [head(200, {**EVENT_STREAM, "x-request-id": value}), *answer("Hello there")[1:]]
    with Caller(server) as caller:
        answered = caller.ask(post(CHAT, HELLO))
    assert answered.status == 200 and "x-upstream-request-id" not in answered.headers


HELLO_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)
STRANGE = {
    "HTTP/2": (PREFACE, {400, 405, 505, 0}),
    "TLS": (HELLO_TLS + b"\r\n\r\n", {400, 0}),
    "CONNECT": (b"CONNECT parley:443 HTTP/1.1\r\nhost: parley\r\n\r\n", {400, 404, 405}),
    "TRACE": (b"TRACE /chat/completions HTTP/1.1\r\nhost: parley\r\ncontent-length: 0\r\n\r\n", {405}),
    "an absolute form": (b"POST http://other.example/nowhere HTTP/1.1\r\nhost: parley\r\n\r\n", {404}),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nhost: parley\r\n\r\n", {200, 400, 404}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {400, 0}),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nhost: x\r\n\r\n", {400, 505, 0}),
    "an upgrade to HTTP/2": (
        b"POST /chat/completions HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAMAAABkAAQAAP__\r\ncontent-length: 2\r\n\r\n{}",
        {400},
    ),
    "an upgrade to websockets": (
        b"GET /chat/completions HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: AAAA\r\nsec-websocket-version: 13\r\n\r\n",
        {405},
    ),
    "SMTP": (b"EHLO x\r\n\r\n", {400, 0}),
    "random bytes": (bytes(range(256)) * 8 + b"\r\n\r\n", {400, 0}),
}


@pytest.mark.row("HD-10")
@pytest.mark.parametrize("name", STRANGE)
def test_another_protocol_is_refused_and_harms_nobody(server: RunningServer, first: FakeUpstream, name: str) -> None:
    request, statuses = STRANGE[name]
    with server.connect() as connection:
        connection.sendall(request)
        connection.shutdown(1)
        received = receive_until(connection, b"no such bytes")
    status = int(received.split()[1]) if received else 0
    assert status in statuses, received
    with Caller(server) as caller:
        caller.check_in_step()
    assert first.calls == [] and "Traceback" not in server.output()


@pytest.mark.row("HD-10")
def test_an_absolute_form_target_is_served(server: RunningServer) -> None:
    with Caller(server) as caller:
        answered = caller.ask(post(f"http://parley{CHAT}", {**HELLO, "stream": False}))
        assert (answered.status, answered.json["object"]) == (200, "chat.completion")


BY_AND_BY = (b"1000\r\n" + SMUGGLED.ljust(4096) + b"\r\n") * 1000 + b"0\r\n\r\n"
REFUSED: dict[str, tuple[bytes, int]] = {
    "invalid JSON": (post("%s", b"{"), 400),
    "a body in chunks": (framed("%s", b"transfer-encoding: chunked", body=b"1\r\n{\r\n0\r\nx-trailer: a\r\n\r\n"), 400),
    "compressed": (post("%s", JSON, content_encoding="gzip"), 415),
    "compressed in chunks": (
        framed("%s", b"content-encoding: gzip", b"transfer-encoding: chunked", body=b"5\r\nabcde\r\n0\r\n\r\n"),
        415,
    ),
    "too large": (post("%s", SMUGGLED * 100_000), 413),
    "too large in chunks": (
        framed("%s", b"transfer-encoding: chunked", body=BY_AND_BY),
        413,
    ),
    "a foreign page": (post("%s", SMUGGLED, origin="https://a.example"), 403),
    "no route": (post("%s/nowhere", SMUGGLED), 404),
    "another method": (post("%s", SMUGGLED).replace(b"POST", b"PUT", 1), 405),
    "a GET with a body": (post("%s", SMUGGLED).replace(b"POST", b"GET", 1), 405),
}


@pytest.mark.row("HD-11")
@pytest.mark.parametrize("name", REFUSED)
def test_after_a_refusal_the_next_request_is_read_whole(server: RunningServer, first: FakeUpstream, name: str) -> None:
    request, status = REFUSED[name]
    for route in ROUTES:
        with Caller(server) as caller:
            for _ in range(2):
                refused = caller.ask(request.replace(b"%s", route.encode(), 1))
                assert refused.status == status and refused.json["error"]["code"]
                caller.check_in_step()
    assert first.calls == [] and "smuggled" not in server.output()


def ask_ahead(server: RunningServer, request: bytes) -> tuple[Answer, Answer]:
    """The answers to a request and to another that is sent along with it."""
    with Caller(server) as caller:
        return caller.ask(request + HEALTH), caller.answer()


@pytest.mark.row("HD-11")
@pytest.mark.parametrize("name", [name for name, (request, _) in REFUSED.items() if len(request) < 10_000])
def test_a_request_pipelined_behind_a_refusal_is_read_whole(server: RunningServer, name: str) -> None:
    request, status = REFUSED[name]
    for route in ROUTES:
        refused, health = ask_ahead(server, request.replace(b"%s", route.encode(), 1))
        assert (refused.status, health.status, health.json) == (status, 200, {"status": "ok"})


@pytest.mark.row("HD-11")
def test_after_a_good_answer_the_next_request_is_read_whole(server: RunningServer, first: FakeUpstream) -> None:
    for route in [*ENDPOINTS[:2], "/v1/audio/chat/completions"]:
        good, health = ask_ahead(server, post(route, HELLO))
        assert (good.status, health.status) == (200, 200)


@pytest.mark.row("HD-11")
def test_a_body_without_end_ends_its_connection(server: RunningServer, first: FakeUpstream) -> None:
    for route in ROUTES[:3]:
        with Caller(server) as caller:
            refused = caller.ask(post(route, b"", content_length=str(1 << 40)))
            check_error(refused, 413, "request_too_large")
            with pytest.raises(ConnectionError):
                for _ in range(1000):
                    caller.connection.sendall(SMUGGLED * 16_000)
    assert first.calls == [] and "smuggled" not in server.output()


def test_a_clean_request_id_is_echoed_and_logged(server: RunningServer) -> None:
    for given in ("turn-1", "A.b_c-9", "x" * 128):
        assert send(server, **{"x-request-id": given}).headers["x-request-id"] == given
        assert server.wait_for_end(given)["outcome"] == "ok"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "a;b", "<a>", b"\xc3\xa9", b"a%0d%0aset-cookie:x"])
def test_any_other_request_id_is_replaced(server: RunningServer, upstream: FakeUpstream, given: Any) -> None:
    told = send(server, **{"x-request-id": given}).headers["x-request-id"]
    assert len(told) == 32 and told.isalnum() and upstream.calls[0].headers["x-request-id"] == told
    assert server.wait_for_end(told)["code"] is None
