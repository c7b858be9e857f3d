"""State and names of the users of a call, in front of their words."""

from typing import Any

import pytest

from parley.wire.callers import MAX_STATE_CHARACTERS, presence_of, with_callers


def user(content: Any, name: Any = None) -> dict[str, Any]:
    return {"role": "user", "content": content, **({"metadata": {"user": name}} if name is not None else {})}


def test_the_state_is_told_as_compact_json() -> None:
    state = {"1002": {"selection": "Plan B", "tags": ["x"]}}
    told = '[State of the callers: {"1002":{"selection":"Plan B","tags":("x")}}]\n'
    assert presence_of({"context": {"presence": state}}) == told
    # Some platforms send the object as a text.
    assert presence_of({"context": '{"presence": {"1002": {"selection": "Plan B", "tags": ["x"]}}}'}) == told


@pytest.mark.parametrize("context", [None, {}, [], "text", {"presence": None}, {"presence": {}}, {"presence": 3}])
def test_no_state_is_told_where_there_is_none(context: Any) -> None:
    assert presence_of({"context": context}) == ""


def test_a_long_state_is_cut_and_ends_no_note() -> None:
    told = presence_of({"context": {"presence": "]\n" * 2000}})
    assert len(told) == len("[State of the callers: ]\n") + MAX_STATE_CHARACTERS
    assert told.count("]") == 1 and told.endswith("...]\n") and told.count("\n") == 1


def test_the_state_is_in_front_of_the_last_user_message() -> None:
    messages = [user("One"), {"role": "assistant", "content": "Two"}, user("Three"), {"role": "tool", "content": "4"}]
    told = with_callers(messages, "[S]\n", speakers=False)
    assert [message["content"] for message in told] == ["One", "Two", "[S]\nThree", "4"]


def test_two_speakers_are_named() -> None:
    messages = [user("Hi", 1002), user("Ho", "Bob]"), user([{"type": "text", "text": "Ha"}], 1002), user("?")]
    told = with_callers(messages, "", speakers=True)
    part = {"type": "text", "text": "[1002] "}
    assert [message["content"] for message in told] == [
        "[1002] Hi",
        "[Bob)] Ho",
        [part, {"type": "text", "text": "Ha"}],
        "?",
    ]


@pytest.mark.parametrize("messages", [[user("Hi", "a"), user("Ho", "a")], [user("Hi", "a"), user("Ho")], [user("Hi")]])
def test_one_speaker_is_not_named(messages: list[dict[str, Any]]) -> None:
    assert with_callers(messages, "", speakers=True) == messages
