"""Tools as the operator's JSON files define them, checked and with their templates parsed; nothing is connected here.

The forms are those of Agora's `llm.tools` and `llm.mcp_servers`, with keys of Parley's beside `function`
(docs/tools.md). A key that is not known is a fault, so that a slip of the pen is not silent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from parley.files.json_file import InvalidFile, parse, read_text
from parley.files.location import Path as JsonPath
from parley.files.location import location
from parley.tools import templates
from parley.tools.templates import BadTemplate, BodyTemplate, Template, UrlTemplate, Variable
from parley.tools.tool import Call

NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
"""Matches the name of a tool: what all providers of models accept."""
RESERVED_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Headers that frame a message, which Parley alone can write."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
"""Matches a step of the path in a message of msgspec's; `[...]` stands for any member."""

Shape = TypeVar("Shape", bound=msgspec.Struct)


@dataclass(frozen=True)
class Behaviour:
    """Keys that every tool and every MCP server may have: see `Tool`. `cancel` is None where the kind decides."""

    timeout_ms: int | None = None
    waiting: tuple[str, ...] = ()
    interruptable: bool | None = None
    reuse_seconds: float = 0
    hold_ms: int = 0
    after: bool = False
    cancel: bool | None = None


@dataclass(frozen=True)
class HttpTool:
    """A tool that is a request to a service. `headers` are by their names in small letters."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    method: str
    url: UrlTemplate
    headers: Mapping[str, Template] = field(repr=False)
    body: BodyTemplate | None
    behaviour: Behaviour


@dataclass(frozen=True)
class McpServer:
    """An entry of `mcp_servers`; header values are resolved, and secret.

    `allowed_tools` is None where all tools of the server are allowed. With `prefix` a tool is named `NAME__tool`.
    `cancel` is None where each tool's own annotation decides.
    """

    name: str
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allowed_tools: tuple[str, ...] | None = None
    timeout_ms: int | None = None
    prefix: bool = False
    waiting: tuple[str, ...] = ()
    interruptable: bool | None = None
    reuse_seconds: float = 0
    hold_ms: int = 0
    after: bool = False
    cancel: bool | None = None


@dataclass(frozen=True)
class Definitions:
    """What one file defines, in its order, and its faults as `file:line:col: message`.

    `secrets` are the values that the file took from the environment.
    """

    tools: tuple[HttpTool | McpServer, ...] = ()
    faults: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


FORMS = {
    "name": "a name is a letter, then letters, digits, _ and -: 64 characters at most, of an MCP server 48",
    "waiting": "a phrase is a text without control characters, of 500 characters at most",
}
"""Forms of texts, for the faults of those that have another one."""


class _Closed(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An object in which a key that is not known is a fault."""


class _Function(_Closed, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME}$")]
    description: Annotated[str, msgspec.Meta(min_length=1)]
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False


class _Server(_Closed, frozen=True, kw_only=True):
    url: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = {}
    body: Any = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=100_000)] | None = None


class _Execution(_Closed, frozen=True, kw_only=True):
    mode: Literal["sync"] = "sync"


Phrase = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$", max_length=500)]


class _Extras(_Closed, frozen=True, kw_only=True):
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
    headers: dict[str, str] = {}
    allowed_tools: tuple[str, ...] | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1000, le=100_000)] | None = None
    prefix: bool = False


def read(path: Path, environ: Mapping[str, str]) -> Definitions:
    """Return what a file of a folder of tools defines. `environ` is what `{{env.NAME}}` is taken from."""
    try:
        text = read_text(path, path.parent)
        value, repeated = parse(text, lambda: None)
    except InvalidFile as exc:
        # The hint at .jsonl helps with knowledge only.
        return Definitions(faults=(f"{path.name}{exc.where}: {str(exc).partition(';')[0]}",))
    reader = _Reader(path.name, text, _Watched(environ))
    if repeated:
        reader.fault((), f'an object has the key "{repeated[0][:64]}" twice')
    tools = tuple(reader.definitions(value))
    return Definitions(tools, tuple(reader.faults), frozenset(reader.environ.used))


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

    def __init__(self, name: str, text: str, environ: _Watched) -> None:
        self.environ = environ
        self.faults: list[str] = []
        self._name = name
        self._text = text

    def fault(self, path: JsonPath, message: str) -> None:
        """Note a fault of the value at a path."""
        line, column = location(self._text, path)
        self.faults.append(f"{self._name}:{line}:{column}: {message}")

    def definitions(self, value: Any) -> Iterator[HttpTool | McpServer]:
        """Yield the tools and servers of a file's value, a list of tools or an object."""
        if isinstance(value, list):
            yield from self._entries(value, ())
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
                yield from self._entries(entries, (key,))

    def _entries(self, entries: list[Any], path: JsonPath) -> Iterator[HttpTool | McpServer]:
        for number, entry in enumerate(entries):
            at = (*path, number)
            read_entry = self.mcp_server if path == ("mcp_servers",) else self.http_tool
            if definition := read_entry(entry, at):
                yield definition

    def shaped(self, value: Any, shape: type[Shape], path: JsonPath) -> Shape | None:
        """Return a value in its shape; a value of another shape is a fault, and None."""
        try:
            return msgspec.convert(value, shape)
        except msgspec.ValidationError as exc:
            message, _, inside = str(exc).partition(" - at `$")
            steps = [name or int(number) for name, number in _STEP.findall(inside.rstrip("`"))]
            if unknown := _UNKNOWN_FIELD.fullmatch(message):
                steps.append(unknown[1])
                message = f'"{unknown[1][:64]}" is not known; known are {", ".join(known_keys(shape, steps[:-1]))}'
            elif "matching regex" in message:
                message = FORMS.get(str(steps[-1]), FORMS["waiting"])
            self.fault((*path, *steps), message[0].lower() + message[1:])
            return None

    def http_tool(self, entry: Any, path: JsonPath) -> HttpTool | None:
        """Return the tool of an entry; None if it has faults."""
        tool = self.shaped(entry, _Tool, path)
        if tool is None:
            return None
        before = len(self.faults)
        server, function = tool.server, tool.function
        if function.parameters.get("type", "object") != "object":
            self.fault((*path, "function", "parameters"), 'the parameters must have the type "object"')
        url = self._template((*path, "server", "url"), lambda: templates.parse_url(server.url, self.environ))
        headers = self._headers(server.headers, (*path, "server", "headers"))
        body = None
        if server.body is not None:
            at = (*path, "server", "body")
            body = self._template(at, lambda: templates.parse_body(server.body, self.environ))
            if server.method in ("GET", "DELETE"):
                self.fault(at, f"a {server.method} request has no body; use POST, PUT or PATCH")
        used = [*(url.variables if url else ()), *(templates.body_variables(body) if body else ())]
        for name in undeclared(used, function.parameters):
            self.fault((*path, "server"), f"{{{{args.{name}}}}} is none of the function's parameters")
        if url is None or len(self.faults) > before:
            return None
        return HttpTool(
            function.name,
            function.description,
            function.parameters,
            server.method,
            url,
            headers,
            body,
            Behaviour(server.timeout_ms, **_extras(tool)),
        )

    def mcp_server(self, entry: Any, path: JsonPath) -> McpServer | None:
        """Return the server of an entry; None if it has faults."""
        server = self.shaped(entry, _McpServer, path)
        if server is None:
            return None
        before = len(self.faults)
        if server.transport != "streamable_http":
            self.fault((*path, "transport"), 'only the transport "streamable_http" is spoken')
        url = self._template((*path, "endpoint"), lambda: templates.parse_url(server.endpoint, self.environ))
        headers = self._headers(server.headers, (*path, "headers"))
        if url and url.variables:
            self.fault((*path, "endpoint"), "an endpoint may hold {{env.NAME}} only: it is the same for all calls")
        for name in (name for name, template in headers.items() if template.variables):
            self.fault((*path, "headers", name), "a header of an MCP server may hold {{env.NAME}} only")
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
            server.timeout_ms,
            server.prefix,
            **_extras(server),
        )

    def _template(self, path: JsonPath, make: Any) -> Any:
        try:
            return make()
        except BadTemplate as exc:
            self.fault(path, f'"{path[-1]}" {exc}')
            return None

    def _headers(self, headers: Mapping[str, str], path: JsonPath) -> dict[str, Template]:
        parsed: dict[str, Template] = {}
        for name, text in headers.items():
            at = (*path, name)
            if not _HEADER_NAME.fullmatch(name) or name.lower() in RESERVED_HEADERS:
                self.fault(at, "is no header that a tool can set")
            elif name.lower() in parsed:
                self.fault(at, "the header is there twice")
            elif template := self._template(at, lambda text=text: templates.parse_header(text, self.environ)):
                parsed[name.lower()] = template
        return parsed


def known_keys(shape: Any, steps: Sequence[str | int]) -> list[str]:
    """Return the keys of the object at a path inside of a shape."""
    for step in steps:
        shape = {one.name: one.type for one in msgspec.structs.fields(shape)}[str(step)]
    return [one.name for one in msgspec.structs.fields(shape)]


def _extras(entry: _Extras) -> dict[str, Any]:
    """Return the keys that tools and servers have in common, under the names of our values."""
    extras = {name: getattr(entry, name) for name in ("waiting", "interruptable", "hold_ms", "after", "cancel")}
    return {**extras, "reuse_seconds": entry.reuse_s}


def undeclared(variables: Iterable[Variable], parameters: Mapping[str, Any]) -> list[str]:
    """Return the arguments among variables that a schema does not have, if it lists all that there are."""
    declared = listed_parameters(parameters)
    names = {one.name for one in variables if one.source == "args"}
    return [] if declared is None else sorted(names - declared)


def listed_parameters(parameters: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of a schema's parameters; None if it may have others than those that it lists."""
    is_open = parameters.get("additionalProperties") not in (None, False) or any(
        key in parameters for key in ("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "if")
    )
    listed = parameters.get("properties")
    return frozenset(listed) if isinstance(listed, dict) and not is_open else None
