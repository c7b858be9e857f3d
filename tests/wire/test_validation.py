"""Checks of a request's fields: faulty ones are refused by name, all others are taken."""

from typing import Any

import pytest

from parley.errors import InvalidRequest
from parley.wire.validation import MAX_MESSAGES, ROLES, check

USER = {"role": "user", "content": "Hi"}


def refusal(body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        check(body)
    return raised.value


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        (None, "missing_field", "messages"),
        ([], "invalid_value", "messages"),
        ({}, "invalid_value", "messages"),
        ("Hi", "invalid_value", "messages"),
        ([USER] * 4097, "invalid_value", "messages"),
        (["Hi"], "invalid_value", "messages[0]"),
        ([USER, None], "invalid_value", "messages[1]"),
        ([{"content": "Hi"}], "missing_field", "messages[0].role"),
        ([{"role": None, "content": "Hi"}], "missing_field", "messages[0].role"),
        ([USER, {"role": "robot", "content": "Hi"}], "invalid_value", "messages[1].role"),
        ([{"role": ["user"], "content": "Hi"}], "invalid_value", "messages[0].role"),
        ([{"role": "user"}], "missing_field", "messages[0].content"),
        ([{"role": "user", "content": None}], "missing_field", "messages[0].content"),
        ([{"role": "tool", "tool_call_id": "a"}], "missing_field", "messages[0].content"),
        ([{"role": "user", "content": 7}], "invalid_value", "messages[0].content"),
        ([{"role": "user", "content": {"text": "Hi"}}], "invalid_value", "messages[0].content"),
        ([{"role": "user", "content": ["Hi", 7]}], "invalid_value", "messages[0].content[1]"),
        ([{"role": "assistant", "content": [None]}], "invalid_value", "messages[0].content[0]"),
    ],
)
def test_faulty_messages_are_refused_by_their_place(messages: Any, code: str, param: str) -> None:
    error = refusal({"messages": messages})

    assert (error.status, error.code, error.param) == (400, code, param)
    assert error.message.startswith(f"{param} ")


def test_messages_that_are_not_there_are_missing() -> None:
    assert (refusal({}).code, refusal({}).param) == ("missing_field", "messages")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 7),
        ("model", ["gpt"]),
        ("model", "a\r\nx: y"),
        ("model", "a\0"),
        ("model", "m" * 257),
        ("stream", "yes"),
        ("stream", 1),
        ("stream", []),
        ("stream_options", True),
        ("stream_options", []),
        ("audio", "wav"),
        ("asset", 7),
        ("asset", ["welcome"]),
        ("kb", 7),
        ("kb", ["shop"]),
        ("include_citations", "yes"),
        ("include_citations", 1),
        ("first_chunk", "interruptable"),
        ("first_chunk", [{"interruptable": False}]),
        ("first_chunk", {"interruptable": "false"}),
        ("first_chunk", {"interruptable": None}),
        ("first_chunk", {"tts_params": [1]}),
        ("first_chunk", {"tts_params": {"params": "fast"}}),
        ("first_chunk", {"x": "y" * 4096}),
        ("filters", "language=en"),
        ("filters", [{"language": "en"}]),
        ("filters", {"language": ["en", "de"]}),
        ("filters", {"price": 1.5}),
        ("filters", {"language": None}),
        ("filters", {str(number): "x" for number in range(17)}),
        ("modalities", "text"),
        ("modalities", ["text", None]),
        ("modalities", {}),
        ("waiting", "sometimes"),
        ("waiting", True),
        ("waiting", -1),
        ("waiting", 60_001),
        ("waiting", 0.5),
        ("waiting", []),
        ("waiting", {}),
    ],
)
def test_a_field_of_a_wrong_kind_is_refused_by_its_name(field: str, value: Any) -> None:
    error = refusal({"messages": [USER], field: value})

    assert (error.status, error.code, error.param) == (400, "invalid_value", field)
    assert error.message.startswith(f"{field} must be ")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
        {"role": "assistant", "audio": {"id": "a"}},
        {"role": "tool", "tool_call_id": "a", "content": "7"},
        {"role": "user", "content": ""},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "new"}, "Hi"]},
        {"role": "user", "content": "Hi", "turn_id": "odd", "metadata": 7, "x": None},
        *({"role": role, "content": "Hi"} for role in sorted(ROLES)),
    ],
)
def test_a_message_of_any_known_form_is_taken(message: dict[str, Any]) -> None:
    check({"messages": [message]})


def test_the_roles_are_openais() -> None:
    assert {"system", "developer", "user", "assistant", "tool", "function"} == ROLES


@pytest.mark.parametrize(
    "fields",
    [
        dict.fromkeys(["model", "stream", "stream_options", "audio", "asset", "modalities", "waiting"]),
        dict.fromkeys(["kb", "filters", "first_chunk", "include_citations"]),
        {"model": "m" * 256, "modalities": [], "audio": {}, "stream_options": {}, "asset": "", "waiting": 60_000},
        {"temperature": "hot", "max_tokens": -1, "n": [], "tools": 7, "what_comes_next": {"a": None}},
        {"turn_id": "x", "timestamp": [], "context": 7, "metadata": "x"},
    ],
)
def test_null_and_unknown_fields_are_never_an_error(fields: dict[str, Any]) -> None:
    check({"messages": [USER], **fields})


def test_as_many_messages_as_promised_are_taken() -> None:
    assert MAX_MESSAGES == 4096
    check({"messages": [USER] * 4096})
