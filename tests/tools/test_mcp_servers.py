"""The client against real servers: of the official SDK, both releases, answering in JSON and in event streams.

`make` installs each in a virtualenv of its own beside the tests' (their requirements exclude one another).
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from running_server import free_port
from waiting import wait_until

from parley.tools.definitions import McpServer
from parley.tools.mcp_client import Server
from parley.tools.tool import Call, Result

pytestmark = [pytest.mark.slow, pytest.mark.row("MC-01")]
PROGRAM = Path(__file__).parents[1] / "support" / "mcp_server.py"
RELEASES = ("1", "2")
Eventually = Callable[[Callable[[], object]], None]


def accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


class RealServers:
    """The two servers of a release of the SDK, in one process."""

    def __init__(self, release: str, output: Path) -> None:
        python = Path(sys.prefix) / f"mcp-{release}" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"no MCP SDK {release}.x beside the tests: make {python.parents[1]}/.installed")
        self.output = output
        self.ports = {name: free_port() for name in ("json", "events")}
        command = [python, PROGRAM, *map(str, self.ports.values())]
        with output.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Wait until both accept connections; AssertionError with their output if they do not."""
        wait_until(lambda: all(map(accepts, self.ports.values())), 60.0, self.output.read_text)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", params=RELEASES)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServers]:
    """Yield the servers of each release."""
    servers = RealServers(request.param, tmp_path_factory.mktemp("mcp") / "output")
    try:
        servers.wait()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(params=["json", "events"])
def server(request: pytest.FixtureRequest, real: RealServers) -> Iterator[Server]:
    """Yield a server of each release, of each kind of answers, that was listed."""
    made = Server(McpServer("real", f"http://127.0.0.1:{real.ports[request.param]}/mcp"))
    assert made.refresh(), made.fault
    yield made
    made.close()


def run(server: Server, name: str, arguments: dict[str, Any], seconds: float = 20.0) -> Result:
    (tool,) = (tool for tool in server.tools() if tool.name == name)
    return tool.run(arguments, Call("call_1", "key", seconds=seconds))


def test_tools_are_listed(server: Server) -> None:
    tools = {tool.name: tool for tool in server.tools()}

    assert sorted(tools) == ["echo", "picture", "refuse", "slow", "stock"]
    assert tools["echo"].description == "Say the text again."
    assert [tools["echo"].cancels, tools["stock"].cancels] == [True, False]
    region = tools["stock"].parameters["properties"]["region"]
    assert region["type"] == "string" and "x-mcp-header" not in region


def test_calls_are_answered(server: Server) -> None:
    assert run(server, "echo", {"text": "Grüße 😀"}) == Result("Grüße 😀", "ok", 200)
    # An argument that is repeated in a header, which the stateless server compares.
    stock = json.loads(run(server, "stock", {"region": "Zürich"}).text)
    assert stock == {"region": "Zürich", "item": "apples", "left": 12}
    assert run(server, "picture", {}).text == "Here it is.\n[image left out]"


def test_errors_are_told(server: Server) -> None:
    refused = run(server, "refuse", {"reason": "There is no such order."})
    assert refused.outcome == "error" and "There is no such order." in json.loads(refused.text)["error"]
    wrong = run(server, "echo", {"words": "hi"})
    assert wrong.outcome == "error" and "text" in json.loads(wrong.text)["error"]


def test_calls_run_at_once(server: Server) -> None:
    calls = [gevent.spawn(run, server, "echo", {"text": str(number)}) for number in range(8)]
    assert [call.get(timeout=30).text for call in calls] == [str(number) for number in range(8)]


def test_a_call_that_is_ended_is_cancelled(
    server: Server, real: RealServers, request: pytest.FixtureRequest, eventually: Eventually
) -> None:
    begun = real.output.read_text().count("begun")
    cancelled = real.output.read_text().count("cancelled")
    calling = gevent.spawn(run, server, "slow", {"seconds": 5.0})
    eventually(lambda: real.output.read_text().count("begun") > begun)
    calling.kill()

    # Release 2 takes no notice of either sign where it answers in JSON.
    if request.node.callspec.params["server"] == "json" and request.node.callspec.params["real"] == "2":
        assert run(server, "echo", {"text": "still there"}).text == "still there"
    else:
        eventually(lambda: real.output.read_text().count("cancelled") > cancelled)


def test_a_lost_session_costs_no_call(server: Server, request: pytest.FixtureRequest) -> None:
    session = server._connection.session
    assert session is not None
    assert session.is_stateless == (request.node.callspec.params["real"] == "2")
    if session.id:
        server._connection.session = type(session)(session.version, "0" * 32)
    assert run(server, "echo", {"text": "hi"}).text == "hi"
