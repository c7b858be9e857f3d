"""The connection to an MCP server: which form it speaks, sessions that are lost, answers in every wrapping, endings."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from fake_mcp import NO_CONTENT, PING, PROGRESS, Asked, FakeMcp, answer, error, sent, streamed, text
from fake_upstream import END, EVENT_STREAM, HANG, Script, close, encode, head, http_chunk, whole

from parley.errors import ParleyError, UpstreamBadResponse, UpstreamRedirect, UpstreamTimeout
from parley.tools import mcp_connection
from parley.tools.mcp_connection import MAX_ANSWER_BYTES, McpConnection
from parley.tools.mcp_protocol import Reply

Eventually = Callable[[Callable[[], object]], None]
SECONDS = 10.0
CALL: dict[str, Any] = {"name": "echo", "arguments": {"text": "hi"}}


@contextlib.contextmanager
def connected(server: FakeMcp, **headers: str) -> Iterator[McpConnection]:
    connection = McpConnection(server.url, headers, lambda: None)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture(params=["stateless", "session"])
def server(request: pytest.FixtureRequest) -> Iterator[FakeMcp]:
    """Yield a server of each form."""
    with FakeMcp(form=request.param) as server:
        yield server


@pytest.fixture
def stateless() -> Iterator[FakeMcp]:
    with FakeMcp() as server:
        yield server


@pytest.fixture
def keeps_sessions() -> Iterator[FakeMcp]:
    with FakeMcp(form="session") as server:
        yield server


def call(connection: McpConnection) -> Reply:
    return connection.ask("tools/call", CALL, SECONDS)


def words(reply: Reply) -> Any:
    """Return the text of a reply's only part."""
    (part,) = reply.result["content"]
    return part["text"]


def methods(server: FakeMcp) -> list[str]:
    return [asked.method for asked in server.asked]


# --- which form ---


def test_a_stateless_server_is_asked_without_a_handshake(stateless: FakeMcp) -> None:
    with connected(stateless, Authorization="Bearer secret-1") as connection:
        assert words(call(connection)) == words(call(connection)) == "hi"

    assert methods(stateless) == ["server/discover", "tools/call", "tools/call"]
    headers = stateless.asked[-1].headers
    assert headers["authorization"] == "Bearer secret-1"
    assert headers["accept"] == "application/json, text/event-stream"
    assert (headers["mcp-protocol-version"], headers["mcp-name"]) == ("2026-07-28", "echo")
    assert "mcp-session-id" not in headers


def test_an_older_server_gets_a_handshake(keeps_sessions: FakeMcp) -> None:
    with connected(keeps_sessions) as connection:
        assert words(call(connection)) == words(call(connection)) == "hi"

    assert methods(keeps_sessions) == [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/call",
        "tools/call",
    ]
    assert "mcp-protocol-version" not in keeps_sessions.of("initialize")[0].headers
    assert {asked.headers["mcp-session-id"] for asked in keeps_sessions.asked[2:5]} == {"session-1"}


REFUSALS: dict[str, Callable[[Asked], Script]] = {
    "unknown-method": lambda asked: sent(error(asked, -32601, "no such method")),
    "not-found": lambda _: whole(b"not found", 404, {"content-type": "text/plain"}),
    "bad-request": lambda _: whole(b"Bad Request", 400, {"content-type": "text/plain"}),
    "crash": lambda _: whole(b"", 500),
    "page": lambda _: whole(b"<html>", 200, {"content-type": "text/html"}),
    "nonsense": lambda asked: sent(answer(asked, "yes")),
    "older-versions": lambda asked: sent(answer(asked, {"supportedVersions": ["2025-06-18"]})),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_anything_but_a_discovery_leads_to_a_handshake(keeps_sessions: FakeMcp, refusal: str) -> None:
    keeps_sessions.scripts["server/discover"] = REFUSALS[refusal]
    with connected(keeps_sessions) as connection:
        assert words(call(connection)) == "hi"


def test_a_discovery_without_an_answer_leads_to_a_handshake(
    keeps_sessions: FakeMcp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_connection, "DISCOVER_SECONDS", 0.2)
    keeps_sessions.scripts["server/discover"] = lambda _: [HANG]
    with connected(keeps_sessions) as connection:
        assert words(call(connection)) == "hi"


def test_a_refusal_names_the_version_of_the_handshake(keeps_sessions: FakeMcp) -> None:
    supported = {"supported": ["2025-03-26", "2025-06-18", "2031-01-01"]}
    keeps_sessions.scripts["server/discover"] = lambda asked: sent(error(asked, -32022, "no", supported), 400)
    with connected(keeps_sessions) as connection:
        call(connection)

    assert keeps_sessions.of("initialize")[0].params["protocolVersion"] == "2025-06-18"


def test_a_server_of_unknown_versions_is_not_spoken_to(stateless: FakeMcp) -> None:
    supported = {"supported": ["2031-01-01"]}
    stateless.scripts["server/discover"] = lambda asked: sent(error(asked, -32022, "no", supported), 400)
    with connected(stateless) as connection, pytest.raises(UpstreamBadResponse, match="2031-01-01 only"):
        call(connection)
    assert methods(stateless) == ["server/discover"]


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26", "2024-11-05"])
def test_an_older_version_is_accepted(keeps_sessions: FakeMcp, version: str) -> None:
    keeps_sessions.scripts["initialize"] = lambda asked: sent(answer(asked, {"protocolVersion": version}))
    keeps_sessions.scripts["tools/call"] = lambda asked: sent(answer(asked, text("fine")))
    with connected(keeps_sessions) as connection:
        assert words(call(connection)) == "fine"
    assert keeps_sessions.asked[-1].headers["mcp-protocol-version"] == version
    # This one keeps no session.
    assert "mcp-session-id" not in keeps_sessions.asked[-1].headers


def test_a_handshake_in_an_unknown_version_fails(keeps_sessions: FakeMcp) -> None:
    keeps_sessions.scripts["initialize"] = lambda asked: sent(answer(asked, {"protocolVersion": "1999-01-01"}))
    with connected(keeps_sessions) as connection, pytest.raises(UpstreamBadResponse, match="1999-01-01 only"):
        call(connection)


# --- sessions ---


@pytest.mark.row("MC-02")
@pytest.mark.parametrize(
    ("status", "code"), [(404, -32600), (404, -32001), (400, -32000), (404, None)], ids=["404", "404-ts", "400", "bare"]
)
def test_a_lost_session_is_begun_anew(keeps_sessions: FakeMcp, status: int, code: int | None) -> None:
    with connected(keeps_sessions) as connection:
        call(connection)
        keeps_sessions.sessions.clear()
        refusal = (lambda asked: error(asked, code, "no such session")) if code else lambda _: "gone"

        def script(asked: Asked) -> Script:
            if asked.headers["mcp-session-id"] == "session-1":
                return sent(refusal(asked), status)
            return sent(answer(asked, text("again")))

        keeps_sessions.scripts["tools/call"] = script
        assert words(call(connection)) == "again"
    assert methods(keeps_sessions)[4:8] == ["tools/call", "initialize", "notifications/initialized", "tools/call"]


@pytest.mark.row("MC-02")
def test_calls_that_lose_a_session_together_begin_one(keeps_sessions: FakeMcp) -> None:
    with connected(keeps_sessions) as connection:
        call(connection)
        keeps_sessions.sessions.clear()
        calls = [gevent.spawn(call, connection) for _ in range(5)]
        assert [words(one.get(timeout=SECONDS)) for one in calls] == ["hi"] * 5
    assert len(keeps_sessions.of("initialize")) == 2


def test_a_server_of_the_other_form_in_its_place_is_found_out(stateless: FakeMcp) -> None:
    with connected(stateless) as connection:
        call(connection)
        stateless.form = "session"
        assert words(call(connection)) == "hi"
        stateless.sessions.clear()
        assert words(call(connection)) == "hi"


def test_a_session_that_is_lost_again_at_once_is_an_error(keeps_sessions: FakeMcp) -> None:
    keeps_sessions.scripts["tools/call"] = lambda asked: sent(error(asked, -32600, "no such session"), 404)
    with connected(keeps_sessions) as connection:
        assert call(connection).status == 404
    assert len(keeps_sessions.of("tools/call")) == 2


def test_a_session_is_ended(keeps_sessions: FakeMcp, eventually: Eventually) -> None:
    with connected(keeps_sessions) as connection:
        call(connection)
    eventually(lambda: keeps_sessions.asked[-1].verb == "DELETE")
    assert keeps_sessions.asked[-1].headers["mcp-session-id"] == "session-1"


def test_those_who_wait_for_a_negotiation_fail_with_it(stateless: FakeMcp) -> None:
    asked_for = threading.Event()
    stateless.scripts["server/discover"] = lambda _: [asked_for, *whole(b"", 500)]
    with connected(stateless) as connection:
        calls = [gevent.spawn(call, connection) for _ in range(4)]
        gevent.spawn_later(0.05, asked_for.set)
        gevent.joinall(calls)
    assert all(isinstance(one.exception, ParleyError) for one in calls)
    assert len(stateless.of("server/discover")) == len(stateless.of("initialize")) == 1


# --- answers ---

Message = dict[str, Any]
OTHER = {"jsonrpc": "2.0", "id": 999, "result": {}}
JUNK = b"data: {\n\n: hi\r\n\r\nevent: x\ndata:\n\n"
PRIMING = b"id: 1\nretry: 3000\ndata: \n\n"
CHUNKED_JSON = head(200, {"content-type": "application/json", "transfer-encoding": "chunked"})
UNFRAMED = head(200, {"content-type": "text/event-stream"})


def as_event(message: Message) -> bytes:
    return b"data: " + encode(message) + b"\n\n"


def bytewise(body: bytes) -> list[bytes]:
    return [*(http_chunk(bytes([one])) for one in body), END]


ANSWERS: dict[str, Callable[[Message], Script]] = {
    "json": sent,
    "json-in-a-list": lambda right: sent([PROGRESS, right]),
    "label-with-charset": lambda right: sent(right, content_type="Application/JSON; charset=x"),
    "no-label": lambda right: sent(right, content_type=""),
    "events": streamed,
    "notifications-first": lambda right: streamed(PROGRESS, PROGRESS, right),
    "ping-first": lambda right: streamed(PING, right),
    "another-answer-first": lambda right: streamed(OTHER, right),
    "id-as-text": lambda right: streamed({**right, "id": str(right["id"])}),
    "junk-first": lambda right: [head(), http_chunk(JUNK), *streamed(right)[1:]],
    "priming-event": lambda right: [head(), http_chunk(PRIMING), *streamed(right)[1:]],
    "byte-by-byte": lambda right: [head(), *bytewise(as_event(right))],
    "last-line-cut": lambda right: [UNFRAMED, as_event(right)[:-1], close],
    "never-closed": lambda right: [*streamed(right)[:2], HANG],
    "json-under-events": lambda right: sent(right, content_type="text/event-stream"),
    "events-under-json": lambda right: whole(b"event: message\r\n" + as_event(right)),
    "trickled-json": lambda right: [CHUNKED_JSON, *bytewise(encode(right))],
}


@pytest.mark.row("MC-03")
@pytest.mark.parametrize("form", ANSWERS)
def test_the_answer_is_found(server: FakeMcp, form: str) -> None:
    server.scripts["tools/call"] = lambda asked: ANSWERS[form](answer(asked, text("right")))
    with connected(server) as connection:
        assert words(call(connection)) == "right"


@pytest.mark.row("MC-03")
def test_a_ping_of_a_session_is_answered(keeps_sessions: FakeMcp, eventually: Eventually) -> None:
    ponged = threading.Event()

    def script(asked: Asked) -> Script:
        return [*streamed(PING)[:2], ponged, *streamed(answer(asked, text("right")))[1:]]

    def note(asked: Asked) -> Script:
        ponged.set()
        return NO_CONTENT

    keeps_sessions.scripts.update({"tools/call": script, "": note})
    with connected(keeps_sessions) as connection:
        assert words(call(connection)) == "right"
    assert keeps_sessions.of("")[0].message == {"jsonrpc": "2.0", "id": "ping-1", "result": {}}


def test_a_flood_of_pings_is_bounded(keeps_sessions: FakeMcp, eventually: Eventually) -> None:
    keeps_sessions.scripts["tools/call"] = lambda asked: streamed(*[PING] * 500, answer(asked, text("right")))
    with connected(keeps_sessions) as connection:
        assert words(call(connection)) == "right"
        eventually(lambda: len(keeps_sessions.of("")) == mcp_connection.MAX_HEEDED)


def test_a_change_of_the_list_is_told(server: FakeMcp) -> None:
    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    server.scripts["tools/call"] = lambda asked: streamed(changed, answer(asked, text("right")))
    told: list[bool] = []
    connection = McpConnection(server.url, {}, lambda: told.append(True))
    call(connection)
    connection.close()
    assert told == [True]


@pytest.mark.row("MC-03")
@pytest.mark.parametrize("wrapping", ["json", "events", "long-event"])
def test_a_huge_answer_is_given_up(server: FakeMcp, wrapping: str) -> None:
    huge = b"x" * (1 << 16)

    def endless(_: Asked) -> Script:
        label = "application/json" if wrapping == "json" else "text/event-stream"
        yield head(200, {**EVENT_STREAM, "content-type": label})
        for _ in range(1000):
            yield http_chunk(huge if wrapping == "long-event" else b"data: " + huge + b"\n\n")

    server.scripts["tools/call"] = endless
    with connected(server) as connection, pytest.raises(UpstreamBadResponse, match="too large"):
        call(connection)


def test_an_answer_of_nearly_the_limit_is_read(server: FakeMcp) -> None:
    long = "é" * (MAX_ANSWER_BYTES // 2 - 200)
    server.scripts["tools/call"] = lambda asked: streamed(answer(asked, text(long)))
    with connected(server) as connection:
        assert words(call(connection)) == long


@pytest.mark.row("MC-03")
@pytest.mark.parametrize("label", ["text/event-stream", "application/json"])
def test_bad_utf_8_is_replaced(server: FakeMcp, label: str) -> None:
    def script(asked: Asked) -> Script:
        body = encode(answer(asked, text("caf~"))).replace(b"~", b"\xe9")
        return whole(b"data: " + body + b"\n\n" if "event" in label else body, 200, {"content-type": label})

    server.scripts["tools/call"] = script
    with connected(server) as connection:
        assert words(call(connection)) == "caf\ufffd"


@pytest.mark.row("MC-03")
@pytest.mark.parametrize(
    "script",
    [
        streamed(PROGRESS),
        streamed({"jsonrpc": "2.0", "id": 999, "result": {}}),
        [head(), http_chunk(b"data: {}\n\n"), close],
        [close],
        [*whole(b'{"jsonrpc"')[:1], b'{"js', close],
    ],
    ids=["no-answer", "wrong-id", "cut", "closed", "half"],
)
def test_an_answer_that_does_not_come_is_an_error(server: FakeMcp, script: Script) -> None:
    server.scripts["tools/call"] = lambda _: script
    with connected(server) as connection, pytest.raises(ParleyError):
        call(connection)
    assert len(server.of("tools/call")) == 1


@pytest.mark.row("MC-03")
@pytest.mark.parametrize(
    ("script", "status"),
    [
        (whole(b"<html>", 200, {"content-type": "text/html"}), 200),
        (whole(b"", 202), 202),
        (whole(b"denied", 401, {"content-type": "text/plain"}), 401),
        (whole(b"{}", 503), 503),
    ],
    ids=["page", "empty", "denied", "busy"],
)
def test_a_reply_that_is_no_answer_keeps_its_status(server: FakeMcp, script: Script, status: int) -> None:
    server.scripts["tools/call"] = lambda _: script
    with connected(server) as connection:
        reply = call(connection)
    assert (reply.status, reply.answer) == (status, None)


@pytest.mark.row("MC-03")
@pytest.mark.parametrize(
    ("location", "place"),
    [("/mcp/", "/mcp/"), ("https://other.example/mcp", "https://other.example/mcp"), ("", "/mcp")],
)
def test_a_redirect_is_not_followed_but_named(server: FakeMcp, location: str, place: str) -> None:
    server.scripts["server/discover"] = lambda _: whole(b"", 307, {"location": location})
    with connected(server, authorization="Bearer secret-1") as connection, pytest.raises(UpstreamRedirect) as raised:
        call(connection)
    assert raised.value.message.endswith(f"redirects to {place if '//' in place else server.url[:-4] + place}")
    assert methods(server) == ["server/discover"]


# --- sent once; cancelled ---


def test_a_call_is_not_repeated_on_a_fresh_connection(server: FakeMcp) -> None:
    with connected(server) as connection:
        call(connection)
        server.scripts["tools/call"] = lambda _: [close]
        with pytest.raises(ParleyError):
            call(connection)
        assert len(server.of("tools/call")) == 2
        server.scripts.clear()
        assert words(call(connection)) == "hi"


@pytest.mark.row("MC-01")
def test_a_call_that_is_ended_is_cancelled_at_the_server(server: FakeMcp, eventually: Eventually) -> None:
    server.scripts["tools/call"] = lambda _: [head(), HANG]
    with connected(server) as connection:
        calling = gevent.spawn(call, connection)
        eventually(lambda: server.of("tools/call"))
        calling.kill()
        (asked,) = server.of("tools/call")
        eventually(lambda: server.of("notifications/cancelled"))
        (cancelled,) = server.of("notifications/cancelled")
    assert cancelled.params["requestId"] == asked.message["id"]
    assert cancelled.headers.get("mcp-session-id") == asked.headers.get("mcp-session-id")
    eventually(lambda: not server.http.open_calls)


def test_silence_in_an_answer_ends_it(server: FakeMcp, eventually: Eventually) -> None:
    server.scripts["tools/call"] = lambda _: [*streamed(PROGRESS)[:2], HANG]
    with connected(server) as connection:
        connection.ask("tools/list", {}, SECONDS)
        with pytest.raises(UpstreamTimeout):
            connection.ask("tools/call", CALL, 0.1)
        eventually(lambda: server.of("notifications/cancelled"))


@pytest.mark.parametrize("wrapping", ["json", "events"])
def test_connections_are_kept(server: FakeMcp, wrapping: str) -> None:
    server.scripts["tools/call"] = lambda asked: ANSWERS[wrapping](answer(asked, text("right")))
    with connected(server) as connection:
        for _ in range(5):
            call(connection)
            gevent.sleep(0.02)  # the end of the stream is read beside
        assert server.http.connections == 1


def test_a_refusal_counts_under_any_id(server: FakeMcp) -> None:
    server.scripts["tools/call"] = lambda asked: sent({**error(asked, -32602, "bad"), "id": "server-error"}, 400)
    with connected(server) as connection:
        assert call(connection).error["message"] == "bad"


def test_paths_and_queries_are_sent_as_they_are(stateless: FakeMcp) -> None:
    stateless.url = stateless.url.replace("/mcp", "/a b/ü/mcp/?key=1&x=%2F")
    with connected(stateless) as connection:
        call(connection)
        (first, *_) = stateless.http.calls
    assert first.path == "/a%20b/%C3%BC/mcp/?key=1&x=%2F"
