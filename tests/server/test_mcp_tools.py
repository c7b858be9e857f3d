"""Tools of an MCP server in the turns of a real worker: down at the start, there later, called, cancelled, gone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from exchange import CHAT
from fake_mcp import FakeMcp, answer, sent, text, tool
from fake_upstream import DONE, END, HANG, FakeUpstream, Step, chunk, event, events
from fake_upstream import answer as spoken
from running_server import RunningServer, free_port, post, running_server
from waiting import wait_until

pytestmark = [pytest.mark.server]
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Are there apples?"}]}
STOCK = tool("stock.count", annotations={"readOnlyHint": True})
SECONDS_TO_OFFER = 6.0
"""Seconds after which the tools of a server that is back are offered, on a machine that is not busy."""


@pytest.fixture(scope="module")
def mcp_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def with_mcp(upstream_url: str, mcp_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a server whose only tools are those of an MCP server, which is down."""
    tools: Path = tmp_path_factory.mktemp("tools")
    endpoint = f"http://127.0.0.1:{mcp_port}/mcp"
    entry = {"name": "shop", "endpoint": endpoint, "headers": {"authorization": "Bearer {{env.SHOP_TOKEN}}"}}
    (tools / "shop.json").write_text(json.dumps({"mcp_servers": [entry]}))
    env = {
        "LLM_BASE_URL": upstream_url,
        "TOOLS_DIR": str(tools),
        "SHOP_TOKEN": "token-of-the-shop",
        "TOOL_WAITING": "off",
    }
    with running_server(env) as server:
        yield server
        # What goes on in the background does not keep the server.
        assert server.stop() == 0


@pytest.fixture
def server(with_mcp: RunningServer, upstream: FakeUpstream) -> RunningServer:
    return with_mcp


def called(**arguments: Any) -> list[Step]:
    """Return the script of a model that calls the tool."""
    function = {"name": "stock_count", "arguments": json.dumps(arguments)}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    calls = chunk({"role": "assistant", "content": None, "tool_calls": [call]})
    return [*events([calls, chunk({}, "tool_calls")]), event(DONE), END]


def ask(server: RunningServer) -> bytes:
    return requests.post(server.url + CHAT, json=QUESTION, timeout=30).content


def offered(server: RunningServer, upstream: FakeUpstream) -> list[str]:
    """Return the names of the tools that the model is offered in a turn."""
    ask(server)
    return [one["function"]["name"] for one in upstream.calls[-1].json.get("tools", [])]


def state(server: RunningServer) -> Any:
    return requests.get(f"{server.url}/ready", timeout=20).json()["details"]["mcp"]


@pytest.mark.row("MC-02")
def test_a_server_comes_is_called_and_goes(server: RunningServer, upstream: FakeUpstream, mcp_port: int) -> None:
    assert offered(server, upstream) == []
    wait_until(lambda: state(server) == {"shop": "down"})
    with FakeMcp(port=mcp_port, form="session") as shop:
        shop.tools = [STOCK]
        shop.scripts["tools/call"] = lambda asked: sent(answer(asked, text("12 left")))
        wait_until(lambda: offered(server, upstream) == ["stock_count"], timeout=4 * SECONDS_TO_OFFER)

        assert state(server) == {"shop": "ok"}

        upstream.enqueue(called(item="apples"), spoken("There are twelve."))
        assert b"twelve" in ask(server)
        assert upstream.calls[-1].json["messages"][-1]["content"] == "12 left"
        (asked,) = shop.of("tools/call")
        assert asked.params == {"name": "stock.count", "arguments": {"item": "apples"}}
        assert asked.headers["authorization"] == "Bearer token-of-the-shop"

        # The caller interrupts: the server is told, and the connection is closed.
        shop.scripts["tools/call"] = lambda _: [HANG]
        upstream.enqueue(called(item="pears"))
        with server.connect() as connection:
            connection.sendall(post(CHAT, QUESTION))
            wait_until(lambda: len(shop.of("tools/call")) == 2)
        wait_until(lambda: shop.of("notifications/cancelled"))
        waiting = shop.of("tools/call")[1].message["id"]
        assert shop.of("notifications/cancelled")[0].params["requestId"] == waiting
        wait_until(lambda: not shop.http.open_calls)
    # It is gone: its tool stays, and the model is told.
    upstream.enqueue(called(item="plums"), spoken("I could not check."))
    assert b" check" in ask(server)
    assert json.loads(upstream.calls[-1].json["messages"][-1]["content"]) == {"error": "the service can't be reached"}
    wait_until(lambda: state(server) == {"shop": "down"})
    output = server.output()
    assert not any(word in output for word in ("apples", "12 left", "token-of-the-shop"))
    assert "mcp_server_down" in output
