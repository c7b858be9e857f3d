"""The tools of a folder: loaded at the start, kept in step with its JSON files, offered in one order.

How a folder is kept: `parley/files/live_folder.py`. Python files stay as they were loaded first.

The order is that of the files' names, and inside of a file its own: a model's provider caches what it has been told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from parley.files.folder import Fingerprint, tool_files
from parley.files.live_folder import LiveFolder
from parley.http_client.pool import ConnectionPool
from parley.http_client.proxies import BadProxy
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor
from parley.tools import definition_files, python_tools
from parley.tools.definitions import HttpTool, McpServer
from parley.tools.http_tool import tool_of
from parley.tools.tool import MAX_IDLE, Tool

MOST_OFFERED = 32
"""Most tools that are offered: Agora's limit, and models choose worse among more."""


class ToolSource(Protocol):
    """An MCP server: tools that are listed by somebody else, and change."""

    state: Any

    def tools(self) -> Sequence[Tool]:
        """Return the tools of the latest list."""
        ...

    def warm(self) -> None:
        """List the tools, and keep the list up to date in the background."""
        ...

    def refresh(self) -> bool:
        """List the tools now; return false if the server can't be asked."""
        ...

    def close(self) -> None:
        """End the work in the background."""
        ...


@dataclass(frozen=True)
class File:
    """Tools and servers of one file, its faults, and the values that it took from the environment."""

    name: str
    entries: Sequence[Tool | HttpTool | McpServer]
    faults: Sequence[str]
    secrets: frozenset[str] = frozenset()


class Toolbox(LiveFolder):
    """The tools of a folder; `poll` and `look` are those of LiveFolder.

    `environ` is what `{{env.NAME}}` is taken from, `connect_mcp` makes a source of an MCP server's definition. `hide`
    is called with the values that the log must not show.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *,
        connect_timeout: float = 2.0,
        poll: float = 0.0,
        look: Callable[[Callable[[], Fingerprint]], Fingerprint] = lambda work: work(),
        connect_mcp: Callable[[McpServer], ToolSource],
        hide: Callable[[Iterable[str]], None] = lambda secrets: None,
    ) -> None:
        super().__init__(folder, poll=poll, look=look)
        self._environ = environ
        self._connect_timeout = connect_timeout
        self._connect_mcp = connect_mcp
        self._hide = hide
        self._sources: tuple[Tool | ToolSource, ...] = ()
        self._servers: dict[str, tuple[McpServer, ToolSource]] = {}
        self._pools: dict[str, ConnectionPool] = {}
        self._python: dict[str, File] = {}
        self._is_warmed = False
        self._told: set[str] = set()

    def tools(self, patterns: Sequence[str] | None = None) -> Sequence[Tool]:
        """Return the tools that may be offered now, in their order; of two that have one name the first.

        With `patterns` only those whose names match one of them.
        """
        self.load_once()
        if not self._servers and patterns is None:
            return self._sources[:MOST_OFFERED]  # type: ignore[return-value] # no source among them
        named: dict[str, Tool] = {}
        for tool in self.listed():
            # Before they are counted: an agent may be offered what stands behind the first ones.
            if patterns is not None and not any(fnmatchcase(tool.name, pattern) for pattern in patterns):
                continue
            if tool.name in named:
                self._tell_once("tool_left_out", f"there is another tool {tool.name}")
            elif len(named) == MOST_OFFERED:
                self._tell_once("tool_left_out", f"{tool.name} is one too many: {MOST_OFFERED} tools are offered")
            else:
                named[tool.name] = tool
        return tuple(named.values())

    def warm(self) -> None:
        """Load the tools, and keep them in step with the folder and the MCP servers. Raises FaultyFiles."""
        # Before the files are loaded: their MCP servers are asked in the background from then on.
        self._is_warmed = True
        super().warm()

    def names(self) -> list[str]:
        """Return the names of the files that define tools; see `LiveFolder.names`."""
        return tool_files(self._folder)

    def names_again(self) -> list[str]:
        """Return the names of the JSON files of now, and of the Python files that were run, which stay as they are."""
        return sorted([*(name for name in self.names() if not name.endswith(".py")), *self._python])

    def take(self, contents: Mapping[str, bytes | None]) -> list[str]:
        """Load these files; see `LiveFolder.take`."""
        # A Python file with a fault is run again, the others were run once and for all.
        self._python = {name: file for name, file in self._python.items() if not file.faults}
        files = [self._read(name, content) for name, content in contents.items()]
        faults = [fault for file in files for fault in file.faults]
        faults += clashes(files)
        secrets = frozenset().union(*(file.secrets for file in files))
        redactor = Redactor(secrets)
        entries = [entry for file in files for entry in file.entries]
        try:
            built = [self._build(entry, redactor) for entry in entries] if not faults else []
        except BadProxy as exc:
            faults.append(str(exc))
        # All or nothing: half of a folder could be the half without the tool that a prompt speaks of.
        if not faults:
            self._hide(secrets)
            self._replace(tuple(built), [entry for entry in entries if isinstance(entry, McpServer)])
        return faults

    def refresh_servers(self) -> list[str]:
        """List the tools of all MCP servers now; return the names of those that can't be asked."""
        return [name for name, (_, source) in self._servers.items() if not source.refresh()]

    def close(self) -> None:
        """End the work in the background, and close idle connections."""
        super().close()
        for _, source in self._servers.values():
            source.close()
        for pool in self._pools.values():
            pool.close()

    def details(self) -> dict[str, Any]:
        """Return the number of tools and the state of each MCP server, for /ready; nothing where there are none."""
        if not self._sources:
            return {}
        servers = {name: source.state for name, (_, source) in self._servers.items()}
        return {"tools": len(self.tools()), **({"mcp": servers} if servers else {})}

    @property
    def writing(self) -> list[str]:
        """Names of the tools that may change something, and of MCP servers, whose tools may."""
        mine = [source.name for source in self._sources if isinstance(source, Tool) and not source.read_only]
        return [*mine, *self._servers]

    def listed(self) -> Iterator[Tool]:
        """Yield all tools, in their order, whatever their names."""
        for source in self._sources:
            if isinstance(source, Tool):
                yield source
            else:
                yield from source.tools()

    def _read(self, name: str, content: bytes | None) -> File:
        """Return what a file defines; a Python file is run once."""
        path = self._folder / name
        if name.endswith(".py"):
            if name not in self._python:
                tools, faults = python_tools.load(path, content)
                self._python[name] = File(name, tools, faults)
            return self._python[name]
        read = definition_files.read(path, self._environ, content)
        return File(name, read.tools, read.faults, read.secrets)

    def _build(self, entry: Tool | HttpTool | McpServer, redactor: Redactor) -> Tool | ToolSource:
        """Return a tool, or the source of an MCP server's tools, ready to be used. Raises BadProxy."""
        if isinstance(entry, Tool):
            return entry
        if isinstance(entry, HttpTool):
            origin = entry.url.origin
            # Tools of one origin share its connections, also with those of an earlier load, which may be in use.
            if origin not in self._pools:
                self._pools[origin] = ConnectionPool(origin, max_idle=MAX_IDLE, connect_timeout=self._connect_timeout)
            return tool_of(entry, self._pools[origin], redactor)
        known, source = self._servers.get(entry.name, (None, None))
        # One that is defined as before keeps its session and its list.
        if source is not None and known == entry:
            return source
        return self._connect_mcp(entry)

    def _replace(self, built: tuple[Tool | ToolSource, ...], servers: Sequence[McpServer]) -> None:
        """Replace what is offered, by one assignment, and close the servers that are no longer defined."""
        sources = [one for one in built if not isinstance(one, Tool)]
        # Kept apart, so that a server that is defined as before is not closed.
        before = [source for _, source in self._servers.values()]
        self._servers = {one.name: (one, source) for one, source in zip(servers, sources, strict=True)}
        self._sources = built
        for source in before:
            if source not in sources:
                source.close()
        for source in sources if self._is_warmed else ():
            source.warm()
        if len(built) > MOST_OFFERED:
            self._tell_once("tool_left_out", f"only the first {MOST_OFFERED} of {len(built)} tools are offered")
        if built:
            tools = sum(isinstance(one, Tool) for one in built)
            log.info("tools_loaded", tools=tools, mcp_servers=len(servers))

    def tell_faults(self, faults: Sequence[str]) -> None:
        """Log the faults."""
        for fault in faults:
            log.error("tool_fault", fault=fault)

    def tell_kept(self, faults: Sequence[str]) -> None:
        """Log that the tools that were loaded last serve on."""
        log.warning("tools_kept", fault="; ".join(faults), hint="the tools that were loaded last serve on")

    def tell_failed(self) -> None:
        """Log the exception because of which a reload failed."""
        log.exception("tools_reload_failed")

    def _tell_once(self, event: str, fault: str) -> None:
        if fault not in self._told:
            self._told.add(fault)
            log.warning(event, fault=fault)

    def before_reload(self, found: Fingerprint) -> None:
        """Log the Python files that have changed, which only a restart reads again."""
        changed = sorted(
            {status[0] for status in set(found) ^ set(self._fingerprint or ()) if status[0].endswith(".py")}
        )
        if changed:
            log.warning("tools_need_restart", fault=f"{', '.join(changed)} has changed; a restart reads it again")


def clashes(files: Sequence[File]) -> Iterator[str]:
    """Yield a fault for each name that an earlier tool, or an earlier server, has."""
    # Tools and servers are apart: a server's name stands before those of its tools, if at all.
    owners: dict[tuple[bool, str], str] = {}
    for file in files:
        for entry in file.entries:
            name = (isinstance(entry, McpServer), entry.name)
            if name in owners:
                yield f"{file.name}: {entry.name} is defined in {owners[name]} already"
            owners.setdefault(name, file.name)
