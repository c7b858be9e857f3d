"""A fake of an MCP server that does, byte for byte, what a script tells it to do: `fake_upstream.py` with MCP's words.

    with FakeMcp() as server:                                    # stateless; FakeMcp(form="session") keeps sessions
        server.tools = [tool("stock"), tool("search")]
        server.scripts["tools/call"] = lambda asked: streamed(asked, PING, answer(asked, text("12 left")))

Without a script for its method a request is answered as a good server does. `asked` holds the messages so far.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

from fake_upstream import END, EVENT_STREAM, Call, FakeUpstream, Script, Step, encode, event, head, whole

NO_CONTENT: list[Step] = [head(202, {"content-length": "0"})]
PING = {"jsonrpc": "2.0", "id": "ping-1", "method": "ping"}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}


@dataclass(frozen=True)
class Asked:
    """A message that reached the fake, with the headers that it came with."""

    message: dict[str, Any]
    headers: dict[str, str]
    verb: str = "POST"

    @property
    def method(self) -> str:
        return str(self.message.get("method", ""))

    @property
    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.message.get("params", {})
        return params


def tool(name: str, **more: Any) -> dict[str, Any]:
    """Return an entry of a list of tools."""
    return {"name": name, "description": f"About {name}.", "inputSchema": {"type": "object"}, **more}


def text(*texts: str, **more: Any) -> dict[str, Any]:
    """Return the result of a call: parts of text."""
    return {"content": [{"type": "text", "text": one} for one in texts], **more}


def answer(asked: Asked, result: Any) -> dict[str, Any]:
    """Return the answer to a request."""
    return {"jsonrpc": "2.0", "id": asked.message.get("id"), "result": result}


def error(asked: Asked, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """Return the error that answers a request."""
    return {"jsonrpc": "2.0", "id": asked.message.get("id"), "error": {"code": code, "message": message, "data": data}}


def sent(message: Any, status: int = 200, **headers: str) -> list[Step]:
    """Return the script of one JSON body."""
    return whole(encode(message), status, {name.replace("_", "-"): value for name, value in headers.items()})


def streamed(*messages: Any) -> list[Step]:
    """Return the script of an event stream."""
    return [head(200, EVENT_STREAM), *(event(encode(message)) for message in messages), END]


class FakeMcp:
    """The server, for the length of a `with` block."""

    def __init__(self, *, form: Literal["stateless", "session"] = "stateless", port: int = 0) -> None:
        self.form = form
        self.tools: list[Any] = [tool("echo")]
        self.page_size = 1000
        self.scripts: dict[str, Callable[[Asked], Script]] = {}
        self.asked: list[Asked] = []
        self.sessions: set[str] = set()
        self._numbers = itertools.count(1)
        self.http = FakeUpstream(port=port)
        self.http.script = self._script

    def __enter__(self) -> Self:
        self.http.__enter__()
        self.url = f"http://127.0.0.1:{self.http.port}/mcp"
        return self

    def __exit__(self, *_: object) -> None:
        self.http.stop()

    def of(self, method: str) -> list[Asked]:
        """Return the messages of a method so far."""
        return [asked for asked in self.asked if asked.method == method]

    def _script(self, call: Call) -> Iterable[Step]:
        asked = Asked(call.json if call.body else {}, call.headers, call.method)
        self.asked.append(asked)
        script = self.scripts.get(asked.method)
        steps = script(asked) if script else self._good(asked)
        return steps(call) if callable(steps) else steps

    def _good(self, asked: Asked) -> list[Step]:
        """Do what the specification says."""
        if self.form == "session" and asked.method == "initialize":
            session = f"session-{next(self._numbers)}"
            self.sessions.add(session)
            version = asked.params["protocolVersion"]
            return sent(answer(asked, {"protocolVersion": version, "capabilities": {}}), mcp_session_id=session)
        if self.form == "session" and asked.headers.get("mcp-session-id") not in self.sessions:
            lost = "mcp-session-id" in asked.headers
            return sent(error(asked, -32600, "no such session"), 404 if lost else 400)
        if "id" not in asked.message or not asked.method:
            return NO_CONTENT
        results: dict[str, Callable[[], Any]] = {
            "server/discover": lambda: {"supportedVersions": ["2026-07-28"], "capabilities": {}},
            "tools/list": lambda: self._page(asked.params.get("cursor")),
            "tools/call": lambda: text(str(asked.params["arguments"].get("text", "done"))),
        }
        if asked.method not in results:
            return sent(error(asked, -32601, "no such method"), 404)
        return sent(answer(asked, results[asked.method]()))

    def _page(self, cursor: str | None) -> dict[str, Any]:
        first = int(cursor or 0)
        rest = first + self.page_size
        more = {"nextCursor": str(rest)} if rest < len(self.tools) else {}
        return {"tools": self.tools[first:rest], **more}
