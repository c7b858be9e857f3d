"""Which tools a model is offered, and the conversation as it grows."""

from typing import Any

import pytest
from scripted_upstream import AnswersInTurn, calling, context, last, offering, tool

from parley.answers import chat
from parley.answers.tool_turn import offered_tools

LOOK, BOOK = tool("look", waiting=("I look it up",)), tool("book")
DONE = last()


def theirs(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({}, ["look", "book"]),
        ({"n": 1, "tool_choice": "auto"}, ["look", "book"]),
        ({"tools": [theirs("end")], "tool_choice": "required"}, ["look", "book"]),
        ({"tools": [theirs("look"), {"type": "web"}, "odd", {"function": 1}]}, ["book"]),
        ({"tools": []}, ["look", "book"]),
        ({"n": 2}, []),
        ({"tool_choice": "none"}, []),
        ({"functions": [{"name": "f"}]}, []),
        ({"tools": {"odd": 1}}, []),
    ],
)
def test_a_request_is_offered_what_it_leaves_room_for(fields: dict[str, Any], offered: list[str]) -> None:
    within = offering(AnswersInTurn(), LOOK, BOOK)

    assert list(offered_tools(context(**fields).chat, within)) == offered


def test_some_servers_offer_nothing() -> None:
    upstream = AnswersInTurn()
    assert offered_tools(context().chat, offering(upstream, LOOK, TOOL_PASSES="1")) == {}
    assert offered_tools(context().chat, offering(upstream)) == {}
    upstream.prompt_form = "extractive"
    assert offered_tools(context().chat, offering(upstream, LOOK)) == {}


@pytest.mark.parametrize(
    ("choice", "after"),
    [
        (None, None),
        ("auto", "auto"),
        ("required", "auto"),
        ({"type": "function", "function": {"name": "look"}}, "auto"),
    ],
    ids=["none given", "auto", "required", "named"],
)
def test_a_forced_choice_is_forced_once(choice: Any, after: Any) -> None:
    upstream = AnswersInTurn([[calling("look")], DONE], [[calling("book")], DONE], [DONE])
    fields = {} if choice is None else {"tool_choice": choice}

    list(chat(context(**fields), offering(upstream, LOOK, BOOK, TOOL_PASSES="3")))

    assert [question.body.get("tool_choice") for question in upstream.questions] == [choice, after, "none"]
    assert [len(question.messages) for question in upstream.questions] == [1, 3, 5]
    assert all(question.body["tools"] == [LOOK.definition, BOOK.definition] for question in upstream.questions)


def test_our_phrases_are_taken_out_of_the_history() -> None:
    upstream = AnswersInTurn([DONE])
    messages = [
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "I look it up. It arrives."},
        {"role": "assistant", "content": "One moment. Done."},
        {"role": "user", "content": "Thanks."},
    ]

    list(chat(context(messages=messages), offering(upstream, LOOK)))

    assert [message["content"] for message in upstream.questions[0].messages] == [
        "And?",
        "It arrives.",
        "Done.",
        "Thanks.",
    ]
