"""The decorator: a mark with its options, on a function that stays what it was; light to load."""

import subprocess
import sys

import pytest

from parley.tools import Call, ToolError, tool
from parley.tools.decorator import MARK, Options


def test_a_function_is_marked_and_stays_a_function() -> None:
    @tool
    def plain(x: int) -> int:
        return 2 * x

    @tool(waiting=["One moment."], timeout=3, thread=True)
    def slow() -> None:
        raise ToolError("never")

    assert plain(2) == 4 and getattr(plain, MARK) == Options()
    assert getattr(slow, MARK) == Options(waiting=["One moment."], timeout=3, thread=True)
    with pytest.raises(ToolError, match="never"):
        slow()
    assert Call("", "").session == ""


@pytest.mark.slow
def test_a_server_without_tools_loads_nothing_of_them() -> None:
    heavy = (
        "{'parley.tools.toolbox', 'parley.tools.python_tools', 'parley.tools.mcp_client', 'parley.tools.definitions'}"
    )
    code = f"import app, sys; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[]\n", ended.stderr
