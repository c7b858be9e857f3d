"""A folder of tools that changes, now and then for the worse, and what its tools may tell: for `tool_soak.py`."""

import json
import random
from pathlib import Path
from typing import Any

from planned_mcp import MCP_HOWS
from planned_tools import GET_HOWS, SCHEMA, SILENT, UNREACHABLE

FUNCTIONS = '''
import time

import gevent

from parley.tools import Call, ToolError, tool


@tool
def act(how: str, n: str, *, call: Call) -> str:
    """Act."""
    if how == "refuse":
        raise ToolError("not today")
    if how == "fail":
        raise RuntimeError(how)
    if how == "exit":
        raise SystemExit(how)
    if how == "sleep":
        gevent.sleep(60)
    if how == "hold on":
        try:
            gevent.sleep(3)
        except BaseException:
            gevent.sleep(1)
    return "x" * 20_000 if how == "long" else "done"


@tool(thread=True)
def work(how: str, n: str) -> str:
    """Work."""
    time.sleep(1.5 if how == "block" else 0.02)
    return "done"


@tool(after=True)
def hang_up(how: str, n: str) -> str:
    """Hang up."""
    return "done"
'''
ACT_HOWS = {
    "well": "^done$",
    "long": r"\[cut\]$",
    "refuse": "not today",
    "fail": "the tool failed",
    "exit": "the tool failed",
    "sleep": SILENT,
    "hold on": SILENT,
}
WORK_HOWS = {"well": "^done$", "block": SILENT}
HOWS = {
    "look": {name: told for name, (told, _) in GET_HOWS.items() if name != "late"},
    "book": {name: told for name, (told, _) in GET_HOWS.items() if name != "late"},
    "act": ACT_HOWS,
    "work": WORK_HOWS,
    "hang_up": {"well": '"after your next words"'},
    "stock": MCP_HOWS,
    "search": MCP_HOWS,
}
"""What the model may be told, by tool and behaviour."""
# A POST is not repeated: on a connection that its server has just closed unsaid, any may be lost.
HOWS["book"] = {name: f"{told}|{UNREACHABLE}" for name, told in HOWS["book"].items()}
WELL = frozenset({"well", "chunked", "close said", "mark", "pretty", "many headers", "words", "nothing", "events"})
SLOW = frozenset({"hang", "hang inside", "drip", "sleep", "hold on", "block", "notices for ever"})
SLOW_SHARE = 0.15
WEIGHTS = {"look": 5, "book": 4, "act": 2, "work": 1, "hang_up": 1, "stock": 3, "search": 3}


class ToolFolder:
    """The folder of tools, which changes while the server runs."""

    def __init__(self, folder: Path, urls: dict[str, str]) -> None:
        self._folder = folder
        self._urls = urls
        (folder / "functions.py").write_text(FUNCTIONS)
        self.write()

    def write(self, further: int = 0) -> None:
        """Write good files, with so many tools more that nobody calls."""
        url = self._urls["tools"]
        look = self._tool("look", "GET", f"{url}/look/{{{{args.how}}}}")
        book = self._tool("book", "POST", f"{url}/book")
        more = [self._tool(f"other_{number}", "GET", f"{url}/other") for number in range(further)]
        self._replace("http.json", json.dumps({"tools": [look, book, *more]}))
        servers = [{"name": name, "endpoint": f"{self._urls[name]}/mcp"} for name in ("plain", "sessions")]
        self._replace("mcp.json", json.dumps({"mcp_servers": servers}, indent=further or None))

    def spoil(self, chance: random.Random) -> None:
        """Write a file that is faulty."""
        self._replace(
            chance.choice(("http.json", "mcp.json", "more.json")), chance.choice(("{", "[1]", '{"tolls":[]}'))
        )

    def mend(self, chance: random.Random) -> None:
        """Write good files again."""
        (self._folder / "more.json").unlink(missing_ok=True)
        self.write(chance.randint(0, 5))

    def _replace(self, name: str, text: str) -> None:
        new = self._folder / f".{name}.new"
        new.write_text(text)
        new.replace(self._folder / name)

    @staticmethod
    def _tool(name: str, method: str, url: str) -> dict[str, Any]:
        function = {"name": name, "description": "Do.", "parameters": SCHEMA}
        return {"type": "function", "function": function, "server": {"method": method, "url": url, "timeout_ms": 1000}}
