"""The tools of a folder: what is loaded, in which order, and what a changed folder changes."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from structlog.testing import capture_logs
from waiting import wait_until

from parley.files.live_folder import FaultyFiles
from parley.tools.definitions import McpServer
from parley.tools.tool import Call, Result, Tool
from parley.tools.toolbox import MOST_OFFERED, Toolbox

FUNCTION = '''
from parley.tools import tool

@tool
def {name}(day: str) -> str:
    """Say when we open."""
    return "at nine on " + day
'''


def http_tool(name: str, **further: Any) -> dict[str, Any]:
    return {
        "function": {"name": name, "description": "Does something."},
        "server": {"url": "http://127.0.0.1:9/" + name, **further},
    }


def write(folder: Path, file: str, *tools: dict[str, Any], servers: tuple[dict[str, Any], ...] = ()) -> None:
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps({"tools": tools, "mcp_servers": servers}))


class FakeServer:
    """An MCP server whose list a test sets."""

    def __init__(self, definition: McpServer) -> None:
        self.definition = definition
        self.state = "ok"
        self.names: list[str] = []
        self.warmed = self.closed = 0

    def tools(self) -> list[Tool]:
        return [Tool(name, "", {}, "mcp", lambda arguments, call: Result("")) for name in self.names]

    def warm(self) -> None:
        self.warmed += 1

    def refresh(self) -> bool:
        return self.state == "ok"

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tools"


@pytest.fixture
def boxes() -> Iterator[Any]:
    """Yield a factory of toolboxes, which are closed after the test."""
    made = []

    def make(folder: Path, **further: Any) -> Toolbox:
        environ = {"TOKEN": "secret-token", "EMPTY": ""}
        made.append(Toolbox(folder, environ, **{"connect_mcp": FakeServer, **further}))
        return made[-1]

    yield make
    for box in made:
        box.close()


def names(box: Toolbox) -> list[str]:
    return [tool.name for tool in box.tools()]


def test_without_a_folder_there_are_no_tools(folder: Path, boxes: Any) -> None:
    box = boxes(folder, poll=0.01)
    box.warm()
    assert (list(box.tools()), box.details(), box.writing) == ([], {}, [])


def test_files_give_their_tools_in_the_order_of_their_names(folder: Path, boxes: Any) -> None:
    write(folder, "b.json", http_tool("zebra"), http_tool("ant"))
    (folder / "a.py").write_text(FUNCTION.format(name="opening"))
    (folder / "c.JSON").write_text(json.dumps([http_tool("bare_list")]))
    for passed_over in ("_helpers.py", ".hidden.json", "README.md"):
        (folder / passed_over).write_text("nothing to run )")
    box = boxes(folder)
    assert box.load() == []
    assert names(box) == ["opening", "zebra", "ant", "bare_list"]
    assert [tool.read_only for tool in box.tools()] == [False, True, True, True]
    assert box.details() == {"tools": 4} and box.writing == ["opening"]


def test_all_faults_of_all_files_are_told_at_once(folder: Path, boxes: Any) -> None:
    write(folder, "a.json", http_tool("one", timout_ms=5), http_tool("two"), http_tool("three", url="ftp://x"))
    write(folder, "b.json", http_tool("two"))
    (folder / "c.py").write_text("import nothing_of_this_name\n")
    (folder / "d.json").write_text('{"tools": [\n  {]}')
    box = boxes(folder)
    with pytest.raises(FaultyFiles) as raised:
        box.warm()
    told = str(raised.value).splitlines()
    assert [line.partition(" ")[0] for line in told] == [
        "a.json:1:120:",
        "a.json:1:325:",
        "c.py:1:",
        "d.json:2:4:",
        "b.json:",
    ]
    assert "two is defined in a.json already" in told[-1]
    assert names(box) == []


def test_a_changed_file_is_read_and_a_faulty_one_is_not_served(folder: Path, boxes: Any) -> None:
    write(folder, "a.json", http_tool("one"))
    (folder / "b.py").write_text(FUNCTION.format(name="opening"))
    box = boxes(folder, poll=0.01)
    box.warm()
    write(folder, "a.json", http_tool("one"), http_tool("two"))
    wait_until(lambda: gevent.sleep(0.01) or names(box) == ["one", "two", "opening"])
    with capture_logs() as lines:
        (folder / "a.json").write_text('{"tools": [')
        wait_until(lambda: gevent.sleep(0.01) or lines)
        for _ in range(10):
            gevent.sleep(0.01)
    assert [line["event"] for line in lines] == ["tools_kept"] and "a.json:1:12: " in lines[0]["fault"]
    assert names(box) == ["one", "two", "opening"]
    write(folder, "a.json", http_tool("three"))
    wait_until(lambda: gevent.sleep(0.01) or names(box) == ["three", "opening"])


def test_a_changed_python_file_asks_for_a_restart(folder: Path, boxes: Any) -> None:
    folder.mkdir()
    (folder / "b.py").write_text(FUNCTION.format(name="opening"))
    box = boxes(folder, poll=0.01)
    box.warm()
    with capture_logs() as lines:
        (folder / "b.py").write_text(FUNCTION.format(name="closing"))
        (folder / "c.py").write_text("raise SystemExit(1)")
        wait_until(lambda: gevent.sleep(0.01) or any(line["event"] == "tools_need_restart" for line in lines))
    assert names(box) == ["opening"]


def test_files_that_were_good_stand_in_for_faulty_ones(folder: Path, boxes: Any) -> None:
    write(folder, "a.json", http_tool("a"))
    (folder / "b.py").write_text(FUNCTION.format(name="b"))
    checked = {name: (folder / name).read_bytes() for name in ("a.json", "b.py")}
    (folder / "a.json").write_text("{")
    (folder / "b.py").write_text("def b(:")
    with pytest.raises(FaultyFiles):
        boxes(folder).warm()
    box = boxes(folder)
    box.checked = checked
    box.warm()
    assert names(box) == ["a", "b"] and box.tools()[1].run({"day": "Monday"}, Call("", "")).text == "at nine on Monday"
    # The files are whole again.
    write(folder, "a.json", http_tool("c"))
    assert box.load() == [] and names(box) == ["c", "b"]


def test_a_folder_that_vanishes_changes_nothing(folder: Path, boxes: Any) -> None:
    write(folder, "a.json", http_tool("one"))
    box = boxes(folder, poll=0.01)
    box.warm()
    with capture_logs() as lines:
        folder.rename(folder.with_name("elsewhere"))
        wait_until(lambda: gevent.sleep(0.01) or lines)
    assert names(box) == ["one"] and "can't be read" in lines[0]["fault"]


def test_only_so_many_tools_are_offered(folder: Path, boxes: Any) -> None:
    write(folder, "a.json", *(http_tool(f"tool{number}") for number in range(MOST_OFFERED + 3)))
    box = boxes(folder)
    with capture_logs() as lines:
        assert box.load() == []
    assert names(box) == [f"tool{number}" for number in range(MOST_OFFERED)]
    assert "only the first 32 of 35" in lines[0]["fault"]


def test_patterns_reach_the_tools_behind_the_first_ones(folder: Path, boxes: Any) -> None:
    write(folder, "a.json", *(http_tool(f"tool{number}") for number in range(MOST_OFFERED + 3)))
    box = boxes(folder)
    assert [tool.name for tool in box.tools(["tool33", "tool1", "none", "*34"])] == ["tool1", "tool33", "tool34"]
    assert box.tools([]) == () and len(box.tools(["*"])) == MOST_OFFERED


def test_values_of_the_environment_are_hidden_in_the_log(folder: Path, boxes: Any) -> None:
    hidden: list[str] = []
    write(folder, "a.json", http_tool("one", headers={"authorization": "Bearer {{env.TOKEN}}"}))
    box = boxes(folder, hide=hidden.extend)
    box.load()
    assert hidden == ["secret-token"] and "secret-token" not in repr(box.tools())


def test_a_server_that_is_defined_as_before_is_kept(folder: Path, boxes: Any) -> None:
    made: list[FakeServer] = []

    def connect(definition: McpServer) -> FakeServer:
        made.append(FakeServer(definition))
        return made[-1]

    shop = {"name": "shop", "endpoint": "https://mcp.example.com/mcp"}
    write(folder, "a.json", http_tool("one"), servers=(shop,))
    box = boxes(folder, connect_mcp=connect)
    box.warm()
    made[0].names = ["search", "one"]
    with capture_logs() as lines:
        assert names(box) == names(box) == ["one", "search"]
    assert [line["fault"] for line in lines] == ["there is another tool one"]
    assert box.details() == {"tools": 2, "mcp": {"shop": "ok"}} and box.writing == ["shop"]
    write(folder, "a.json", servers=(shop, {**shop, "name": "other", "timeout_ms": 2000}))
    assert box.load() == [] and [server.definition.name for server in made] == ["shop", "other"]
    assert [server.warmed for server in made] == [2, 1] and made[0].closed == 0
    write(folder, "a.json", servers=({**shop, "prefix": True},))
    assert box.load() == [] and [server.closed for server in made] == [1, 1, 0]
    made[2].state = "down"
    assert box.refresh_servers() == ["shop"] and dataclasses.asdict(made[2].definition)["prefix"] is True
