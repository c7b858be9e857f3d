"""`flask tools check`, `list` and `call`: what is printed, and the exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fake_upstream import FakeUpstream, whole

from app import create_app
from parley.settings import Settings
from parley.telemetry import logs

FUNCTION = '''
from parley.tools import Call, tool

@tool
def double(number: int, *, call: Call) -> str:
    """Double a number."""
    return f"{2 * number} for {call.session} in {call.request.get('lang')}"
'''


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The commands silence the log of their process, which here is that of all tests."""
    yield
    logs.configure("info", None)


def tools(folder: Path, *args: str) -> Result:
    """Run `flask tools ...` on a folder."""
    return create_app(Settings(tools_dir=folder)).test_cli_runner().invoke(args=["tools", *args])


def write(folder: Path, **server: Any) -> None:
    function = {"name": "order", "description": "An order.", "parameters": {"properties": {"id": {}}}}
    (folder / "a.json").write_text(json.dumps([{"function": function, "server": server}]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.py").write_text(FUNCTION)
    return tmp_path


def test_a_good_folder_is_counted(folder: Path) -> None:
    write(folder, url="http://127.0.0.1:9/{{args.id}}")
    checked = tools(folder, "check")
    assert (checked.exit_code, checked.stdout) == (0, "2 tools, 0 faults\n")


def test_each_fault_is_printed_and_changes_the_exit_code(folder: Path) -> None:
    write(folder, url="http://{{args.id}}/")
    checked = tools(folder, "check")
    first, last = checked.stdout.splitlines()
    assert checked.exit_code == 1 and last == "0 tools, 1 faults"
    assert first.startswith(f'{folder}/a.json:1:115: "url" is no URL')
    for command in (["list"], ["call", "double"]):
        refused = tools(folder, *command)
        assert refused.exit_code == 1 and first in refused.stderr


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    missing = tools(tmp_path / "gone", "check")
    assert missing.exit_code == 1 and "(TOOLS_DIR), so there are no tools" in missing.stderr


def test_the_list_shows_what_a_model_is_told(folder: Path) -> None:
    listed = tools(folder, "list").stdout.splitlines()
    assert listed[0] == "double (python): Double a number."
    assert json.loads(listed[1])["properties"] == {"number": {"type": "integer"}}


def test_a_call_prints_the_result_and_the_time(folder: Path) -> None:
    called = tools(folder, "call", "double", '{"number": 4}', "--session", "room", "--request", '{"lang": "de"}')
    assert (called.exit_code, called.stdout) == (0, "8 for room in de\n")
    assert called.stderr.startswith("ok, ") and called.stderr.endswith(" ms\n")


def test_a_call_over_http_prints_what_the_model_is_told(folder: Path) -> None:
    with FakeUpstream() as service:
        service.enqueue(whole(b'{ "state": 1 }'), whole(b"", 500))
        write(folder, url=service.base_url + "/{{args.id}}")
        found, failed = (tools(folder, "call", "order", '{"id": "A 1"}') for _ in range(2))
    assert (found.exit_code, found.stdout) == (0, '{"state":1}\n') and service.calls[0].path == "/v1/A%201"
    assert (failed.exit_code, failed.stdout) == (1, '{"error":"HTTP 500"}\n')


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["treble"], "there is no tool 'treble'; known are double"),
        (["double", "[4]"], "write a JSON object"),
        (["double", "{4}"], "write a JSON object"),
        (["double", "{}", "--request", "3"], "write a JSON object"),
    ],
)
def test_what_is_not_understood_has_a_code_of_its_own(folder: Path, args: list[str], told: str) -> None:
    refused = tools(folder, "call", *args)
    assert refused.exit_code == 2 and told in refused.stderr


def test_a_server_that_can_not_be_asked_is_told(folder: Path) -> None:
    server = {"name": "shop", "endpoint": "http://127.0.0.1:9/mcp"}
    (folder / "c.json").write_text(json.dumps({"mcp_servers": [server]}))
    listed = tools(folder, "list")
    assert "the MCP server shop can't be asked" in listed.stderr and "double" in listed.stdout
