"""The tools of an MCP server: listed in the background, offered as the file says, called; servers that come and go."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import structlog
from fake_mcp import Asked, FakeMcp, answer, error, sent, streamed, text, tool
from fake_upstream import HANG, Script, close, encode, head, http_chunk, whole
from running_server import free_port

from parley.tools import mcp_client
from parley.tools.definitions import Behaviour, McpServer
from parley.tools.mcp_client import Server
from parley.tools.tool import Call, Result, Tool
from parley.tools.toolbox import Toolbox

Eventually = Callable[[Callable[[], object]], None]
Made = Callable[..., Server]


@pytest.fixture
def fake() -> Iterator[FakeMcp]:
    with FakeMcp() as fake:
        yield fake


@pytest.fixture
def made() -> Iterator[Made]:
    """Yield a factory of servers as a file defines them, which are closed after the test."""
    servers = []

    def make(endpoint: str, **more: Any) -> Server:
        servers.append(Server(McpServer("shop", endpoint, **more)))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def listed(server: Server) -> list[Tool]:
    """Return the tools of a server that answers."""
    assert server.refresh(), server.fault
    return server.tools()


def names(server: Server) -> list[str]:
    return [tool.name for tool in server.tools()]


def run(tool: Tool, seconds: float = 10.0, **arguments: Any) -> Result:
    return tool.run(arguments, Call("call_1", "key", seconds=seconds))


# --- what is offered ---


def test_a_server_that_was_not_asked_offers_nothing(fake: FakeMcp, made: Made) -> None:
    server = made(fake.url)

    assert (server.tools(), server.state, fake.asked) == ([], "starting", [])


def test_tools_are_offered_as_the_file_says(fake: FakeMcp, made: Made) -> None:
    fake.tools = [tool("stock", annotations={"readOnlyHint": True}), tool("order")]
    options: dict[str, Any] = {
        "waiting": ("One moment.",),
        "interruptable": False,
        "reuse_seconds": 30,
        "hold_ms": 200,
        "after": True,
    }
    order, stock = listed(made(fake.url, behaviour=Behaviour(8_000, **options)))

    assert (order.name, order.description, order.source) == ("order", "About order.", "mcp")
    assert order.parameters == {"type": "object", "properties": {}}
    assert (order.timeout, order.waiting, order.interruptable) == (8.0, ("One moment.",), False)
    assert (order.reuse_seconds, order.hold_ms, order.after) == (30, 200, True)
    assert (order.cancels, order.read_only, stock.cancels, stock.read_only) == (False, False, True, True)


@pytest.mark.parametrize("cancel", [True, False])
def test_the_file_decides_about_cancelling(fake: FakeMcp, made: Made, cancel: bool) -> None:
    fake.tools = [tool("stock", annotations={"readOnlyHint": True}), tool("order")]

    assert [one.cancels for one in listed(made(fake.url, behaviour=Behaviour(cancel=cancel)))] == [cancel, cancel]


def test_tools_of_a_server_without_a_limit_have_the_general_one(fake: FakeMcp, made: Made) -> None:
    assert listed(made(fake.url))[0].timeout is None


def test_only_allowed_tools_are_offered(fake: FakeMcp, made: Made) -> None:
    fake.tools = [tool("a"), tool("b"), tool("c.d")]
    with structlog.testing.capture_logs() as logs:
        server = made(fake.url, allowed_tools=("c.d", "a", "gone"))
        listed(server), listed(server)

    assert names(server) == ["a", "c_d"]
    missing = [line["fault"] for line in logs if line["event"] == "mcp_tools_missing"]
    assert missing == ["shop: the server lists no gone"]


def test_tools_may_be_named_after_their_server(fake: FakeMcp, made: Made) -> None:
    fake.tools = [tool("stock.count")]
    (stock,) = listed(made(fake.url, prefix=True))

    assert stock.name == "shop__stock_count"
    assert run(stock, text="hi").text == "hi"
    assert fake.of("tools/call")[0].params["name"] == "stock.count"


@pytest.mark.row("MC-04")
def test_odd_names_are_called_by_the_servers_own(fake: FakeMcp, made: Made) -> None:
    fake.tools = [tool("a.b/c"), tool("天気"), tool("x" * 90)]
    for one in listed(made(fake.url)):
        run(one, text="hi")

    called = [asked.params["name"] for asked in fake.of("tools/call")]
    assert sorted(called) == sorted(["a.b/c", "天気", "x" * 90])


@pytest.mark.row("MC-04")
def test_many_tools_come_in_pages_and_in_one_order(fake: FakeMcp, made: Made) -> None:
    fake.tools = [tool(f"tool-{number:03}") for number in range(200)]
    fake.page_size = 30
    server = made(fake.url)
    listed(server)
    before = [one.definition for one in server.tools()]
    fake.tools.reverse()
    listed(server)

    assert len(before) == 200 and [one.definition for one in server.tools()] == before
    assert [asked.params.get("cursor") for asked in fake.of("tools/list")][:3] == [None, "30", "60"]


@pytest.mark.parametrize("cursor", ["1", "same"])
def test_pages_without_end_are_left(fake: FakeMcp, made: Made, cursor: str) -> None:
    numbers = iter(range(1_000))

    def script(asked: Asked) -> Script:
        following = str(next(numbers)) if cursor == "1" else cursor
        return sent(answer(asked, {"tools": [tool("a")], "nextCursor": following}))

    fake.scripts["tools/list"] = script
    assert [one.name for one in listed(made(fake.url))] == ["a"]
    assert len(fake.of("tools/list")) == (mcp_client.MAX_PAGES if cursor == "1" else 2)


@pytest.mark.row("MC-04")
def test_a_tool_with_an_invalid_annotation_is_left_out(fake: FakeMcp, made: Made) -> None:
    bad = {"type": "object", "properties": {"a": {"type": "object", "x-mcp-header": "A"}}}
    fake.tools = [tool("good"), tool("bad", inputSchema=bad), "odd", {"name": 5}, {"name": ""}, None]
    with structlog.testing.capture_logs() as logs:
        server = made(fake.url)
        listed(server), listed(server)

    assert names(server) == ["good"]
    (line,) = [line for line in logs if line["event"] == "mcp_tool_left_out"]
    assert line["fault"].startswith("shop: bad: x-mcp-header")


def test_arguments_that_are_headers_are_sent_as_both(fake: FakeMcp, made: Made) -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    fake.tools = [tool("stock", inputSchema=schema)]
    (stock,) = listed(made(fake.url))
    run(stock, region="eu-1")

    (asked,) = fake.of("tools/call")
    assert asked.headers["mcp-param-region"] == "eu-1" and asked.params["arguments"] == {"region": "eu-1"}
    assert "x-mcp-header" not in json.dumps(stock.definition)


def test_a_tool_that_has_changed_is_listed_again_and_called(fake: FakeMcp, made: Made) -> None:
    (echo,) = listed(made(fake.url))
    region = {"type": "string", "x-mcp-header": "Region"}
    fake.tools = [tool("echo", inputSchema={"type": "object", "properties": {"region": region}})]

    def script(asked: Asked) -> Script:
        if "mcp-param-region" not in asked.headers:
            return sent(error(asked, -32020, "the header is missing"), 400)
        return sent(answer(asked, text("fine")))

    fake.scripts["tools/call"] = script
    assert run(echo, region="eu-1").text == "fine"


# --- a server that comes and goes ---


@pytest.mark.row("MC-02")
def test_a_server_that_is_down_at_the_start_is_offered_later(
    made: Made, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_client, "FIRST_RETRY_SECONDS", 0.1)
    port = free_port()
    with structlog.testing.capture_logs() as logs:
        server = made(f"http://127.0.0.1:{port}/mcp")
        server.warm()
        eventually(lambda: server.state == "down")
        assert server.tools() == [] and server.fault == "the server can't be reached: Connection refused"
        with FakeMcp(port=port):
            eventually(lambda: names(server) == ["echo"])
            assert (server.state, server.fault) == ("ok", "")
    assert [line["event"] for line in logs] == ["mcp_server_down", "mcp_tools_listed"]


def test_the_first_list_is_waited_for(fake: FakeMcp, made: Made) -> None:
    fake.scripts["server/discover"] = lambda asked: [0.1, *sent(answer(asked, {"supportedVersions": ["2026-07-28"]}))]
    server = made(fake.url)
    server.warm()

    assert [one.name for one in server.tools()] == ["echo"]


@pytest.mark.row("MC-02")
def test_the_first_list_is_not_waited_for_long(fake: FakeMcp, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_client, "FIRST_LIST_SECONDS", 0.1)
    fake.scripts["server/discover"] = lambda _: [HANG]
    server = made(fake.url)
    server.warm()

    assert (server.tools(), server.state) == ([], "starting")


def test_a_server_that_floods_its_list_is_bounded(fake: FakeMcp, made: Made) -> None:
    bad = [tool(f"bad-{number}", inputSchema={"type": "array"}) for number in range(300)]
    fake.tools = [*bad, *(tool(f"tool-{number}") for number in range(1_200))]
    with structlog.testing.capture_logs() as logs:
        assert len(listed(made(fake.url))) == 700
    assert len(logs) == 20 + 1


@pytest.mark.row("MC-02")
def test_waits_between_tries_double_up_to_a_minute(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    server = made("http://127.0.0.1:1/mcp")
    outcomes = iter([False] * 6 + [True, False])
    waits: list[float] = []

    class Stop(Exception):
        pass

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 8:
            raise Stop
        return False

    monkeypatch.setattr(server, "refresh", lambda: next(outcomes))
    monkeypatch.setattr(server, "_wake", SimpleNamespace(wait=wait))
    with pytest.raises(Stop):
        server.keep()
    assert waits == [5, 10, 20, 40, 60, 60, 300, 5]


def test_a_fault_of_ours_does_not_end_the_lists(
    fake: FakeMcp, made: Made, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_client, "FIRST_RETRY_SECONDS", 0.05)
    server = made(fake.url)
    outcomes = iter([ValueError("odd"), []])

    def entries() -> list[Any]:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(server, "entries", entries)
    with structlog.testing.capture_logs() as logs:
        server.warm()
        eventually(lambda: server.state == "ok")
    assert [line["event"] for line in logs] == ["mcp_refresh_failed", "mcp_tools_listed"]


@pytest.mark.row("MC-02")
def test_the_last_list_stays_while_a_server_is_down(made: Made) -> None:
    port = free_port()
    with FakeMcp(port=port) as fake:
        server = made(fake.url)
        (echo,) = listed(server)
    assert not server.refresh()
    assert (names(server), server.state) == (["echo"], "down")
    down = run(echo, text="hi")
    assert (down.text, down.outcome) == ('{"error":"the service can\'t be reached"}', "unreachable")
    server._wake.clear()
    with FakeMcp(port=port, form="session"):
        assert run(echo, text="hi").text == "hi"
        # The call tells that the server is back, whose list is asked for now.
        assert server._wake.is_set()


@pytest.mark.row("MC-02")
def test_a_server_that_dies_in_a_call_is_an_error(fake: FakeMcp, made: Made) -> None:
    (echo,) = listed(made(fake.url))
    fake.scripts["tools/call"] = lambda _: [head(), http_chunk(b"data: {"), close]

    assert run(echo, text="hi").outcome == "unreachable"
    assert len(fake.of("tools/call")) == 1


@pytest.mark.row("MC-02")
def test_a_call_that_fails_has_the_server_looked_at(
    fake: FakeMcp, made: Made, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_client, "SETTLE_SECONDS", 0.01)
    server = made(fake.url)
    server.warm()
    eventually(lambda: server.state == "ok")
    fake.scripts.update({"tools/call": lambda _: [close], "tools/list": lambda _: whole(b"", 500)})

    run(server.tools()[0])
    eventually(lambda: server.state == "down")


@pytest.mark.row("MC-03")
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_call_that_is_refused_has_the_server_looked_at(fake: FakeMcp, made: Made, status: int) -> None:
    server = made(fake.url)
    (echo,) = listed(server)
    fake.scripts["tools/call"] = lambda _: whole(b"", status)
    run(echo)
    assert server._wake.is_set()


@pytest.mark.row("MC-02")
def test_calls_that_fail_together_have_it_looked_at_once(
    fake: FakeMcp, made: Made, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_client, "SETTLE_SECONDS", 0.3)
    server = made(fake.url)
    server.warm()
    eventually(lambda: server.state == "ok")
    fake.scripts["tools/call"] = lambda _: [close]
    for _ in range(5):
        run(server.tools()[0])
        gevent.sleep(0.01)
    eventually(lambda: len(fake.of("tools/list")) > 1)
    gevent.sleep(0.05)
    assert len(fake.of("tools/list")) == 2


@pytest.mark.row("MC-02")
def test_a_server_that_was_down_may_speak_another_form(made: Made) -> None:
    with FakeMcp() as fake:
        server = made(fake.url)
        listed(server)
        # Another program in its place, which fails on what it does not know.
        fake.form = "session"
        fake.scripts["server/discover"] = lambda _: whole(b"", 500)
        good = fake._good
        fake.scripts["tools/list"] = lambda asked: good(asked) if "mcp-session-id" in asked.headers else whole(b"", 500)
        assert not server.refresh()
        assert [one.name for one in listed(server)] == ["echo"]


def test_a_server_that_is_closed_ends_its_session(made: Made, eventually: Eventually) -> None:
    with FakeMcp(form="session") as fake:
        server = made(fake.url)
        listed(server)
        server.close()
        eventually(lambda: fake.asked[-1].verb == "DELETE")


@pytest.mark.row("MC-02")
def test_a_list_that_changes_is_asked_for_again(
    fake: FakeMcp, made: Made, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_client, "SETTLE_SECONDS", 0.01)
    server = made(fake.url)
    server.warm()
    eventually(lambda: server.state == "ok")
    fake.tools = [tool("echo"), tool("new")]
    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    fake.scripts["tools/call"] = lambda asked: streamed(changed, answer(asked, text("fine")))

    assert run(server.tools()[0]).text == "fine"
    eventually(lambda: names(server) == ["echo", "new"])


def test_a_list_serves_for_the_time_that_the_server_names(fake: FakeMcp, made: Made) -> None:
    server = made(fake.url)
    listed(server)
    assert server._life == 300.0
    fake.scripts["tools/list"] = lambda asked: sent(answer(asked, {"tools": [], "ttlMs": 45_000}))
    listed(server)
    assert server._life == 45.0


@pytest.mark.row("MC-02")
def test_a_lost_session_is_begun_anew_for_a_list(made: Made) -> None:
    with FakeMcp(form="session") as fake:
        server = made(fake.url)
        listed(server)
        fake.sessions.clear()
        assert names(server) == [one.name for one in listed(server)] == ["echo"]


@pytest.mark.row("MC-03")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (whole(b"denied", 401, {"content-type": "text/plain"}), "answers HTTP 401: look at `headers`"),
        (whole(b"denied", 403), "HTTP 403: look at `headers`"),
        (whole(b"", 404), "HTTP 404: look at the path"),
        (whole(b"", 405), "HTTP 405: look at the path of `endpoint`; the older transport"),
        (whole(b"", 500), "HTTP 500"),
        (whole(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}', 400), "HTTP 400, no"),
        (whole(b"<html>", 200, {"content-type": "text/html"}), "none of MCP's: HTTP 200"),
        (whole(b"", 307, {"location": "/mcp/"}), "the endpoint redirects to http://127.0.0.1"),
        ([close], "closed the connection"),
    ],
    ids=["401", "403", "404", "405", "500", "400", "page", "redirect", "closed"],
)
def test_a_server_that_refuses_is_down_and_logged_once(fake: FakeMcp, made: Made, script: Script, reason: str) -> None:
    fake.http.script = script
    server = made(fake.url)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert not server.refresh()

    (line,) = logs
    assert (line["event"], line["log_level"]) == ("mcp_server_down", "warning")
    assert reason in line["fault"] and line["fault"].startswith("shop: ")
    assert (server.state, server.tools()) == ("down", [])


@pytest.mark.row("MC-03")
def test_a_list_that_never_ends_is_given_up(fake: FakeMcp, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    # It limits each silence, too, which a busy machine makes longer.
    monkeypatch.setattr(mcp_client, "LIST_SECONDS", 2.0)
    fake.scripts["tools/list"] = lambda _: [head(), *[http_chunk(b": hi\n\n"), 0.02] * 500]
    server = made(fake.url)

    assert not server.refresh()
    assert server.fault == "the server did not list its tools in time"


def test_the_background_work_ends_with_the_server(fake: FakeMcp, made: Made, eventually: Eventually) -> None:
    server = made(fake.url)
    server.warm()
    server.warm()
    eventually(lambda: server.state == "ok")
    assert len(fake.of("tools/list")) == 1
    keeper = server._keeper
    assert keeper is not None
    server.close()
    keeper.join(5)
    assert keeper.dead


# --- calls ---


def test_a_call_gives_what_the_server_says(fake: FakeMcp, made: Made) -> None:
    (echo,) = listed(made(fake.url))

    assert run(echo, text="two left") == Result("two left", "ok", 200)


def test_arguments_are_sent_whatever_they_hold(fake: FakeMcp, made: Made) -> None:
    (echo,) = listed(made(fake.url))
    fake.scripts["tools/call"] = lambda asked: sent(answer(asked, text("fine")))

    assert run(echo, text="\ud83d", more=[10**30, None, {"é": 1.5}]).text == "fine"
    assert fake.of("tools/call")[0].params["arguments"] == {"text": "\ud83d", "more": [10**30, None, {"é": 1.5}]}


def test_a_call_needs_no_list_before_it_is_repeated(fake: FakeMcp, made: Made) -> None:
    (echo,) = listed(made(fake.url))
    for _ in range(3):
        run(echo, text="hi")
    assert len(fake.of("tools/list")) == len(fake.of("server/discover")) == 1


@pytest.mark.row("MC-03")
@pytest.mark.parametrize("form", ["silent", "drip", "begun"])
def test_a_call_without_an_end_is_given_up(fake: FakeMcp, made: Made, eventually: Eventually, form: str) -> None:
    (echo,) = listed(made(fake.url))
    endless = {"silent": [HANG], "drip": [head(), *[http_chunk(b": x\n\n"), 0.02] * 500], "begun": [head(), HANG]}
    fake.scripts["tools/call"] = lambda _: endless[form]

    late = run(echo, seconds=0.2)
    assert late.outcome == "timeout" and "no answer in 0.2 s" in json.loads(late.text)["error"]
    eventually(lambda: fake.of("notifications/cancelled"))


def test_a_call_that_is_killed_ends_at_once(fake: FakeMcp, made: Made, eventually: Eventually) -> None:
    (echo,) = listed(made(fake.url))
    fake.scripts["tools/call"] = lambda _: [head(), HANG]
    calling = gevent.spawn(run, echo)
    eventually(lambda: fake.of("tools/call"))
    calling.kill(timeout=5)

    assert calling.dead
    eventually(lambda: fake.http.calls[-1].finished.is_set() and not fake.http.open_calls)


@pytest.mark.row("MC-03")
@pytest.mark.parametrize(
    ("result", "said"),
    [
        (text("no such order", isError=True), "no such order"),
        ({"resultType": "input_required", "inputRequests": {"q": {}}}, "the tool wants to ask somebody"),
    ],
)
def test_an_error_of_the_tool_is_told(fake: FakeMcp, made: Made, result: Any, said: str) -> None:
    (echo,) = listed(made(fake.url))
    fake.scripts["tools/call"] = lambda asked: sent(answer(asked, result))

    assert json.loads(run(echo).text) == {"error": said}


@pytest.mark.row("MC-03")
def test_secrets_are_neither_told_nor_logged(fake: FakeMcp, made: Made) -> None:
    headers = {"Authorization": "Bearer header-secret", "x-region": "europe"}
    server = made(fake.url + "?key=query-secret", headers=headers)
    (echo,) = listed(server)
    assert run(echo, text="header-secret of europe").text == "*** of europe"
    quoted = "header-secret and query-secret"
    fake.scripts["tools/call"] = lambda asked: sent(error(asked, -32603, quoted), 500)
    fake.scripts["tools/list"] = lambda asked: sent(error(asked, -32603, quoted), 500)

    assert json.loads(run(echo).text) == {"error": "*** and ***"}
    with structlog.testing.capture_logs() as logs:
        server.refresh()
    assert "secret" not in json.dumps(logs) and "secret" not in server.fault


@pytest.mark.row("MC-03")
@pytest.mark.parametrize("status", [401, 403])
def test_a_call_that_is_refused_is_an_error(fake: FakeMcp, made: Made, status: int) -> None:
    (echo,) = listed(made(fake.url))
    fake.scripts["tools/call"] = lambda _: whole(b"", status)

    assert json.loads(run(echo).text) == {"error": f"HTTP {status}"}


def test_calls_run_beside_one_another(fake: FakeMcp, made: Made) -> None:
    (echo,) = listed(made(fake.url))
    waiting = gevent.spawn(run, echo, text="slow")
    fake.scripts["tools/call"] = lambda asked: [
        *([] if asked.params["arguments"]["text"] == "quick" else [0.3]),
        *sent(answer(asked, text(asked.params["arguments"]["text"]))),
    ]
    gevent.sleep(0)
    assert run(echo, text="quick").text == "quick"
    assert waiting.get(timeout=10).text == "slow"


def test_nothing_of_a_call_is_logged(fake: FakeMcp, made: Made) -> None:
    with structlog.testing.capture_logs() as logs:
        (echo,) = listed(made(fake.url))
        run(echo, text="private words")
        fake.scripts["tools/call"] = lambda asked: sent(answer(asked, text("private result", isError=True)))
        run(echo, text="private words")
    assert b"private" not in encode(logs)


# --- from a file ---


@pytest.mark.row("MC-04")
def test_of_many_tools_the_first_thirty_two_are_offered(fake: FakeMcp, tmp_path: Path) -> None:
    fake.tools = [tool(f"tool.{number:03}") for number in range(200)]
    entry = {"name": "shop", "endpoint": fake.url, "headers": {"authorization": "Bearer {{env.SHOP_TOKEN}}"}}
    (tmp_path / "shop.json").write_text(json.dumps({"mcp_servers": [entry]}))
    toolbox = Toolbox(tmp_path, {"SHOP_TOKEN": "token-of-shop"}, connect_mcp=Server)
    try:
        assert list(toolbox.tools()) == [] and toolbox.details()["mcp"] == {"shop": "starting"}
        assert toolbox.refresh_servers() == []
        assert [one.name for one in toolbox.tools()] == [f"tool_{number:03}" for number in range(32)]
        assert toolbox.details()["mcp"] == {"shop": "ok"}
    finally:
        toolbox.close()
    assert {asked.headers["authorization"] for asked in fake.asked} == {"Bearer token-of-shop"}
