"""The tools of MCP servers: listed in the background, called from the greenlets of turns.

    starting  not listed yet: who asks for the tools waits for a moment, so that the first caller does not lack them
    ok        listed; again when the list has served its time, when the server says that it changed, when a call fails
    down      the server can't be reached, or refuses; asked again after 5, 10 ... 60 s. The last list stays, so that
              what a model is offered does not change with each hiccup; calls are tried, and may fail

Who speaks to the server: `mcp_connection.py`.
"""

import dataclasses
import functools
import re
import time
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import gevent
from gevent.event import Event

from parley.concurrency import checkpoint
from parley.errors import ParleyError, UpstreamBadResponse, UpstreamTimeout
from parley.http_client.spares import reason_of
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor
from parley.tools import mcp_protocol as protocol
from parley.tools.definitions import McpServer
from parley.tools.mcp_connection import McpConnection
from parley.tools.mcp_protocol import ListedTool, Reply
from parley.tools.tool import UNREACHABLE, Arguments, Call, Result, Tool

LIST_SECONDS = 15.0
"""Seconds for which a list is waited for, with all its pages and the negotiation before it."""
FIRST_LIST_SECONDS = 1.0
"""Seconds from the start for which the first list is waited for."""
MAX_PAGES = 20
MAX_TOOLS = 1_000
"""Tools of a server that are looked at; far fewer are offered."""
MAX_LOGGED_FAULTS = 20
"""Faults of a server's lists that are logged."""
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 5.0, 60.0
"""Seconds after which a server that is down is asked again, at first and in the end."""
SECRET = re.compile(r"auth|cookie|key|pass|secret|token", re.IGNORECASE)
"""Matches the names of headers, and of fields of a query, whose values are secret."""
SETTLE_SECONDS = 1.0
"""Seconds between a sign that the list may have changed and the next look: many calls may tell of it at once."""


class Server:
    """An MCP server as a file defines it: its tools, and how it is. Nothing is sent before `warm` or `refresh`."""

    def __init__(self, definition: McpServer) -> None:
        self.state: Literal["starting", "ok", "down"] = "starting"
        self.fault = ""
        """The reason why the server is down, without secrets; empty while it is not."""
        self._definition = definition
        self._wake = Event()
        self._was_asked = Event()
        self._connection = McpConnection(definition.endpoint, definition.headers, self._wake.set)
        pairs = [*definition.headers.items(), *parse_qsl(urlsplit(definition.endpoint).query)]
        secrets = [value for name, value in pairs if SECRET.search(name)]
        # Of `Bearer TOKEN` the token, too: a server may quote it alone.
        self._redactor = Redactor([word for value in secrets for word in (value, value.rpartition(" ")[2])])
        self._tools: list[Tool] = []
        self._listed: dict[str, ListedTool] = {}
        self._logged: set[str] = set()
        self._life = protocol.LIST_LIFE_SECONDS
        self._keeper: gevent.Greenlet[[], None] | None = None
        self._warmed_at = 0.0

    def tools(self) -> list[Tool]:
        """Return the tools of the latest list, in the order of their names; none before the first one."""
        if self.state == "starting" and self._keeper is not None:
            self._was_asked.wait(max(0.0, self._warmed_at + FIRST_LIST_SECONDS - time.monotonic()))
        return self._tools

    def warm(self) -> None:
        """List the tools, and keep the list up to date, from now on and in the background. To be called in a worker."""
        if self._keeper is None:
            self._warmed_at = time.monotonic()
            self._keeper = gevent.spawn(self.keep)

    def close(self) -> None:
        """End the work in the background, and the session, without waiting. Calls under way are not ended."""
        if self._keeper is not None:
            self._keeper.kill(block=False)
        self._connection.close()

    def keep(self) -> None:
        """Keep the list up to date, for ever. To be run in a greenlet."""
        retry = FIRST_RETRY_SECONDS
        while True:
            retry, wait = min(2 * retry, LAST_RETRY_SECONDS), retry
            try:
                if self.refresh():
                    retry, wait = FIRST_RETRY_SECONDS, self._life
            except Exception:  # noqa: BLE001 - the boundary: a list that could not be read must not be the last one
                log.exception("mcp_refresh_failed")
            self._was_asked.set()
            if self._wake.wait(wait):
                gevent.sleep(SETTLE_SECONDS)
                self._wake.clear()

    def refresh(self) -> bool:
        """List the tools now; return false if the server can't be asked, which is logged once for each reason."""
        try:
            with gevent.Timeout(LIST_SECONDS, UpstreamTimeout("the server did not list its tools in time")):
                entries = self.entries()
        except ParleyError as error:
            reason = self._redactor.redact(reason_of(error).replace("the upstream", "the server"))
            if self.fault != reason:
                log.warning("mcp_server_down", fault=f"{self._definition.name}: {reason}")
            # Another one may come back in its place, which speaks another form.
            self.state, self.fault, self._connection.session = "down", reason, None
            return False
        tools = self.offered(entries)
        if self.state != "ok" or len(tools) != len(self._tools):
            log.info("mcp_tools_listed", server=self._definition.name, tools=len(tools))
        self.state, self.fault, self._tools = "ok", "", tools
        return True

    def entries(self) -> list[Any]:
        """Return the entries of all pages of the list, as they came. Raises UpstreamError."""
        entries: list[Any] = []
        cursors: list[str] = []
        for _ in range(MAX_PAGES):
            params = {"cursor": cursors[-1]} if cursors else {}
            reply = self._connection.ask("tools/list", params, LIST_SECONDS, again=True)
            page, cursor = reply.result.get("tools"), reply.result.get("nextCursor")
            if not isinstance(page, list):
                raise UpstreamBadResponse(protocol.refusal_of(reply))
            entries += page
            # A cursor that comes twice would lead in a circle.
            if not isinstance(cursor, str) or not cursor or cursor in cursors:
                break
            cursors.append(cursor)
        self._life = protocol.life_of(reply.result)
        return entries

    def offered(self, entries: list[Any]) -> list[Tool]:
        """Return the tools of a list that may be offered, in the order of their names; what is wrong is logged once."""
        definition, session = self._definition, self._connection.session
        allowed = definition.allowed_tools
        listed: dict[str, ListedTool] = {}
        for entry in entries[:MAX_TOOLS]:
            # No caller waits for a list: the streams come first.
            checkpoint(background=True)
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name or (allowed is not None and name not in allowed):
                continue
            try:
                listed.setdefault(name, protocol.listed_tool(entry, stateless=bool(session and session.is_stateless)))
            except ValueError as reason:
                self.log_once("mcp_tool_left_out", f"{name[: protocol.MAX_NAME_CHARACTERS]}: {reason}")
        if missing := [name for name in allowed or () if name not in listed]:
            self.log_once("mcp_tools_missing", f"the server lists no {', '.join(missing)}")
        self._listed = listed
        names = protocol.model_names(listed, f"{definition.name}__" if definition.prefix else "")
        # Sorted: some servers list in another order each time, which would spoil the prompt caches of models.
        return sorted((self.as_tool(names[name], tool) for name, tool in listed.items()), key=lambda tool: tool.name)

    def as_tool(self, name: str, listed: ListedTool) -> Tool:
        """Return a listed tool, under the name that models are told."""
        return Tool(
            name,
            listed.description,
            listed.parameters,
            "mcp",
            functools.partial(self.run, listed.name),
            **self._definition.behaviour.of_tool(read_only=listed.read_only),
        )

    def log_once(self, event: str, fault: str) -> None:
        """Log a fault of the list, once for the server's life."""
        if fault not in self._logged and len(self._logged) < MAX_LOGGED_FAULTS:
            self._logged.add(fault)
            log.warning(event, fault=self._redactor.redact(f"{self._definition.name}: {fault}"))

    def run(self, name: str, arguments: Arguments, call: Call) -> Result:
        """Call a tool by the server's own name; return what the model is told, within the call's time."""
        limit = gevent.Timeout(call.seconds)
        try:
            with limit:
                reply = self.call(name, arguments, call.seconds + 1)
        except gevent.Timeout as passed:
            if passed is not limit:
                raise
            return Result.timed_out(call.seconds)
        except ParleyError:
            # The next look at the list tells, and logs, whether the server is down.
            self._wake.set()
            return Result.failed(UNREACHABLE, "unreachable")
        if self.state == "down" or reply.status in (400, 401, 403, 404):
            self._wake.set()
        result = protocol.result_of(reply)
        # A server may quote the request with its headers.
        return dataclasses.replace(result, text=self._redactor.redact_known(result.text))

    def call(self, name: str, arguments: Arguments, seconds: float) -> Reply:
        """Return the reply to a call of a tool. Raises UpstreamError."""
        params = {"name": name, "arguments": arguments}
        listed = self._listed.get(name)
        reply = self._connection.ask("tools/call", params, seconds, listed.headers(arguments) if listed else {})
        if reply.code == protocol.HEADER_MISMATCH and self.refresh() and (listed := self._listed.get(name)):
            # Not run: the tool has changed since it was listed.
            reply = self._connection.ask("tools/call", params, seconds, listed.headers(arguments))
        return reply
