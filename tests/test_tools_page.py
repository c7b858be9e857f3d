"""docs/tools.md: its examples are tools, its commands print what it says, its tables hold what the code does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parley.tools import mcp_client
from parley.tools.tool import Call, Result
from parley.tools.toolbox import MOST_OFFERED, Toolbox

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tools.md").read_text()
EXAMPLES = re.findall(r"```(json|python)\n(.*?)```", PAGE.partition("## The samples")[0], re.DOTALL)
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))


def test_the_three_examples_are_tools(tmp_path: Path) -> None:
    for number, (kind, text) in enumerate(EXAMPLES):
        (tmp_path / f"{number}.{'py' if kind == 'python' else kind}").write_text(text)
    environ = {"ORDERS_TOKEN": "a-token", "SHOP_TOKEN": "b-token"}
    toolbox = Toolbox(tmp_path, environ, connect_mcp=mcp_client.Server)

    assert len(EXAMPLES) == 3 and toolbox.load() == []
    assert [tool.name for tool in toolbox.tools()] == ["order_status", "free_slots"]
    assert toolbox.details()["mcp"] == {"shop": "starting"}
    slots = toolbox.tools()[1]
    assert slots.run({"day": "2026-12-01", "guests": "9"}, Call("", "")).text.startswith(
        '{"error":"for more than eight'
    )
    toolbox.close()


@pytest.mark.slow
def test_the_commands_print_what_the_page_says() -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(["bash", "-c", COMMANDS], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)

    assert ended.stdout.splitlines() == re.findall(r"^# -> (.*)$", COMMANDS, re.MULTILINE)


def test_the_page_tells_the_limits_and_words_of_the_code() -> None:
    assert f"At most {MOST_OFFERED} tools are offered" in PAGE
    assert Result.timed_out(5).text in PAGE and '{"error":"the service can\'t be reached"}' in PAGE


def test_a_deployment_has_no_tools_by_itself() -> None:
    assert not (ROOT / "tools").exists() and (ROOT / "samples" / "tools").is_dir()
