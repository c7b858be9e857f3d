"""Tool servers for the measuring tools, on the event loop of their callers: they do what a call's argument says.

The argument `how` names the behaviour, for example `reset`, so that the server needs to know nothing of the turn, and
the upstream can judge the result by the same name. `GET_HOWS`, `MCP_HOWS` say what the model may be told of each.
"""

import asyncio
import contextlib
import gzip
import json
import re
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

OK = r'^\{"ok":true,"how":"[a-z ]+"\}$'
FAILED = r'^\{"error":"(the service can\'t be reached|no answer in [\d.]+ s\. .*)"'
ANY_ERROR = r'^\{"error":'
SILENT = r'^\{"error":"no answer in '
KEPT = {"content-type": "application/json"}


class Request(NamedTuple):
    """A request as it came."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object."""
        return dict(json.loads(self.body)) if self.body else {}


async def request_from(reader: asyncio.StreamReader) -> Request:
    """Return the next request of a connection. Raises EOFError at its end."""
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    verb, target, _ = start.split(" ")
    return Request(verb, target, headers, body)


class Peer:
    """A server on a port of the loopback. `open_requests` and `connections` are those of this moment."""

    def __init__(self) -> None:
        self.open_requests = self.connections = 0

    async def open(self) -> str:
        """Listen; return the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22, backlog=1024)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Listen no longer."""
        self._server.close()

    async def answer(self, request: Request, out: "Out") -> None:
        """Answer a request. ConnectionError ends the connection."""
        raise NotImplementedError

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        out = Out(reader, writer)
        try:
            with contextlib.suppress(ConnectionError, EOFError, asyncio.LimitOverrunError):
                while True:
                    request = await request_from(reader)
                    self.open_requests += 1
                    try:
                        await self.answer(request, out)
                        await writer.drain()
                    finally:
                        self.open_requests -= 1
        finally:
            self.connections -= 1
            writer.close()


class Out:
    """The way back to the caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def raw(self, data: bytes) -> None:
        """Write bytes."""
        self._writer.write(data)

    def whole(self, body: bytes | str, status: int = 200, length: int | None = None, **headers: str) -> None:
        """Write a response with a length."""
        data = body.encode() if isinstance(body, str) else body
        fields = {**KEPT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        size = len(data) if length is None else length
        self.raw(f"HTTP/1.1 {status} As planned\r\n{lines}content-length: {size}\r\n\r\n".encode("latin-1") + data)

    def chunks(self, *pieces: bytes, end: bool = True, **headers: str) -> None:
        """Write a response in chunks."""
        fields = {**KEPT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        body = b"".join(b"%x;why=not\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        self.raw(f"HTTP/1.1 200 OK\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode() + body)
        self.raw(b"0\r\nx-trailer: yes\r\n\r\n" if end else b"")

    async def silence(self, seconds: float) -> None:
        """Wait; ConnectionError once the caller has left."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reader.read(1), seconds)
            raise ConnectionAbortedError

    def leave(self, *, reset: bool = False) -> None:
        """End the connection. Raises ConnectionError."""
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        raise ConnectionAbortedError


How = Callable[[str, Out], Awaitable[None]]
GET_HOWS: dict[str, tuple[str, How]] = {}
"""Behaviours of the HTTP server, by name: what the model may be told, and what is done."""


def how(name: str, told: str) -> Callable[[How], How]:
    """Return the decorator that enters a behaviour."""

    def enter(work: How) -> How:
        GET_HOWS[name] = told, work
        return work

    return enter


def simple(name: str, told: str, *writes: Callable[[str, Out], object]) -> None:
    """Enter a behaviour that consists of writes."""

    @how(name, told)
    async def _(good: str, out: Out) -> None:
        for write in writes:
            write(good, out)


def cut(_: str, out: Out) -> None:
    """End the connection."""
    out.leave()


def reset(_: str, out: Out) -> None:
    """Reset the connection."""
    out.leave(reset=True)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
simple("well", OK, lambda good, out: out.whole(good))
simple("close unsaid", OK, lambda good, out: out.whole(good), cut)
simple("close said", OK, lambda good, out: out.whole(good, connection="close"), cut)
simple("old", OK, lambda good, out: out.raw(b"HTTP/1.0 200 OK\r\n\r\n" + good.encode()), cut)
simple("chunked", OK, lambda good, out: out.chunks(*(good[at : at + 7].encode() for at in range(0, len(good), 7))))
simple("mark", OK, lambda good, out: out.whole(b"\xef\xbb\xbf" + good.encode()))
simple("pretty", OK, lambda good, out: out.whole(json.dumps(json.loads(good), indent=4)))
simple("zipped", OK, lambda good, out: out.whole(gzip.compress(good.encode()), content_encoding="gzip"))
simple("zipped chunks", OK, lambda good, out: out.chunks(zlib.compress(good.encode()), content_encoding="deflate"))
simple("half of a zip", FAILED, lambda good, out: out.whole(gzip.compress(good.encode())[:-9], content_encoding="gzip"))
simple("zip bomb", ANY_ERROR, lambda _, out: out.whole(gzip.compress(b"x" * (50 << 20)), content_encoding="gzip"))
simple("latin", r"caf\u00e9", lambda _, out: out.whole(b"caf\xe9", content_type="text/plain; charset=ISO-8859-1"))
simple("many headers", OK, lambda good, out: out.whole(good, **{f"x-{n}": "y" * 90 for n in range(90)}))
simple("nothing", r'^\{"ok":true\}$', lambda _, out: out.raw(b"HTTP/1.1 204 No Content\r\n\r\n"))
simple("empty", r'^\{"ok":true\}$', lambda _, out: out.whole(""))
simple("words", r"^It is there\.$", lambda _, out: out.whole("It is there.", content_type="text/plain"))
simple("missing", r'^\{"error":"HTTP 404"', lambda _, out: out.whole('{"detail":"no"}', 404))
simple("broken", r'^\{"error":"HTTP 500"', lambda _, out: out.whole("<html>Oops</html>", 500, content_type="text/html"))
simple("elsewhere", r'^\{"error":"HTTP 302"', lambda _, out: out.whole("", 302, location="http://127.0.0.1:1/x"))
simple("not text", ANY_ERROR, lambda _, out: out.whole(b"\xff\xfe\x80" * 9))
simple("large", ANY_ERROR, lambda _, out: out.whole(b"[" + b"1," * (1 << 20) + b"1]"))
simple("long", r"(?s)^x{7000}.*\[cut\]$", lambda _, out: out.whole("x" * 20_000))
simple("no byte", FAILED, cut)
simple("reset", FAILED, reset)
simple("half a head", FAILED, lambda _, out: out.raw(HEAD[:20]), cut)
simple("half a body", FAILED, lambda good, out: out.whole(good, length=500), cut)
simple("half the chunks", FAILED, lambda good, out: out.chunks(good.encode(), end=False), cut)
simple("junk", FAILED, lambda _, out: out.raw(b"\x00\x01 garbage\r\n\r\n"), cut)
simple("bad length", FAILED, lambda _, out: out.raw(HEAD + b"content-length: many\r\n\r\n{}"), cut)
simple("two lengths", FAILED, lambda _, out: out.raw(HEAD + b"content-length: 2\r\ncontent-length: 9\r\n\r\n{}"), cut)
simple("two answers", OK, lambda good, out: (out.whole(good), out.whole('{"other":"caller"}')), cut)
simple("endless head", FAILED, lambda _, out: out.raw(HEAD + b"x: y\r\n" * 20_000), cut)


@how("hints", OK)
async def hints(good: str, out: Out) -> None:
    """Answer behind an interim response."""
    out.raw(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
    await out.silence(0.01)
    out.whole(good)


@how("slow", OK)
async def slow(good: str, out: Out) -> None:
    """Answer late."""
    await out.silence(0.4)
    out.whole(good)


@how("hang", SILENT)
async def hang(_: str, out: Out) -> None:
    """Never answer."""
    await out.silence(60)


@how("hang inside", SILENT)
async def hang_inside(good: str, out: Out) -> None:
    """Never answer to the end."""
    out.whole(good, length=500)
    await out.silence(60)


@how("drip", SILENT)
async def drip(_: str, out: Out) -> None:
    """Send a byte now and then, for ever."""
    out.raw(HEAD + b"content-length: 5000\r\n\r\n")
    for _ in range(600):
        out.raw(b" ")
        await out.silence(0.1)


class ToolServer(Peer):
    """The HTTP tools: `GET /look/{how}?n=...` and `POST /book` with `how` and `n` in the body."""

    def __init__(self) -> None:
        super().__init__()
        self.booked: Counter[str] = Counter()

    async def answer(self, request: Request, out: Out) -> None:
        """Do what the request says; count bookings by their key."""
        parts = urlsplit(request.target)
        if request.verb == "POST":
            name = str(request.json["how"])
            self.booked[request.headers["idempotency-key"]] += 1
        else:
            name = parts.path.rpartition("/")[2].replace("%20", " ")
            assert parse_qs(parts.query)["n"]
        await GET_HOWS[name][1](json.dumps({"ok": True, "how": name}), out)


MCP_HOWS = {
    "well": "^done$",
    "events": "^done$",
    "notices": "^done$",
    "ping": "^done$",
    "other id first": "^done$",
    "open end": "^done$",
    "slow": "^done$",
    "zipped": "^done$",
    "lost session": "^done$",
    "list changed": "^done$",
    "error": ANY_ERROR,
    "refused": ANY_ERROR,
    "asks": r'^\{"error":"the tool wants to ask somebody"\}$',
    "web page": FAILED,
    "no answer": FAILED,
    "stream cut": FAILED,
    "cut": FAILED,
    "reset": FAILED,
    "junk": FAILED,
    "bad json": FAILED,
    "too large": FAILED,
    "status 401": ANY_ERROR,
    "status 500": ANY_ERROR,
    "hang": SILENT,
    "notices for ever": r'^\{"error":',
}
"""Behaviours of the MCP servers in a call, by name: what the model may be told."""
NOTICE = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
PING = {"jsonrpc": "2.0", "id": "p1", "method": "ping"}
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
DONE = {"content": [{"type": "text", "text": "done"}]}
SCHEMA = {"type": "object", "properties": {"how": {"type": "string"}, "n": {"type": "string"}}}
EVENTS = {"content_type": "text/event-stream"}


class McpPeer(Peer):
    """An MCP server with one tool, in either form. From `is_faulty` on some lists fail, too."""

    def __init__(self, tool: str, *, keeps_sessions: bool) -> None:
        super().__init__()
        self.tool = tool
        self.is_faulty = False
        self._keeps_sessions = keeps_sessions
        self._sessions: set[str] = set()
        self._began = self._lists = 0
        self._lost: set[str] = set()

    async def answer(self, request: Request, out: Out) -> None:
        """Answer a message by its method."""
        asked = request.json
        method, session = asked.get("method"), request.headers.get("mcp-session-id", "")
        if self._keeps_sessions and method == "initialize":
            self._began += 1
            self._sessions.add(f"s{self._began}")
            version = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}
            out.whole(reply(asked, version), mcp_session_id=f"s{self._began}")
        elif self._keeps_sessions and session not in self._sessions:
            out.whole(error(asked, -32600, "no session"), 404 if session else 400)
        elif "id" not in asked or method is None:
            out.raw(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        elif method == "server/discover" and not self._keeps_sessions:
            out.whole(reply(asked, {"supportedVersions": ["2026-07-28"], "capabilities": {}}))
        elif method == "tools/list":
            self._list(asked, out)
        elif method == "tools/call":
            await self._call(asked, session, out)
        else:
            out.whole(error(asked, -32601, "no such method"), 404)

    def _list(self, asked: dict[str, Any], out: Out) -> None:
        self._lists += 1
        if self.is_faulty and self._lists % 3 == 0:
            out.leave(reset=self._lists % 2 == 0)
        entry = {"name": self.tool, "description": "Look.", "inputSchema": SCHEMA}
        out.whole(reply(asked, {"tools": [entry]}))

    async def _call(self, asked: dict[str, Any], session: str, out: Out) -> None:
        arguments = asked["params"]["arguments"]
        name, done = arguments["how"], reply(asked, DONE).encode()
        if name == "lost session" and self._keeps_sessions and arguments["n"] not in self._lost:
            self._lost.add(arguments["n"])
            self._sessions.discard(session)
            out.whole(error(asked, -32600, "no such session"), 404)
            return
        before = {"notices": [NOTICE] * 300, "ping": [PING], "list changed": [CHANGED]}
        other = {"jsonrpc": "2.0", "id": -7, "result": {"content": [{"type": "text", "text": "other"}]}}
        before["other id first"] = [other]
        if name in before:
            out.chunks(*(event(json.dumps(message).encode()) for message in before[name]), event(done), **EVENTS)
        elif name == "events":
            out.chunks(b": hello\r\n\r\nevent: message\r\n", event(done), **EVENTS)
        elif name == "zipped":
            out.whole(gzip.compress(done), content_encoding="gzip")
        elif name == "open end":
            out.chunks(event(done), end=False, **EVENTS)
            await out.silence(60)
        elif name == "notices for ever":
            out.chunks(end=False, **EVENTS)
            while True:
                piece = event(json.dumps(NOTICE).encode())
                out.raw(b"%x\r\n%b\r\n" % (len(piece), piece))
                await out.silence(0.05)
        else:
            await self._plain_call(name, asked, done, out)

    async def _plain_call(self, name: str, asked: dict[str, Any], done: bytes, out: Out) -> None:
        bodies = {
            "error": reply(asked, {**DONE, "isError": True}),
            "refused": error(asked, -32602, "no such tool"),
            "asks": reply(asked, {"resultType": "input_required"}),
            "bad json": '{"jsonrpc": "2.0", "id"',
            "too large": reply(asked, {"content": [{"type": "text", "text": "x" * (1 << 21)}]}),
        }
        if name in bodies:
            out.whole(bodies[name])
        elif name == "web page":
            out.whole("<html>Hello</html>", content_type="text/html")
        elif name.startswith("status"):
            out.whole("no", int(name[-3:]), content_type="text/plain")
        elif name == "no answer":
            out.chunks(event(json.dumps(NOTICE).encode()), **EVENTS)
        elif name in ("stream cut", "cut", "reset", "junk"):
            if name == "stream cut":
                out.chunks(event(json.dumps(NOTICE).encode()), b"data: {", end=False, **EVENTS)
            elif name == "junk":
                out.raw(b"\x00 junk\r\n\r\n")
            out.leave(reset=name == "reset")
        else:
            await out.silence({"slow": 0.4, "hang": 60.0}.get(name, 0.001))
            out.whole(done)


def event(data: bytes) -> bytes:
    """Return a server-sent event."""
    return b"data: " + data + b"\n\n"


def reply(asked: dict[str, Any], result: Any) -> str:
    """Return the answer to a request."""
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result})


def error(asked: dict[str, Any], code: int, message: str) -> str:
    """Return the error that answers a request."""
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "error": {"code": code, "message": message}})


def is_allowed(told: str, pattern: str) -> bool:
    """Return true if a result is one that the behaviour allows."""
    return re.search(pattern, told) is not None
