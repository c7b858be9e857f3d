"""MCP servers for the measuring tools: they do what a call's argument says, as in `planned_tools.py`."""

import gzip
import json
from typing import Any

from planned_tools import ANY_ERROR, FAILED, SCHEMA, SILENT, Out, Peer, Request

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
            await out.silence({"slow": 0.3, "hang": 60.0}.get(name, 0.001))
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
