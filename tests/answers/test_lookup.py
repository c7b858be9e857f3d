"""What is looked up for a conversation: the turn, the turns before it, an offer, or nothing."""

import json
from typing import Any

import pytest

from parley.answers.lookup import lookup_of
from parley.knowledge.base_settings import NO_SETTINGS, BaseSettings
from parley.knowledge.index import Query
from parley.knowledge.intent import Intent
from parley.wire.request import ChatRequest, Origin, parse


def chat(*turns: str) -> ChatRequest:
    """Return a request; turns alternate, the user's first and last."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": turn} for at, turn in enumerate(turns)]
    return parse(json.dumps({"messages": messages}).encode(), Origin("test", v1=True))


def query_of(chat: ChatRequest, base: BaseSettings) -> Query | None:
    return lookup_of(chat, base).query


def test_a_question_is_looked_up_with_the_turns_before_it() -> None:
    query = query_of(chat("how much is premium", "39.", "and smart", "14.", "and for four people"), NO_SETTINGS)

    assert query is not None
    assert (query.text, query.before) == ("and for four people", "how much is premium\nand smart")


def test_turns_that_ask_nothing_are_passed_over() -> None:
    query = query_of(
        chat("how much is fiber 250", "34.90.", "great thanks", "Anything else?", "and the next bigger one"),
        NO_SETTINGS,
    )

    assert query is not None
    assert query.before == "how much is fiber 250"


def test_an_assent_looks_up_what_was_offered() -> None:
    query = query_of(chat("we have an evening", "Shall I tell you about the sauna?", "yes please"), NO_SETTINGS)

    assert query is not None
    assert (query.text, query.before) == ("Shall I tell you about the sauna?", "")


@pytest.mark.parametrize(
    "turns",
    [
        ("hello",),
        ("when do you open", "At nine.", "thanks bye"),
        ("when do you open", "At nine. Anything else?", "yes"),
        ("when do you open", "At nine.", "yes"),
        ("when do you open", "At nine. Shall I book?", "no thanks"),
    ],
)
def test_nothing_is_looked_up_where_nothing_is_asked(turns: tuple[str, ...]) -> None:
    assert query_of(chat(*turns), NO_SETTINGS) is None


def test_without_the_gate_every_turn_is_looked_up() -> None:
    query = query_of(chat("hello"), BaseSettings(gated=False))

    assert query is not None
    assert query.text == "hello"


def test_the_purpose_of_a_turn_is_told() -> None:
    intents = [lookup_of(chat(turn), NO_SETTINGS).intent for turn in ("hello", "when do you open", "yes please")]

    assert intents == [Intent.SMALL_TALK, Intent.ASKS, Intent.ASSENT]


def test_a_question_behind_an_assent_asks() -> None:
    query = query_of(
        chat("we need a break", "Shall I tell you about the sauna?", "yes, and what does it cost"),
        NO_SETTINGS,
    )

    assert query is not None
    assert (query.text, query.before) == ("yes, and what does it cost", "we need a break")


def test_in_tool_rounds_the_offer_is_the_one_before_the_turn() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "we need a break"},
        {"role": "assistant", "content": "Shall I tell you about the sauna?"},
        {"role": "user", "content": "yes please"},
        {"role": "assistant", "content": "Shall I look?", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "open", "tool_call_id": "1"},
    ]

    query = query_of(ChatRequest({"messages": messages}, stream=True, origin=Origin("test", v1=True)), NO_SETTINGS)

    assert query is not None
    assert query.text == "Shall I tell you about the sauna?"


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Shall I tell you about"}, {"type": "text", "text": "the sauna?"}],
        "Of course. " * 2_000 + "Shall I tell you about the sauna?",
        "Shall I tell you about the sauna? " + "It is never full. " * 20,
    ],
    ids=["parts", "long", "inside"],
)
def test_an_offer_is_found_in_any_content(content: Any) -> None:
    messages = [{"role": "assistant", "content": content}, {"role": "user", "content": ["yes", "please"]}]

    query = query_of(ChatRequest({"messages": messages}, stream=True, origin=Origin("test", v1=True)), NO_SETTINGS)

    assert query is not None
    assert query.text == "Shall I tell you about the sauna?"


@pytest.mark.parametrize(
    "text",
    ["why " * 2_500, "متى تفتحون", "hello wo ist die Sauna", "\u200b 7"],
    ids=["10-kB", "right-to-left", "mixed", "number"],
)
def test_unusual_turns_ask(text: str) -> None:
    assert lookup_of(chat(text), NO_SETTINGS).intent is Intent.ASKS


def test_phrases_of_the_base_are_small_talk_there() -> None:
    base = BaseSettings(small_talk=("ahoy",))

    assert query_of(chat("ahoy, hello"), base) is None
    assert query_of(chat("ahoy, hello"), NO_SETTINGS) is not None
