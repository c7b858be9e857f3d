"""A folder of tools for the running server: HTTP tools of a fake server, and Python functions.

    write(folder, tool_server.base_url)
    with running_server({"TOOLS_DIR": str(folder), ...}) as server: ...

`order_status` (GET), `book` (POST), `reserve` (`book` with a hold), `remember` (kept for its session), `hang_up` (runs
behind the answer); `nap` (sleeps), `stubborn` (which no time limit ends).
"""

import json
from pathlib import Path
from typing import Any

FUNCTIONS = '''
import contextlib

import gevent

from parley.tools import tool


@tool(waiting=["Just a moment"])
def nap(seconds: float = 0) -> dict[str, float]:
    """Sleep."""
    gevent.sleep(seconds)
    return {"slept": seconds}


@tool(timeout=1)
def stubborn() -> str:
    """Hold on."""
    while True:
        with contextlib.suppress(BaseException):
            gevent.sleep(3)
            return "done"
'''


def http_tool(name: str, method: str, url: str, **more: Any) -> dict[str, Any]:
    """Return the entry of an HTTP tool with one parameter, `order_id`."""
    schema = {"type": "object", "properties": {"order_id": {"type": "string"}}}
    function = {"name": name, "description": f"The tool {name}.", "parameters": schema}
    return {"type": "function", "function": function, "server": {"method": method, "url": url}, **more}


def write(folder: Path, url: str) -> None:
    """Write the files of the folder; `url` is that of the fake tool server."""
    tools = [
        http_tool("order_status", "GET", f"{url}/orders", waiting=["Looking it up"]),
        http_tool("book", "POST", f"{url}/bookings"),
        http_tool("reserve", "POST", f"{url}/bookings", hold_ms=300),
        http_tool("remember", "GET", f"{url}/orders", reuse_s=60),
        http_tool("hang_up", "POST", f"{url}/hang_up", after=True),
    ]
    folder.mkdir(exist_ok=True)
    (folder / "shop.json").write_text(json.dumps({"tools": tools}))
    (folder / "staff.py").write_text(FUNCTIONS)
