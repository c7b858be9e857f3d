"""Files of tools: Agora's own forms, and each fault with its line and column."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parley.tools.definition_files import Definitions, read
from parley.tools.definitions import HttpTool, McpServer

ENVIRON = {"ORDERS_TOKEN": "t0ken-of-orders", "SHOP_TOKEN": "t0ken-of-the-shop", "OTHER": "unused"}
AGORA = """\
{"tools": [
  {"type": "function",
   "function": {"name": "order_status", "description": "State of an order. Ask for the number first.",
     "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}},
   "execution": {"mode": "sync"},
   "server": {"method": "GET", "url": "https://api.example.com/orders/{{args.order_id}}",
     "headers": {"Authorization": "Bearer {{env.ORDERS_TOKEN}}"}, "timeout_ms": 5000},
   "waiting": ["Let me look up your order."], "reuse_s": 30, "hold_ms": 250, "interruptable": false, "cancel": false}],
 "mcp_servers": [
  {"name": "shop", "endpoint": "https://mcp.example.com/mcp", "transport": "streamable_http", "prefix": true,
   "headers": {"authorization": "Bearer {{env.SHOP_TOKEN}}"}, "allowed_tools": ["search", "stock"],
   "timeout_ms": 8000}
 ]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.json"


def of(file: Path, content: Any) -> Definitions:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read(file, ENVIRON)


def fault(file: Path, content: Any) -> str:
    (only,) = of(file, content).faults
    return only.removeprefix("shop.json:")


def tool(**changes: Any) -> dict[str, Any]:
    """Return an entry with changes; `server_x` and `function_x` are keys inside, None removes a key."""
    entry: dict[str, Any] = {
        "function": {"name": "t", "description": "d"},
        "server": {"url": "https://api.example.com/x", "method": "POST"},
    }
    for name, value in changes.items():
        inside, _, key = name.partition("_")
        if inside in entry and key:
            entry[inside][key] = value
        else:
            entry[name] = value
    return entry


def test_the_form_of_agora_is_read_with_our_keys(file: Path) -> None:
    read_file = of(file, AGORA)
    assert read_file.faults == () and read_file.secrets == {"t0ken-of-orders", "t0ken-of-the-shop"}
    order, shop = read_file.tools
    assert isinstance(order, HttpTool) and isinstance(shop, McpServer)
    assert (order.name, order.method, order.parameters["required"]) == ("order_status", "GET", ["order_id"])
    kept = order.behaviour
    assert (kept.timeout_ms, kept.waiting, kept.reuse_seconds) == (5000, ("Let me look up your order.",), 30)
    assert (kept.hold_ms, kept.interruptable, kept.after, kept.cancel) == (250, False, False, False)
    assert shop.headers == {"authorization": "Bearer t0ken-of-the-shop"} and shop.allowed_tools == ("search", "stock")
    assert (shop.endpoint, shop.behaviour.timeout_ms, shop.prefix) == ("https://mcp.example.com/mcp", 8000, True)
    assert not any(secret in repr(read_file) for secret in ENVIRON.values())


def test_a_schema_is_completed_and_strict_is_passed_on(file: Path) -> None:
    (one,) = of(file, [tool(function_strict=True, function_parameters={"required": []})]).tools
    assert isinstance(one, HttpTool) and one.strict
    assert one.parameters == {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize("allowed", [["*"], ["a", "*"], None])
def test_a_star_allows_all_tools(file: Path, allowed: list[str] | None) -> None:
    entry = {"name": "s", "endpoint": "http://h/mcp", "allowed_tools": allowed}
    (server,) = of(file, {"mcp_servers": [entry]}).tools
    assert isinstance(server, McpServer) and server.allowed_tools is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"tools": []}'])
def test_a_file_may_define_nothing(file: Path, content: str) -> None:
    assert of(file, content) == Definitions()


@pytest.mark.row("TL-22")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", " is empty"),
        ('{"tools": [\n  {"a" 1}]}', '2:8: expected \':\' delimiter'),
        ('[{}] {}', "1:6: extra data"),
        ('{"tools": [], "tools": []}', '1:1: an object has the key "tools" twice'),
        ("3", "1:1: must hold a list of tools"),
        ('{\n "tols": []}', '2:2: "tols" is not known; known are tools, mcp_servers'),
        ('{"tools": {}}', '1:2: "tools" must be a list'),
        ('[\n 3]', "2:2: expected `object`, got `int`"),
    ],
)  # fmt: skip
def test_a_broken_file_is_a_fault(file: Path, content: str, told: str) -> None:
    assert fault(file, content).startswith(told)


@pytest.mark.row("TL-22")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"waitng": []}, '"waitng" is not known; known are '),
        ({"function_parametres": {}}, '"parametres" is not known'),
        ({"server_timeout": 5}, '"timeout" is not known; known are url, method, headers, body, timeout_ms'),
        ({"function_name": "9lives"}, "a name is a letter"),
        ({"function_name": "a" * 65}, "a name is a letter"),
        ({"function_description": ""}, "expected `str` of length >= 1"),
        ({"function_parameters": {"type": "array"}}, 'the parameters must have the type "object"'),
        ({"server_method": "HEAD"}, "invalid enum value 'HEAD'"),
        ({"server_timeout_ms": 999}, "expected `int` >= 1000"),
        ({"server_timeout_ms": "5000"}, "expected `int | null`, got `str`"),
        ({"server_url": "ftp://h"}, '"url" is no URL such as'),
        ({"server_url": "https://h/{{env.GONE}}"}, '"url" needs the environment variable GONE, which is not set'),
        ({"server_headers": {"a": "{{args.x}}"}}, '"a" may not hold {{args...}}'),
        ({"server_headers": {"Host": "h"}}, "is no header that a tool can set"),
        ({"server_headers": {"A": "1", "a": "2"}}, "the header is there twice"),
        ({"server_body": "text"}, '"body" must be an object or a list'),
        ({"execution": {"mode": "async"}}, "invalid enum value 'async'"),
        ({"type": "webhook"}, "invalid enum value 'webhook'"),
        ({"reuse_s": 3601}, "expected `float` <= 3600"),
        ({"hold_ms": -1}, "expected `int` >= 0"),
        ({"waiting": ["a", " "]}, "a phrase is a text without control characters"),
        ({"waiting": "One moment."}, "expected `array`, got `str`"),
    ],
    ids=str,
)
def test_a_faulty_tool_is_told_with_its_place(file: Path, changes: dict[str, Any], told: str) -> None:
    said = fault(file, [tool(**changes)])
    place, _, message = said.partition(": ")
    assert message.startswith(told)
    line, at = map(int, place.split(":"))
    (name,) = changes
    key = name.split("_", 1)[1] if name.startswith(("function_", "server_")) else name
    # The place is that of the key, or of the item, that has to be mended.
    assert line == 1 and file.read_text()[at - 1 :].startswith((f'"{key}"', '"a"', '"Host"', '"mode"', '" "'))


def test_a_get_with_a_body_and_an_unknown_argument_are_faults(file: Path) -> None:
    schema = {"type": "object", "properties": {"a": {}}}
    entry = tool(
        function_parameters=schema,
        server_method="GET",
        server_url="https://h/{{args.b}}",
        server_body={"c": "{{args.d}}"},
    )
    told = of(file, [entry]).faults
    assert [line.partition(": ")[2] for line in told] == [
        "a GET request has no body; use POST, PUT or PATCH",
        "{{args.b}} is none of the function's parameters",
        "{{args.d}} is none of the function's parameters",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"transport": "sse"}, 'only the transport "streamable_http" is spoken'),
        ({"endpoint": "https://h/{{request.x}}"}, "an endpoint may hold {{env.NAME}} only"),
        ({"headers": {"a": "{{call.session}}"}}, "a header of an MCP server may hold {{env.NAME}} only"),
        ({"allowed_tools": []}, "no tool is allowed"),
        ({"name": "a" * 49}, "a name is a letter"),
        ({"command": "npx"}, '"command" is not known'),
    ],
    ids=str,
)
def test_a_faulty_server_is_told(file: Path, changes: dict[str, Any], told: str) -> None:
    entry = {"name": "s", "endpoint": "http://h/mcp", **changes}
    assert fault(file, {"mcp_servers": [entry]}).partition(": ")[2].startswith(told)


@pytest.mark.parametrize("raw", [b"\xff\xfe[\x00]\x00", b'["caf\xe9"]'], ids=["UTF-16", "Latin-1"])
def test_another_encoding_is_a_fault(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    assert "save it as UTF-8" in read(file, ENVIRON).faults[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"ab", "name", "url"]), inner, max_size=3)
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["function", "server", "headers", "body", "waiting", "execution", "timeout_ms"]), json_values)
def test_no_value_of_a_key_raises(file: Path, key: str, value: Any) -> None:
    entry = tool(**({f"server_{key}": value} if key in ("headers", "body", "timeout_ms") else {key: value}))
    found = of(file, {"tools": [entry], "mcp_servers": [{"name": "s", "endpoint": "http://h", key: value}]})
    assert len(found.tools) + len(found.faults) >= 2 or found.tools
