"""An answer in one piece behind several passes: texts, usage, calls."""

import json
from typing import Any

import pytest
from scripted_upstream import AnswersInTurn, context, offering, tool

from parley.answers import chat_json
from parley.answers.whole_passes import first_choice, joined

LOOK = tool("look")


def message(content: Any, *names: str) -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def answered(*messages: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], AnswersInTurn]:
    upstream = AnswersInTurn(*messages)
    body = chat_json(context(stream=False, **fields), offering(upstream, LOOK))
    return json.loads(body)["choices"][0]["message"], upstream


def test_a_hidden_call_leaves_the_second_answer() -> None:
    found, upstream = answered(message(None, "look"), message("On Friday."))

    assert found == message("On Friday.") and len(upstream.questions) == 2


def test_the_texts_of_all_passes_are_one() -> None:
    found, _ = answered(message("A moment.", "look"), message(None, "look"), message("On Friday."))

    assert found["content"] == "A moment. On Friday."


def test_of_both_in_one_message_theirs_is_left() -> None:
    found, upstream = answered(message(None, "look", "end"), tools=[{"function": {"name": "end"}}])

    assert [call["id"] for call in found["tool_calls"]] == ["end"] and len(upstream.questions) == 1


def test_calls_of_the_last_pass_are_not_told() -> None:
    found, upstream = answered(*[message(None, "look")] * 4)

    assert "tool_calls" not in found and upstream.questions[-1].body["tool_choice"] == "none"


@pytest.mark.parametrize("completion", [None, [], {}, {"choices": None}, {"choices": []}, {"choices": ["x"]}])
def test_a_completion_without_a_choice_has_none(completion: Any) -> None:
    assert first_choice(completion) == {}


def test_texts_are_joined_with_one_space() -> None:
    assert joined(["a", "b ", "c", " d", "", "e"]) == "a b c d e"
