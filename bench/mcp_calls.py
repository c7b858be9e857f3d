"""What a call of a tool of an MCP server takes: `python bench/mcp_calls.py`.

The servers are those of the official SDK, which `make test` installs beside the tests. Their own time is part of a
call; the CPU time is this process's alone. Ends with 1 where a promise is broken.
"""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring.machine import ROOT

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "support"))

from running_server import free_port
from waiting import wait_until

from parley.tools.definitions import McpServer
from parley.tools.mcp_client import Server
from parley.tools.tool import Call

CALLS = 1_000
MOST_MS, MOST_CPU_MS = 1.5, 0.2
"""Milliseconds that a call of a stateless server that answers in JSON may take (median), and of our own CPU time."""


@contextlib.contextmanager
def served(release: str) -> Iterator[dict[str, Server]]:
    """Start the servers of a release of the SDK; yield clients by what they answer in."""
    python = Path(sys.prefix) / f"mcp-{release}" / "bin" / "python"
    ports = {"json": free_port(), "events": free_port()}
    command = [python, ROOT / "tests" / "support" / "mcp_server.py", *map(str, ports.values())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    servers = {kind: Server(McpServer(kind, f"http://127.0.0.1:{port}/mcp")) for kind, port in ports.items()}
    try:
        wait_until(lambda: all(map(accepts, ports.values())), 60.0)
        for server in servers.values():
            server.refresh()
        yield servers
    finally:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    """Return true if somebody listens on a port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def measured(call: Callable[[], object]) -> tuple[float, float, float]:
    """Return the median and the ninth decile of a call's time, and its CPU time, in milliseconds."""
    for _ in range(CALLS // 10):
        call()
    times = []
    cpu = time.process_time()
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    cpu = (time.process_time() - cpu) / CALLS
    times.sort()
    return 1e3 * times[CALLS // 2], 1e3 * times[CALLS * 9 // 10], 1e3 * cpu


def main() -> int:
    """Measure, and print a table."""
    kept = True
    print("server                    |    p50 |    p90 | own CPU, ms")
    for release, form in (("2", "stateless"), ("1", "sessions")):
        with served(release) as servers:
            for kind, server in servers.items():
                (echo,) = (tool for tool in server.tools() if tool.name == "echo")
                p50, p90, cpu = measured(lambda echo=echo: echo.run({"text": "hi"}, Call("call_1", "key")))
                print(f"SDK {release}, {form:<9}, {kind:<6} | {p50:6.2f} | {p90:6.2f} | {cpu:6.3f}")
                if (release, kind) == ("2", "json"):
                    kept = p50 <= MOST_MS and cpu <= MOST_CPU_MS
    print("kept" if kept else "BROKEN", f"(required: {MOST_MS} ms and {MOST_CPU_MS} ms of CPU in the first line)")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
