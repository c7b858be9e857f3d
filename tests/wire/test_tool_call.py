"""One call of a tool, put together from its pieces."""

from typing import Any

import pytest

from parley.wire.tool_call import PartialCall, begins_another, decoded, usual


def call_of(*pieces: dict[str, Any]) -> PartialCall:
    call = PartialCall()
    for piece in pieces:
        call.add(usual(piece))
    return call


def function(arguments: Any, name: str = "") -> dict[str, Any]:
    return {"function": {**({"name": name} if name else {}), "arguments": arguments}}


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ('{"a":1}', {"a": 1}),
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('"{\\"a\\":1}"', {"a": 1}),
        ('{"a":"\\ud83d"}', {"a": "\ud83d"}),
        ('{"a":"one\ntwo"}', {"a": "one\ntwo"}),
        ('```json\n{"a":1}\n```', {"a": 1}),
        ('[{"a":1}]', {"a": 1}),
    ],
)
def test_arguments_are_an_object(written: str, arguments: dict[str, Any]) -> None:
    assert decoded(written) == (arguments, "")


@pytest.mark.parametrize("written", ['{"a"', "[1]", "1", '"text"', "{}{}", "{" * 100_000, '{"a":NaN}'])
def test_other_arguments_are_none_for_a_reason(written: str) -> None:
    arguments, fault = decoded(written)
    assert arguments is None and fault


def test_a_call_keeps_what_nobody_knows() -> None:
    signature = {"google": {"thought_signature": "abc=="}}
    call = call_of(
        {"index": 0, "id": "a", "type": "function", "extra_content": signature, **function('{"x"', "look")},
        {"index": 0, **function(":1}")},
    )

    called = call.called(set())

    assert (called.id, called.name, called.arguments, called.fault) == ("a", "look", {"x": 1}, "")
    assert called.message == {
        "id": "a",
        "type": "function",
        "function": {"name": "look", "arguments": '{"x":1}'},
        "extra_content": signature,
    }


def test_ids_that_are_missing_or_taken_are_made() -> None:
    taken: set[str] = set()
    ids = [call_of({"id": call_id, **function("{}", "look")}).called(taken).id for call_id in ("a", "a", "", None)]

    assert ids[0] == "a" and len(taken) == 4
    assert all(len(call_id) == 29 and call_id.startswith("call_") for call_id in ids[1:])


def test_what_goes_back_to_the_model_is_always_an_object() -> None:
    messages = [call_of(function(written, "look")).called(set()).message for written in ('{"x"', {"x": 1}, None, "[]")]

    assert [message["function"]["arguments"] for message in messages] == ["{}", '{"x":1}', "{}", "{}"]


def test_an_empty_object_ahead_of_the_pieces_is_passed_over() -> None:
    assert call_of(function("{}", "look"), function('{"x":1}')).called(set()).arguments == {"x": 1}


def test_a_second_name_or_a_second_object_begins_another_call() -> None:
    whole, half = call_of({"id": "a", **function('{"x":1}', "look")}), call_of({"id": "a", **function('{"x"', "look")})

    def begins(call: PartialCall, piece: dict[str, Any]) -> bool:
        return begins_another(call, piece, piece.get("id", ""), piece["function"].get("name", ""))

    assert begins(half, function("", "book")) and begins(half, {"id": "b", **function("", "look")})
    assert begins(whole, function('{"x":2}', "look")) and begins(whole, function({"x": 2}, "look"))
    assert not begins(half, function(":1}", "look")) and not begins(whole, function("", "look"))
    assert not begins(half, {"id": "b", **function(":1}")})


@pytest.mark.row("TL-07")
@pytest.mark.parametrize(
    "piece",
    [
        {"function": {"name": "functions.look:0", "arguments": '{"a":1}'}},
        {"function": {"name": "default_api.look", "arguments": {"a": 1}}},
        {"function": {"name": " look\n", "parameters": {"a": 1}}},
        {"name": "look", "arguments": {"a": 1}},
        {"index": 0.0, "name": "look", "parameters": '{"a":1}'},
        {"function": {"name": "look", "arguments": '```\n{"a":1}```'}},
    ],
    ids=["Kimi", "Gemini", "blanks", "without function", "a whole float", "a block of code"],
)
def test_unusual_calls_are_understood(piece: dict[str, Any]) -> None:
    called = call_of(piece).called(set())

    assert (called.name, called.arguments, called.fault) == ("look", {"a": 1}, "")
    assert called.message["function"] == {"name": "look", "arguments": '{"a":1}'}


@pytest.mark.row("TL-07")
@pytest.mark.parametrize("name", ["look", ""])
def test_a_whole_call_that_comes_again_is_one(name: str) -> None:
    called = call_of(function('{"a"', "look"), function(":1}"), function('{"a":1}', name)).called(set())

    assert called.arguments == {"a": 1}
