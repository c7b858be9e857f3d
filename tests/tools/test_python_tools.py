"""Python functions as tools: their schema, what a call gives them, and what the model is told."""

from pathlib import Path
from typing import Any

import gevent
import pytest
from structlog.testing import capture_logs

from parley.tools import python_tools
from parley.tools.tool import Call, Result, Tool

CALL = Call("call_1", "key", session="room", turn_id="7", user="caller", request={"lang": "de"}, seconds=5.0)
SAID = "a very private sentence"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hours.py"


def loaded(file: Path, code: str) -> tuple[list[Tool], list[str]]:
    file.write_text("import enum, time\nfrom parley.tools import Call, ToolError, tool\n" + code)
    return python_tools.load(file)


def only(file: Path, code: str) -> Tool:
    tools, faults = loaded(file, code)
    assert faults == []
    (tool,) = tools
    return tool


def run(tool: Tool, call: Call = CALL, **arguments: Any) -> str:
    return tool.run(arguments, call).text


EXAMPLE = '''
@tool(waiting=["Checking the calendar."], timeout=5)
def free_slots(day: str, guests: int = 2, *, call: Call) -> list[str]:
    """Free tables
    of a day.

    day: ISO date such as 2026-12-01
    guests: how many people
    """
    return [day, str(guests), call.session, call.turn_id, call.user, call.request["lang"]]
'''


def test_the_example_of_the_page_works(file: Path) -> None:
    tool = only(file, EXAMPLE)
    assert tool.definition["function"] == {
        "name": "free_slots",
        "description": "Free tables of a day.",
        "parameters": {
            "type": "object",
            "properties": {
                "day": {"type": "string", "description": "ISO date such as 2026-12-01"},
                "guests": {"type": "integer", "default": 2, "description": "how many people"},
            },
            "required": ["day"],
        },
    }
    assert (tool.waiting, tool.timeout, tool.source, tool.cancels) == (("Checking the calendar.",), 5, "python", True)
    assert run(tool, day="2026-12-01", guests="4") == '["2026-12-01","4","room","7","caller","de"]'


TYPES = '''
import dataclasses
from typing import Annotated, Literal, Optional, TypedDict
import msgspec

class Kind(enum.Enum):
    AMP = "amp"
    GUITAR = "guitar"

@dataclasses.dataclass
class Address:
    street: str
    number: int = 1

class Note(TypedDict):
    text: str

class Money(msgspec.Struct):
    cents: int

@tool
def everything(
    a: str, b: int, c: float, d: bool, e: Literal["x", "y"], f: Kind, g: list[int], h: dict[str, int],
    i: Optional[str], j: Address, k: Note, l: Money, m: Annotated[int, msgspec.Meta(ge=1)] = 3, n: list[str] = ["z"],
    o: str | None = None,
) -> object:
    """All types."""
    n.append(f"{a}{b}{c}{d}{e}{f.name}{g}{h}{i}{j.street}{k['text']}{l.cents}{m}{o}")
    return {"address": j, "money": l, "n": n, "kind": f}
'''


def test_all_types_of_hints_make_a_schema_and_are_converted(file: Path) -> None:
    tool = only(file, TYPES)
    schema = tool.parameters
    assert [one["type"] for name, one in schema["properties"].items() if name in "abcd"] == [
        *("string", "integer", "number", "boolean")
    ]
    assert schema["properties"]["j"] == {"$ref": "#/$defs/Address"} and {"Address", "Note", "Money", "Kind"} == set(
        schema["$defs"]
    )
    assert schema["required"] == list("abcdefghijkl") and schema["properties"]["n"]["default"] == ["z"]
    given = {"a": "s", "b": "2", "c": 1, "d": "true", "e": "x", "f": "amp", "g": ["1"], "h": {"q": 1}, "i": None}
    more = {"j": {"street": "Main", "number": 1}, "k": {"text": "t"}, "l": {"cents": 5}}
    for _ in range(2):  # a default that was changed in a call is whole in the next one
        assert run(tool, **given, **more) == (
            '{"address":{"street":"Main","number":1},"money":{"cents":5},'
            '"n":["z","s21.0TruexAMP[1]{\'q\': 1}NoneMaint53None"],"kind":"amp"}'
        )


@pytest.mark.row("TL-21")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Object missing required field `day`"),
        ({"day": 5}, "Expected `str`, got `int` - at `$.day`"),
        ({"day": SAID, "guests": SAID}, "Expected `int`, got `str` - at `$.guests`"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_told_without_values(file: Path, arguments: dict[str, Any], words: str) -> None:
    result = only(file, EXAMPLE).run(arguments, CALL)
    assert result == Result(f'{{"error":"the arguments are not valid: {words}"}}', "error")


def test_arguments_that_are_not_known_are_left_out(file: Path) -> None:
    assert run(only(file, EXAMPLE), day="d", other=1).startswith('["d","2"')


@pytest.mark.row("TL-21")
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("return None", '{"ok":true}'),
        ("return ''", '{"ok":true}'),
        ("return 'we open at nine'", "we open at nine"),
        ("return 3.5", "3.5"),
        ("return 'x' * 9000", "x" * 8000 + " [cut]"),
        ("raise ToolError('no table is free')", '{"error":"no table is free"}'),
        ("raise ToolError('x' * 2000)", '{"error":"' + "x" * 1000 + '"}'),
        ("raise ToolError", '{"error":"the tool failed"}'),
        ("return object()", '{"error":"the tool failed"}'),
        ("return '\\ud800' and {'a': '\\ud800'}", '{"error":"the tool failed"}'),
        ("raise ValueError(x)", '{"error":"the tool failed"}'),
        ("raise SystemExit(x)", '{"error":"the tool failed"}'),
        ("raise KeyboardInterrupt", '{"error":"the tool failed"}'),
        ("import gevent; raise gevent.Timeout(1)", '{"error":"the tool failed"}'),
        ("return (yes for yes in [1])", '{"error":"the tool failed"}'),
    ],
)
@pytest.mark.parametrize("thread", [False, True], ids=["here", "in a thread"])
def test_what_a_function_does_is_told(file: Path, code: str, text: str, thread: bool) -> None:
    tool = only(file, f'@tool(thread={thread})\ndef f(x: str):\n    """Do it."""\n    {code}\n')
    with capture_logs() as lines:
        assert run(tool, x=SAID) == text
    failed = [line for line in lines if line["event"] == "tool_failed"]
    assert len(failed) == ("the tool failed" in text) and SAID not in repr(lines)
    if failed and code.startswith("raise"):
        assert "hours.py:6 f" in failed[0]["traceback"]


@pytest.mark.row("TL-21")
def test_a_blocking_function_in_a_thread_leaves_the_loop_running(file: Path) -> None:
    code = (
        '@tool(thread=True)\ndef f():\n    """Block."""\n    from gevent import monkey\n'
        "    monkey.get_original('time', 'sleep')(0.3)\n    return 'done'\n"
    )
    tool = only(file, code)
    passes = 0
    calling = gevent.spawn(run, tool)
    while not calling.ready():
        gevent.sleep(0.005)
        passes += 1
    # A loop that is blocked has two.
    assert calling.value == "done" and passes > 4


@pytest.mark.parametrize("thread", [False, True], ids=["here", "in a thread"])
def test_a_function_that_takes_too_long_is_told_as_late(file: Path, thread: bool) -> None:
    code = f'@tool(thread={thread})\ndef f():\n    """Wait."""\n    import gevent\n    gevent.sleep(1.5)\n'
    call = Call("", "", seconds=0.05)
    assert only(file, code).run({}, call) == Result.timed_out(0.05)


def test_a_killed_function_reaches_its_finally(file: Path) -> None:
    code = (
        "import gevent\nended = []\n@tool\ndef f():\n"
        '    """Wait."""\n    try:\n        gevent.sleep(60)\n    finally:\n        ended.append(1)\n'
    )
    tool = only(file, code)
    calling = gevent.spawn(run, tool)
    gevent.sleep(0)
    calling.kill()
    function = tool.run.args[0]  # type: ignore[attr-defined] # a partial
    assert function.__globals__["ended"] == [1] and isinstance(calling.value, gevent.GreenletExit)


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("def f(x): pass", "has no docstring"),
        ("def f(x):\n    '''D.'''", "x has no hint"),
        ("def f(*args: int):\n    '''D.'''", "takes *args: int"),
        ("def f(**more: int):\n    '''D.'''", "takes **more: int"),
        ("def f(x: int, /):\n    '''D.'''", "x is positional only"),
        ("def f(call: Call):\n    '''D.'''", "call must be keyword-only"),
        ("async def f():\n    '''D.'''", "is async"),
        ("async def f():\n    '''D.'''\n    yield 1", "is async"),
        ("def f():\n    '''D.'''\n    yield 1", "is a generator"),
        ("def f(x: int = 'one'):\n    '''D.'''", "the default of x does not fit its hint"),
        ("def f(x: 'Nothing'):\n    '''D.'''", "its hints can't be read"),
        ("def f(x: Call):\n    '''D.'''", "has a hint that can't be used"),
        ("def f(x: time.struct_time):\n    '''D.'''", None),
        ("def f(x: object = object()):\n    '''D.'''", "the default of x does not fit its hint"),
    ],
    ids=str,
)
def test_a_function_that_can_not_be_a_tool_is_a_fault(file: Path, signature: str, told: str | None) -> None:
    tools, faults = loaded(file, f"\n@tool\n{signature}\n")
    if told is None:
        assert len(tools) + len(faults) == 1
        return
    assert tools == [] and len(faults) == 1
    assert faults[0].startswith("hours.py:4: f: ") and told in faults[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("name='9'", "is no name of a tool"),
        ("timeout=0.5", "timeout must be a number from 1 to 100"),
        ("hold_ms=5000", "hold_ms must be a number from 0 to 2000"),
        ("waiting='One moment.'", "waiting must be a list of phrases"),
        ("waiting=[' ']", "waiting must be a list of phrases"),
    ],
)
def test_options_that_can_not_be_used_are_faults(file: Path, options: str, told: str) -> None:
    tools, faults = loaded(file, f"@tool({options})\ndef f():\n    '''D.'''\n")
    assert tools == [] and told in faults[0]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = (", "hours.py:3: SyntaxError"),
        ("\nimport nothing_of_this_name", "hours.py:4: ModuleNotFoundError"),
        ("raise SystemExit('bye')", "hours.py:3: SystemExit: bye"),
        ("@tool(colour='red')\ndef f(): pass", "hours.py:3: TypeError"),
    ],
)
def test_a_file_that_can_not_be_run_is_a_fault(file: Path, code: str, told: str) -> None:
    tools, faults = loaded(file, code)
    assert tools == [] and len(faults) == 1 and faults[0].startswith(told)


def test_only_what_a_file_itself_decorates_is_its_tool(file: Path) -> None:
    (file.parent / "_table.py").write_text(
        "from parley.tools import tool\nHOURS = 'at nine'\n@tool\ndef theirs():\n    '''D.'''\n"
    )
    code = "def plain(x: int): pass\n@tool\ndef f():\n    '''D.'''\n    return HOURS\ng = f\n"
    tool = only(file, "from _table import HOURS, theirs\n" + code)
    assert tool.name == "f" and run(tool) == "at nine"
