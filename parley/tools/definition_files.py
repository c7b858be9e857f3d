"""The operator's JSON files, read into definitions of tools; each fault gets the line and the column where it stands.

The forms are those of Agora's `llm.tools` and `llm.mcp_servers`, with keys of Parley's beside `function`
(docs/tools.md). A key that is not known is a fault, so that a slip of the pen is not silent.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from parley.files.json_document import PHRASE_FORM, Closed, JsonDocument, Phrase
from parley.files.json_file import InvalidFile
from parley.files.location import Path as JsonPath
from parley.tools import templates
from parley.tools.definitions import NAME, Behaviour, HttpTool, McpServer, undeclared
from parley.tools.templates import BadTemplate, Template
from parley.tools.tool import Call

RESERVED_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Headers that frame a message, which Parley alone can write."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Definitions:
    """Tools and servers of one file, in its order, and its faults as `file:line:col: message`.

    `secrets` are the values that the file took from the environment.
    """

    tools: tuple[HttpTool | McpServer, ...] = ()
    faults: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


FORMS = {
    "name": "a name is a letter, then letters, digits, _ and -: 64 characters at most, of an MCP server 48",
    "waiting": PHRASE_FORM,
}
"""Forms of texts, for the faults of those that have another one."""


class _Function(Closed, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME}$")]
    description: Annotated[str, msgspec.Meta(min_length=1)]
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    strict: bool = False


class _Server(Closed, frozen=True, kw_only=True):
    url: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: Any = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=100_000)] | None = None


class _Execution(Closed, frozen=True, kw_only=True):
    mode: Literal["sync"] = "sync"


class _Extras(Closed, frozen=True, kw_only=True):
    waiting: tuple[Phrase, ...] = ()
    interruptable: bool | None = None
    reuse_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0
    hold_ms: Annotated[int, msgspec.Meta(ge=0, le=2000)] = 0
    after: bool = False
    cancel: bool | None = None


class _Tool(_Extras, frozen=True, kw_only=True):
    function: _Function
    server: _Server
    type: Literal["function"] = "function"
    execution: _Execution = _Execution()


class _McpServer(_Extras, frozen=True, kw_only=True):
    # Agora's form, in which a name has no room for the mark between server and tool.
    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_-]{0,47}$")]
    endpoint: str
    transport: str = "streamable_http"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    allowed_tools: tuple[str, ...] | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=100_000)] | None = None
    prefix: bool = False


def read(path: Path, environ: Mapping[str, str], content: bytes | None = None) -> Definitions:
    """Return what a file of a folder of tools defines. `environ` is what `{{env.NAME}}` is taken from.

    The file is read unless its `content` is given.
    """
    try:
        document = JsonDocument.read(path, content, FORMS)
    except InvalidFile as exc:
        return Definitions(faults=(str(exc),))
    # What is taken from the environment is a secret, which results and log lines must not show.
    reader = _Reader(document, _Watched(environ))
    tools = tuple(reader.definitions(document.value))
    return Definitions(tools, tuple(document.faults), frozenset(reader.environ.used))


class _Watched(dict[str, str]):
    """An environment that notes which values were taken."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> str:
        value = super().__getitem__(name)
        self.used.add(value)
        return value


class _Reader:
    """The definitions of one file; what can't be used becomes a fault with its line and column."""

    def __init__(self, document: JsonDocument, environ: _Watched) -> None:
        self.environ = environ
        self.faults = document.faults
        self.fault = document.fault
        self.shaped = document.shaped

    def definitions(self, value: Any) -> Iterator[HttpTool | McpServer]:
        """Yield the tools and servers of a file's value, a list of tools or an object."""
        if isinstance(value, list):
            yield from self.entries(value, ())
            return
        if not isinstance(value, dict):
            self.fault((), 'must hold a list of tools, or {"tools": [...], "mcp_servers": [...]}')
            return
        for key, entries in value.items():
            if key not in ("tools", "mcp_servers"):
                self.fault((key,), f'"{key[:64]}" is not known; known are tools, mcp_servers')
            elif not isinstance(entries, list):
                self.fault((key,), f'"{key}" must be a list')
            else:
                yield from self.entries(entries, (key,))

    def entries(self, entries: list[Any], path: JsonPath) -> Iterator[HttpTool | McpServer]:
        """Yield the usable ones among the entries of a list."""
        # A list by itself holds tools only.
        for number, entry in enumerate(entries):
            at = (*path, number)
            read_entry = self.mcp_server if path == ("mcp_servers",) else self.http_tool
            if definition := read_entry(entry, at):
                yield definition

    def http_tool(self, entry: Any, path: JsonPath) -> HttpTool | None:
        """Return the tool of an entry; None if it has faults."""
        tool = self.shaped(entry, _Tool, path)
        if tool is None:
            return None
        before = len(self.faults)
        server, function = tool.server, tool.function
        if function.parameters.get("type", "object") != "object":
            self.fault((*path, "function", "parameters"), 'the parameters must have the type "object"')
        # All that can be checked is, so that an operator mends everything at once.
        url = self.template((*path, "server", "url"), lambda: templates.parse_url(server.url, self.environ))
        headers = self.headers(server.headers, (*path, "server", "headers"))
        body = None
        # `null` is no body: then the arguments are.
        if server.body is not None:
            at = (*path, "server", "body")
            body = self.template(at, lambda: templates.parse_body(server.body, self.environ))
            if server.method in ("GET", "DELETE"):
                self.fault(at, f"a {server.method} request has no body; use POST, PUT or PATCH")
        # A slip in a name would send nothing in its place.
        used = [*(url.variables if url else ()), *(templates.body_variables(body) if body else ())]
        for name in undeclared(used, function.parameters):
            self.fault((*path, "server"), f"{{{{args.{name}}}}} is none of the function's parameters")
        if url is None or len(self.faults) > before:
            return None
        return HttpTool(
            function.name,
            function.description,
            # Complete, as OpenAI's API wants it.
            {"type": "object", "properties": {}, **function.parameters},
            server.method,
            url,
            headers,
            body,
            Behaviour(server.timeout_ms, **extras_of(tool)),
            function.strict,
        )

    def mcp_server(self, entry: Any, path: JsonPath) -> McpServer | None:
        """Return the server of an entry; None if it has faults."""
        server = self.shaped(entry, _McpServer, path)
        if server is None:
            return None
        before = len(self.faults)
        if server.transport != "streamable_http":
            self.fault((*path, "transport"), 'only the transport "streamable_http" is spoken')
        url = self.template((*path, "endpoint"), lambda: templates.parse_url(server.endpoint, self.environ))
        headers = self.headers(server.headers, (*path, "headers"))
        if url and url.variables:
            self.fault((*path, "endpoint"), "an endpoint may hold {{env.NAME}} only: it is the same for all calls")
        for name in (name for name, template in headers.items() if template.variables):
            self.fault((*path, "headers", name), "a header of an MCP server may hold {{env.NAME}} only")
        # Agora's own way to say "all"; an empty list hangs its agents.
        allowed = None if server.allowed_tools and "*" in server.allowed_tools else server.allowed_tools
        if allowed == ():
            self.fault((*path, "allowed_tools"), 'no tool is allowed; leave the key out, or write ["*"], to allow all')
        if url is None or len(self.faults) > before:
            return None
        return McpServer(
            server.name,
            url.origin + url.fill({}, Call("", ""), {}),
            {name: "".join(map(str, template.parts)) for name, template in headers.items()},
            allowed,
            server.prefix,
            Behaviour(server.timeout_ms, **extras_of(server)),
        )

    def template(self, path: JsonPath, make: Callable[[], Parsed]) -> Parsed | None:
        """Return what `make` parses; what it refuses is a fault, and None."""
        try:
            return make()
        except BadTemplate as exc:
            self.fault(path, f'"{path[-1]}" {exc}')
            return None

    def headers(self, headers: Mapping[str, str], path: JsonPath) -> dict[str, Template]:
        """Return the templates of headers by their names in small letters; each that can't be sent is a fault."""
        parsed: dict[str, Template] = {}
        for name, text in headers.items():
            at = (*path, name)
            if not _HEADER_NAME.fullmatch(name) or name.lower() in RESERVED_HEADERS:
                self.fault(at, "is no header that a tool can set")
            elif name.lower() in parsed:
                self.fault(at, "the header is there twice")
            elif template := self.template(at, functools.partial(templates.parse_header, text, self.environ)):
                parsed[name.lower()] = template
        return parsed


def extras_of(entry: _Extras) -> dict[str, Any]:
    """Return the keys that tools and servers have in common, under the names of our values."""
    extras = {name: getattr(entry, name) for name in ("waiting", "interruptable", "hold_ms", "after", "cancel")}
    return {**extras, "reuse_seconds": entry.reuse_s}
