"""Tool servers for the measuring tools, on the event loop of their callers: they do what a call's argument says.

The argument `how` names the behaviour, for example `reset`, so that the server needs to know nothing of the turn, and
the upstream can judge the result by the same name. `GET_HOWS` says what the model may be told of each. The
MCP servers: `planned_mcp.py`.
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
UNREACHABLE = r'^\{"error":"the service can\'t be reached"\}$'
ANY_ERROR = r'^\{"error":'
SILENT = r'^\{"error":"no answer in '
BOMB = gzip.compress(b"x" * (50 << 20))
LARGE = b"[" + b"1," * (1 << 20) + b"1]"
SCHEMA = {"type": "object", "properties": {"how": {"type": "string"}, "n": {"type": "string"}}}
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
simple("zip bomb", ANY_ERROR, lambda _, out: out.whole(BOMB, content_encoding="gzip"))
simple("latin", r"caf\u00e9", lambda _, out: out.whole(b"caf\xe9", content_type="text/plain; charset=ISO-8859-1"))
simple("many headers", OK, lambda good, out: out.whole(good, **{f"x-{n}": "y" * 90 for n in range(90)}))
simple("nothing", r'^\{"ok":true\}$', lambda _, out: out.raw(b"HTTP/1.1 204 No Content\r\n\r\n"))
simple("empty", r'^\{"ok":true\}$', lambda _, out: out.whole(""))
simple("words", r"^It is there\.$", lambda _, out: out.whole("It is there.", content_type="text/plain"))
simple("missing", r'^\{"error":"HTTP 404"', lambda _, out: out.whole('{"detail":"no"}', 404))
simple("broken", r'^\{"error":"HTTP 500"', lambda _, out: out.whole("<html>Oops</html>", 500, content_type="text/html"))
simple("elsewhere", r'^\{"error":"HTTP 302"', lambda _, out: out.whole("", 302, location="http://127.0.0.1:1/x"))
simple("not text", ANY_ERROR, lambda _, out: out.whole(b"\xff\xfe\x80" * 9))
simple("large", ANY_ERROR, lambda _, out: out.whole(LARGE))
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
    await out.silence(0.3)
    out.whole(good)


@how("late", OK)
async def late(good: str, out: Out) -> None:
    """Answer after the first filler."""
    await out.silence(0.9)
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


def is_allowed(told: str, pattern: str) -> bool:
    """Return true if a result is one that the behaviour allows."""
    return re.search(pattern, told) is not None
