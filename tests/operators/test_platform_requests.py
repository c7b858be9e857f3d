"""Requests as the platforms send them: they are read by our parser, and keep what is private from an upstream."""

import json
from typing import Any

import pytest

from parley.operators.platform_requests import Message, agora, agora_broadcast
from parley.operators.platforms import PLATFORMS
from parley.wire.request import Origin, parse

CONVERSATION = (
    Message("system", "You are a concise voice assistant."),
    Message("assistant", "Hello!"),
    Message("user", "What plans are there?"),
    Message("assistant", "We have three plans, the first ", "We have three plans, the first costs ten dollars."),
    Message("user", "Just this one."),
)


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.name)
def test_the_server_reads_the_request(platform: Any) -> None:
    body = platform.request(CONVERSATION, "a-model")
    chat = parse(json.dumps(body).encode(), Origin("1", v1=platform.appends))

    assert chat.stream and chat.body["messages"][-1]["content"] == "Just this one."
    assert body.get("model", "a-model") == "a-model"


def test_agoras_engine_tells_what_was_heard() -> None:
    body = agora(CONVERSATION, "a-model")
    greeting, question, interrupted, last = body["messages"][1:]

    assert body["turn_id"] == last["turn_id"] == 2 and greeting["metadata"] == {"source": "greeting"}
    assert question["metadata"]["user"] == "1002" and question["speech_end_ms"] < question["timestamp"]
    assert interrupted["content"] == "We have three plans, the first "
    assert interrupted["metadata"]["original"] == CONVERSATION[3].original and interrupted["metadata"]["interrupted"]


def test_a_broadcast_ends_in_the_assistants_words() -> None:
    body = agora_broadcast("Welcome.", "a-model")
    chat = parse(json.dumps(body).encode(), Origin("1", v1=False))

    assert chat.broadcast == "Welcome." and chat.wants_audio
