"""The session of a call in each chunk, where the agent's platform wants it."""

import dataclasses
import json
from typing import Any

import pytest
from scripted_upstream import ScriptedUpstream, chunk, context, last, services

from parley import answers
from parley.concurrency import SILENCE
from parley.turn import TurnContext
from parley.wire import sse
from parley.wire.turn_options import TurnOptions

WORD = chunk(role="assistant", content="Hello")


def asked(platform: str, **fields: Any) -> TurnContext:
    turn = context(**fields)
    turn.chat = dataclasses.replace(turn.chat, options=TurnOptions(platform=platform))
    return turn


def test_each_chunk_bears_the_session() -> None:
    upstream = ScriptedUpstream([sse.comment("x"), WORD], SILENCE, last())
    turn = asked("hume", session_id="s-1")
    batches = list(answers.chat(turn, services(upstream)))
    assert batches[0][0] == sse.comment("x") and isinstance(batches[-1], sse.LastBatch)
    told = [json.loads(payload) for payload in (batches[0][1], batches[-1][0])]
    assert [each["system_fingerprint"] for each in told] == ["s-1", "s-1"]
    # Of the turn's own making, such as a fallback text.
    assert json.loads(turn.envelope.text("Sorry.", first=True))["system_fingerprint"] == "s-1"


def test_an_answer_in_one_piece_bears_it() -> None:
    turn = asked("hume", session_id=7, stream=False)
    body = answers.chat_json(turn, services(ScriptedUpstream(completion={"content": "x"})))
    assert json.loads(body)["system_fingerprint"] == "7"


@pytest.mark.parametrize(
    ("platform", "fields"), [("hume", {}), ("vapi", {"session_id": "s"}), ("", {"session_id": "s"})]
)
def test_others_get_what_came(platform: str, fields: Any) -> None:
    turn = asked(platform, **fields)
    first, _ = answers.chat(turn, services(ScriptedUpstream([WORD], last())))
    assert first == [WORD]
    assert b"system_fingerprint" not in turn.envelope.text("x", first=True)
