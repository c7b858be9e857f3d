"""Tools for the running server, put into its worker by `hooked`: HTTP tools of a fake server, and Python functions.

    with running_server(env, argv=hooked(folder, code(tool_server.base_url))) as server: ...

`code` runs in the worker, before it serves. The tools are `order_status` (GET, cancelled with its turn), `book` (POST,
not cancelled), `reserve` (`book` with a hold), `remember` (kept for its session), `nap` (a function that sleeps),
`stubborn` (one that no time limit ends), `hang_up` (runs behind the answer).
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}}
LINES = "import sys; sys.path.insert(0, {folder!r}); import scripted_tools; scripted_tools.install(worker, {url!r})"


def code(url: str) -> str:
    """Return the code for the worker; `url` is that of the fake tool server."""
    return LINES.format(folder=__file__.rpartition("/")[0], url=url)


class Toolbox:
    """Tools in a fixed order."""

    def __init__(self, tools: Sequence[Any]) -> None:
        self._tools = tools

    def tools(self) -> Sequence[Any]:
        return self._tools

    def details(self) -> dict[str, Any]:
        return {"tools": len(self._tools)}


def install(worker: Any, url: str) -> None:
    """Give a worker the tools."""
    from parley.tools.running import Runner

    services = worker.app.wsgi().extensions["parley"]
    settings = services.settings
    services.tools = Runner(Toolbox(tools(url)), timeout=settings.tool_timeout, budget=settings.tool_budget)


def tools(url: str) -> list[Any]:
    """Return the tools."""
    import gevent

    from parley.http_client.pool import ConnectionPool
    from parley.tools.tool import Arguments, Call, Result, Tool

    pool = ConnectionPool(url, max_idle=20, connect_timeout=2)

    def asking(method: str, path: str) -> Callable[[Arguments, Call], Result]:
        def run(arguments: Arguments, call: Call) -> Result:
            headers = {"idempotency-key": call.idempotency_key, "x-session": call.session, "x-user": call.user}
            target = f"{path}/{arguments.get('order_id', '')}"
            with contextlib.closing(
                pool.request(method, target, headers=headers, body=b"{}" if method == "POST" else b"", timeout=60)
            ) as response:
                text = response.read(60).decode()
                return Result(text, "ok" if response.status == 200 else "error", response.status)

        return run

    def nap(arguments: Arguments, call: Call) -> Result:
        gevent.sleep(arguments.get("seconds", 0))
        return Result(f'{{"slept":{arguments.get("seconds", 0)}}}')

    def stubborn(arguments: Arguments, call: Call) -> Result:
        while True:
            with contextlib.suppress(BaseException):
                gevent.sleep(arguments.get("seconds", 3))
                return Result("{}")

    def tool(name: str, run: Callable[[Arguments, Call], Result], **more: Any) -> Tool:
        return Tool(name, f"The tool {name}.", SCHEMA, "http" if run not in (nap, stubborn) else "python", run, **more)

    return [
        tool("order_status", asking("GET", "/orders"), cancels=True, read_only=True, waiting=("Looking it up",)),
        tool("book", asking("POST", "/bookings")),
        tool("reserve", asking("POST", "/bookings"), hold_ms=300),
        tool("remember", asking("GET", "/orders"), cancels=True, reuse_seconds=60),
        tool("nap", nap, cancels=True, waiting=("Just a moment",)),
        tool("stubborn", stubborn, cancels=True, timeout=1),
        tool("hang_up", asking("POST", "/hang_up"), after=True),
    ]
