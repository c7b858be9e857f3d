"""Tools as requests hold them, and results as models are told."""

import dataclasses

from parley.tools.tool import MAX_RESULT_CHARACTERS, Call, Result, Tool


def test_a_definition_is_an_entry_of_a_request() -> None:
    parameters = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    tool = Tool("opening_hours", "Opening hours of a day.", parameters, "python", lambda arguments, call: Result("{}"))
    assert tool.definition == {
        "type": "function",
        "function": {"name": "opening_hours", "description": "Opening hours of a day.", "parameters": parameters},
    }
    assert dataclasses.replace(tool, strict=True).definition["function"]["strict"] is True
    assert not tool.cancels and not tool.read_only and tool.timeout is None


def test_a_long_result_is_cut_with_a_mark() -> None:
    assert Result.of("é" * MAX_RESULT_CHARACTERS).text == "é" * MAX_RESULT_CHARACTERS
    assert Result.of("é" * (MAX_RESULT_CHARACTERS + 1), 200) == Result("é" * 8000 + " [cut]", "ok", 200)


def test_a_failure_is_compact_json_with_cut_words() -> None:
    assert Result.failed('a "b" é', status=404, body="c") == Result('{"error":"a \\"b\\" é","body":"c"}', "error", 404)
    assert len(Result.failed("x" * 2000, "unreachable").text) == len('{"error":""}') + 1000


def test_a_call_has_a_log_that_bears_its_id() -> None:
    assert Call("call_1", "").log._context == {"tool_call_id": "call_1"}
