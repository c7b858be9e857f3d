"""MCP's messages: headers, answers, listed tools, names, results; whatever a server sends, nothing fails."""

import json
from typing import Any

import pytest
from fake_mcp import text, tool
from hypothesis import given
from hypothesis import strategies as st

from parley.tools import mcp_protocol as protocol
from parley.tools.mcp_protocol import Reply, Session

STATELESS = Session("2026-07-28")
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def listed(entry: dict[str, Any], stateless: bool = True) -> protocol.ListedTool:
    return protocol.listed_tool(entry, stateless=stateless)


def said(result: Any, status: int = 200) -> tuple[str, str]:
    """Return text and outcome of the result of a call."""
    made = protocol.result_of(Reply(status, answer={"result": result}))
    return made.text, made.outcome


# --- requests ---


def test_a_stateless_request_bears_version_and_client() -> None:
    message = json.loads(STATELESS.message("tools/call", {"name": "a"}, 7))

    assert message == {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {
            "name": "a",
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "parley", "version": "1.0"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    assert STATELESS.headers("tools/call", "a") == {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "a",
    }


def test_a_request_of_a_session_bears_its_id() -> None:
    session = Session("2025-06-18", "s1")

    assert json.loads(session.message("tools/list", {}, 1)) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": {},
    }
    assert session.headers("tools/list") == {"mcp-protocol-version": "2025-06-18", "mcp-session-id": "s1"}
    assert Session("2025-11-25").headers("initialize") == {}


def test_a_notification_has_no_id() -> None:
    assert "id" not in json.loads(Session("2025-06-18").message("notifications/initialized", {}))


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("stock", "stock"),
        ("two words", "two words"),
        (" edge", "=?base64?IGVkZ2U=?="),
        ("Zürich", "=?base64?WsO8cmljaA==?="),
        ("a\r\nx-evil: 1", "=?base64?YQ0KeC1ldmlsOiAx?="),
        ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
    ],
)
def test_a_header_value_is_encoded_where_it_is_not_plain(value: str, header: str) -> None:
    assert protocol.header_value(value) == header


# --- messages that come ---


@pytest.mark.parametrize(
    ("payload", "messages"),
    [
        (b'{"id":1}', [{"id": 1}]),
        (b'\xef\xbb\xbf{"id":1}', [{"id": 1}]),
        (b'[{"id":1},2,{"id":3}]', [{"id": 1}, {"id": 3}]),
        (b'{"a":"\xff"}', [{"a": "\ufffd"}]),
        (rb'{"a":"\ud83d"}', [{"a": "?"}]),
        (rb'{"a":"\ud83d\ude00"}', [{"a": "😀"}]),
        (b'{"a":NaN,"b":-Infinity}', [{"a": None, "b": None}]),
        (b'{"a":1e400,"b":"\xff"}', [{"a": float("inf"), "b": "\ufffd"}]),
        (b'{"a":1' + b"0" * 30 + b"}", [{"a": 10**30}]),
        (b"<html>", []),
        (b"", []),
        (b"[" * 100_000, []),
        (b'{"a":1' + b"0" * 5_000 + b"}", []),
    ],
)
def test_messages_are_read_or_left_alone(payload: bytes, messages: list[Any]) -> None:
    assert protocol.messages_in(payload) == messages


@pytest.mark.parametrize(
    ("message", "is_ours"),
    [
        ({"id": 4, "result": {}}, True),
        ({"id": "4", "result": {}}, True),
        ({"id": 4, "error": {}}, True),
        ({"id": None, "error": {}}, True),
        ({"id": None, "result": {}}, False),
        ({"id": 5, "result": {}}, False),
        ({"id": 4, "method": "ping"}, False),
        ({"id": 4}, False),
    ],
)
def test_the_answer_is_told_by_its_id(message: dict[str, Any], is_ours: bool) -> None:
    assert protocol.is_answer(message, 4) is is_ours


def test_a_ping_is_answered_and_other_requests_are_refused() -> None:
    assert json.loads(protocol.reply_to({"id": "p", "method": "ping"}) or b"") == {
        "jsonrpc": "2.0",
        "id": "p",
        "result": {},
    }
    refused = json.loads(protocol.reply_to({"id": 2, "method": "elicitation/create"}) or b"")
    assert refused["error"]["code"] == -32601
    assert protocol.reply_to({"method": "notifications/progress"}) is None
    assert protocol.reply_to({"id": 2, "result": {}}) is None


# --- tools of a list ---


def test_a_tool_keeps_its_schema_but_for_what_models_do_not_need() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region", "description": "Where."},
            "$schema": {"type": "string", "enum": ["$schema"]},
        },
        "required": ["region"],
        "$defs": {"a": {"$schema": "x", "type": "integer", "default": {"$schema": "kept"}}},
    }
    found = listed(tool("stock", inputSchema=schema, annotations={"readOnlyHint": True}))

    assert found.parameters == {
        "type": "object",
        "properties": {
            "region": {"type": "string", "description": "Where."},
            "$schema": {"type": "string", "enum": ["$schema"]},
        },
        "required": ["region"],
        "$defs": {"a": {"type": "integer", "default": {"$schema": "kept"}}},
    }
    assert found.read_only and found.headers({"region": "Zürich"}) == {"mcp-param-region": "=?base64?WsO8cmljaA==?="}


@pytest.mark.parametrize("schema", [None, [], {}, {"type": "object"}, {"properties": None}], ids=repr)
def test_a_tool_without_parameters_has_an_empty_object(schema: Any) -> None:
    assert listed(tool("now", inputSchema=schema)).parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize("schema", [{"type": "array"}, {"type": None}, {"type": ["object"]}], ids=repr)
def test_a_tool_whose_arguments_are_no_object_is_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match="no object"):
        listed(tool("now", inputSchema=schema))


@pytest.mark.parametrize(
    ("more", "description"),
    [
        ({}, "About now."),
        ({"description": " "}, "now"),
        ({"description": None, "title": "The time"}, "The time"),
        ({"description": 5}, "now"),
    ],
)
def test_a_tool_is_described_by_what_there_is(more: dict[str, Any], description: str) -> None:
    assert listed(tool("now", **more)).description == description


@pytest.mark.parametrize("hint", [None, False, "true", 1], ids=repr)
def test_only_a_true_hint_makes_a_tool_read_only(hint: Any) -> None:
    assert not listed(tool("now", annotations={"readOnlyHint": hint})).read_only


STRING = {"type": "string", "x-mcp-header": "Region"}


@pytest.mark.row("MC-04")
@pytest.mark.parametrize(
    "schema",
    [
        {"x-mcp-header": "Region"},
        {"properties": {"a": {"type": "number", "x-mcp-header": "Region"}}},
        {"properties": {"a": {"type": ["string"], "x-mcp-header": "Region"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "with space"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 5}}},
        {"properties": {"a": STRING, "b": {"type": "string", "x-mcp-header": "REGION"}}},
        {"properties": {"a": {"type": "array", "items": STRING}}},
        {"anyOf": [{"properties": {"a": STRING}}]},
        {"$defs": {"a": STRING}},
    ],
    ids=str,
)
def test_a_tool_with_an_invalid_annotation_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="x-mcp-header"):
        listed(tool("stock", inputSchema=json.loads(json.dumps(schema))))
    # Before the stateless form the word means nothing.
    assert listed(tool("stock", inputSchema=json.loads(json.dumps(schema))), stateless=False).header_fields == {}


def test_arguments_become_headers_by_their_path() -> None:
    inner = {"properties": {"id": {"type": "integer", "x-mcp-header": "Tenant-Id"}}}
    flag = {"type": "boolean", "x-mcp-header": "Dry"}
    found = listed(tool("stock", inputSchema={"properties": {"tenant": inner, "dry": flag, "region": STRING}}))

    assert found.headers({"tenant": {"id": 7}, "dry": True, "region": None}) == {
        "mcp-param-tenant-id": "7",
        "mcp-param-dry": "true",
    }
    assert found.headers({"tenant": 5, "region": ["x"]}) == {}


@pytest.mark.row("MC-04")
def test_names_are_mapped_to_what_models_accept() -> None:
    names = protocol.model_names(["a.b/c", "plain-1", "1st", "天気", "_private"])

    assert names == {
        "a.b/c": "a_b_c",
        "plain-1": "plain-1",
        "1st": "t_1st",
        "天気": "t___",
        "_private": "t__private",
    }
    assert protocol.model_names(["a.b"], "shop__") == {"a.b": "shop__a_b"}


@given(st.sets(st.text(min_size=1, max_size=80) | st.sampled_from(["a.b", "a_b", "a/b", "x" * 64, "x" * 65, "x" * 66])))
def test_names_differ_and_do_not_depend_on_order(names: set[str]) -> None:
    mapped = protocol.model_names(sorted(names))

    assert len(set(mapped.values())) == len(names)
    assert all(1 <= len(name) <= 64 and name[0].isalpha() for name in mapped.values())
    assert all(
        set(name) <= {*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"} for name in mapped.values()
    )
    assert mapped == protocol.model_names(sorted(names, reverse=True))


def test_a_name_that_needs_no_change_keeps_it_beside_its_likes() -> None:
    names = protocol.model_names(["a.b", "a_b", "a/b"])

    assert names["a_b"] == "a_b"
    assert names["a.b"].startswith("a_b_") and names["a/b"].startswith("a_b_") and names["a.b"] != names["a/b"]


# --- results ---


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (text("one", "two"), "one\ntwo"),
        (text("one", structuredContent={"a": 1}), "one"),
        ({"content": [], "structuredContent": {"a": [1, "é"]}}, '{"a":[1,"é"]}'),
        ({"structuredContent": []}, "[]"),
        ({"content": []}, '{"ok":true}'),
        ({}, '{"ok":true}'),
        ({"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]}, "[image left out]"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "audio", "data": "x"}]}, "a\n[audio left out]"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}]}, "inside"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": "aGk="}}]}, "[resource left out]"),
        ({"content": [{"type": "resource_link", "name": "Terms", "uri": "https://a.b/c"}]}, "Terms: https://a.b/c"),
        ({"content": [{"type": ["odd"]}, "odd", {"type": "text", "text": 5}]}, '{"ok":true}'),
    ],
)
def test_a_result_is_shown_as_text(result: Any, shown: str) -> None:
    assert said(result) == (shown, "ok")


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (text("no such order", isError=True), '{"error":"no such order"}'),
        ({"isError": True}, '{"error":"the tool failed"}'),
        ({"isError": True, "structuredContent": {"a": 1}}, '{"error":"{\\"a\\":1}"}'),
        ({"resultType": "input_required", "inputRequests": {}}, '{"error":"the tool wants to ask somebody"}'),
    ],
)
def test_an_error_of_a_tool_is_told(result: Any, shown: str) -> None:
    assert said(result) == (shown, "error")


def test_an_error_is_cut() -> None:
    shown, _ = said(text("x" * 5_000, isError=True))

    assert json.loads(shown)["error"] == "x" * 1_000


@pytest.mark.parametrize(
    ("reply", "shown", "outcome"),
    [
        (Reply(200, answer={"error": {"code": -32602, "message": "bad"}}), {"error": "bad"}, "error"),
        (Reply(200, answer={"error": {"code": -32602}}), {"error": "the tool failed"}, "error"),
        (Reply(503, text="<html>"), {"error": "HTTP 503", "body": "<html>"}, "error"),
        (Reply(401), {"error": "HTTP 401"}, "error"),
        (Reply(200, text="<html>"), {"error": "the service can't be reached"}, "unreachable"),
        (Reply(202), {"error": "the service can't be reached"}, "unreachable"),
    ],
)
def test_a_reply_without_a_result_is_an_error(reply: Reply, shown: Any, outcome: str) -> None:
    result = protocol.result_of(reply)

    assert (json.loads(result.text), result.outcome, result.status) == (shown, outcome, reply.status)


@pytest.mark.parametrize(
    ("named", "seconds"),
    [(None, 300), (0, 30), (45_000, 45), (10**12, 3600), (-1, 30), (True, 300), ("60000", 300)],
)
def test_a_list_serves_for_the_time_that_is_named_within_limits(named: Any, seconds: float) -> None:
    assert protocol.life_of({"ttlMs": named}) == seconds


@given(ANY_JSON)
def test_any_answer_gives_a_result(value: Any) -> None:
    for reply in (Reply(200, answer={"result": value}), Reply(200, answer={"error": value}), Reply(400, answer=value)):
        if isinstance(reply.answer, dict):
            assert protocol.result_of(reply).text
            assert isinstance(reply.versions, list) and isinstance(protocol.refusal_of(reply), str)
            assert isinstance(reply.session_is_unknown, bool)


@given(ANY_JSON, ANY_JSON)
def test_any_entry_is_a_tool_or_refused(schema: Any, more: Any) -> None:
    try:
        found = listed(tool("odd", inputSchema=schema, annotations=more, title=more))
    except ValueError:
        return
    json.dumps(found.parameters)
    assert isinstance(found.headers({"a": schema}), dict)
