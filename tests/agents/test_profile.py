"""A request as it is for its agent."""

import dataclasses
import json
from datetime import datetime
from typing import Any

import pytest

from parley.agents.profile import Profile, with_profile
from parley.agents.variables import SystemPrompt
from parley.wire.request import ChatRequest, Origin, parse
from parley.wire.turn_options import TurnOptions

USER = {"role": "user", "content": "Hi"}
NOW = datetime(2026, 11, 28, 9, 5)


def chat(query: dict[str, str] | None = None, **fields: Any) -> ChatRequest:
    body = {"messages": [USER], **fields}
    return parse(json.dumps(body).encode(), Origin("r", v1=False, query=query or {}))


def applied(request: ChatRequest, **profile: Any) -> ChatRequest:
    made = Profile("mia", **profile)
    return with_profile(request, made, made.options(TurnOptions()), {"mia", "leo"}, lambda agent, name: None)


def test_params_fill_and_force_wins() -> None:
    body = applied(chat(temperature=1), params={"temperature": 0, "seed": 3}, force={"top_p": 0.5}).body
    assert (body["temperature"], body["seed"], body["top_p"]) == (1, 3, 0.5)
    body = applied(chat(max_tokens=5), force={"max_completion_tokens": 9}).body
    assert body["max_completion_tokens"] == 9 and "max_tokens" not in body


def test_what_the_operator_wrote_goes_upstream() -> None:
    request = applied(chat(enable_thinking=True, other=1), params={"x_fast": True}, force={"enable_thinking": False})
    sent = request.for_upstream("default", frozenset())
    assert (sent["x_fast"], sent["enable_thinking"]) == (True, False) and "other" not in sent
    assert request.held_back(frozenset()) == {"other"}


@pytest.mark.parametrize(
    ("asked", "own", "sent"),
    [
        (None, None, "default"),
        ("gpt", None, "gpt"),
        ("mia", None, "default"),
        ("leo", None, "default"),
        ("gpt", "big", "big"),
    ],
)
def test_the_model_is_the_agents_or_the_callers(asked: str | None, own: str | None, sent: str) -> None:
    request = applied(chat(model=asked), model=own)
    assert request.for_upstream("default", frozenset())["model"] == sent


def test_the_prompt_is_the_first_message() -> None:
    request = chat(messages=[{"role": "system", "content": "Be kind."}, USER])
    told = applied(request, system=SystemPrompt.parse("You are Mia.")).messages
    assert told == [{"role": "system", "content": "You are Mia.\n\nBe kind."}, USER]
    assert applied(request).messages == request.messages
    assert len(request.messages) == 2 and request.messages[0]["content"] == "Be kind."


def test_an_agents_base_is_asked_unless_the_request_names_one() -> None:
    asked = applied(chat(), overrides={"kb": "hotel"})
    assert asked.kb == "hotel" and asked.wants_knowledge
    assert applied(chat(kb="shop"), overrides={"kb": "hotel"}).kb == "shop"
    assert applied(chat({"kb": "query"}), overrides={"kb": "hotel"}).kb == "query"
    assert not applied(chat(rag=False), overrides={"kb": "hotel"}).wants_knowledge
    origin = dataclasses.replace(chat().origin, kb="path")
    assert dataclasses.replace(asked, origin=origin).kb == "path"


def filled(text: str, request: ChatRequest, unknown: list[str] | None = None) -> str:
    return SystemPrompt.parse(text).fill(request, NOW, (unknown if unknown is not None else []).append)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is {{ weekday }}, {{date}}, {{time}}.", "It is Saturday, 2026-11-28, 09:05."),
        ("{{request.plan}} {{request.on}} {{request.city}}", "b true Bonn"),
        ("{{template_variables.name}} {{template_variables.plan}}", "Ann b"),
        ("{{template_variables.tags}}", '["x",1]'),
        ("no {{ pair, {no} variable }}", "no {{ pair, {no} variable }}"),
        ("{{request.model}}{{request.messages}}{{env.HOME}}{{nothing}}{{}}.", "."),
        ("{{request.evil}}", "{{date}}"),
    ],
)
def test_variables_have_the_values_of_the_request(text: str, said: str) -> None:
    fields = {"plan": "b", "on": True, "evil": "{{date}}", "template_variables": {"name": "Ann", "tags": ["x", 1]}}
    assert filled(text, chat({"city": "Bonn", "plan": "a"}, model="m", **fields)) == said


def test_a_variable_without_a_value_is_told() -> None:
    unknown: list[str] = []
    assert filled("a{{request.x}}b{{date}}c{{tine}}", chat(), unknown) == "ab2026-11-28c"
    assert unknown == ["request.x", "tine"]


def test_marks_stand_at_the_words_that_they_belong_to() -> None:
    said = [{**USER, "metadata": {"user": "1"}}, {**USER, "metadata": {"user": "2"}}]
    asked = chat(messages=said, context={"presence": {"2": "B"}})
    asked = applied(asked, overrides={"presence": True, "speakers": True})
    assert asked.question == "Hi"
    sent = asked.with_context("Known: x\n", "").for_upstream("m", frozenset())["messages"]
    assert [message["content"] for message in sent] == [
        "[1] Hi",
        'Known: x\n[State of the callers: {"2":"B"}]\n[2] Hi',
    ]
