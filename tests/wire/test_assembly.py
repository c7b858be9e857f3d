"""Whole answers as streams, and streams as whole answers."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.errors import UpstreamBadResponse
from parley.wire.assembly import CompletionBuilder, chunks_of, join_base64, merged, settled
from parley.wire.chunks import Envelope, look
from parley.wire.repairs import Repairs
from parley.wire.upstream_json import encode

OURS = Envelope("ours", 1, "m")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["index", "id", "x", "type"]), inner),
    max_leaves=6,
)
DELTAS = st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "audio", "refusal", "x"]), JSON, max_size=3)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, "0", None, True]),
        "delta": DELTAS | st.none() | st.just([]),
        "logprobs": JSON,
        "finish_reason": JSON,
        "x": JSON,
    },
)


def built(*chunks: Any) -> dict[str, Any]:
    """Return the whole answer of these chunks, as they came from an upstream."""
    builder, repairs = CompletionBuilder(OURS), Repairs()
    for chunk in chunks:
        payload = encode(chunk)
        builder.feed(repairs.repaired(payload, look(payload)))
    whole: dict[str, Any] = json.loads(builder.body())
    return whole


def of(delta: Any, index: int = 0, **more: Any) -> dict[str, Any]:
    """Return a chunk with one choice."""
    return {"id": "up", "created": 5, "model": "big", "choices": [{"index": index, "delta": delta, **more}]}


def test_a_completion_becomes_the_stream_it_should_have_been() -> None:
    body = (
        b'{"id":"up","object":"chat.completion","created":5,"model":"big","choices":[{"index":0,"message":'
        b'{"role":"assistant","content":"Hi","refusal":null},"finish_reason":"length"}],"usage":{}}'
    )
    head = b'{"id":"up","object":"chat.completion.chunk","created":5,"model":"big","choices":[{"index":0,"delta":'

    assert chunks_of(body, OURS) == [
        head + b'{"role":"assistant","content":"Hi"},"logprobs":null,"finish_reason":null}]}',
        head + b'{},"logprobs":null,"finish_reason":"length"}]}',
    ]


def test_the_tool_calls_of_a_whole_answer_get_their_index() -> None:
    body = b'{"choices":[{"message":{"content":null,"tool_calls":[{"id":"a"},{"id":"b","index":5}]}}]}'

    first, finish = map(json.loads, chunks_of(body, OURS))

    assert (first["id"], first["created"], first["model"]) == ("ours", 1, "m") and not OURS.used
    assert first["choices"][0]["delta"] == {"tool_calls": [{"index": 0, "id": "a"}, {"index": 5, "id": "b"}]}
    assert finish["choices"][0]["finish_reason"] == "tool_calls"


def test_each_choice_becomes_chunks_and_the_usage_one_if_wanted() -> None:
    choices = [{"message": {"content": text}, "finish_reason": "stop"} for text in "ab"]
    body = encode({"choices": choices, "usage": {"total_tokens": 7}})

    *chunks, usage = map(json.loads, chunks_of(body, OURS, usage=True))

    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 0, 1, 1]
    assert (usage["choices"], usage["usage"]) == ([], {"total_tokens": 7}) and len(chunks_of(body, OURS)) == 4


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"text":"x"}]}',
        b'{"choices":[{"message":"x"}]}',
        b'{"choices":[{"message":{"tool_calls":["x"]}}]}',
    ],
)
def test_a_body_without_a_message_is_no_answer_to_a_stream(body: bytes) -> None:
    with pytest.raises(UpstreamBadResponse):
        chunks_of(body, OURS)


def test_chunks_become_one_answer() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    answer = built(
        of({"role": "assistant", "content": ""}, service_tier="x"),
        of({"content": "One", "reasoning_content": "h"}, logprobs={"content": [1]}),
        of({"content": " two", "reasoning_content": "m", "refusal": None}, logprobs={"content": [2]}),
        of({"tool_calls": [call]}, finish_reason="stop"),
        of({"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": "}"}}]}),
        of({}, finish_reason="tool_calls"),
        {"choices": [], "usage": {"total_tokens": 7}, "id": "other"},
    )
    assert answer == {
        **{"id": "up", "object": "chat.completion", "created": 5, "model": "big", "usage": {"total_tokens": 7}},
        "choices": [
            {
                "index": 0,
                "message": {
                    **{"role": "assistant", "content": "One two", "reasoning_content": "hm"},
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "logprobs": {"content": [1, 2]},
                "finish_reason": "tool_calls",
                "service_tier": "x",
            }
        ],
    }


def test_choices_are_put_together_apart() -> None:
    answer = built(of({"content": "a"}), of({"content": "x"}, 1), of({"content": "b"}), of({"content": "y"}, 1))
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["ab", "xy"]


def test_sound_is_put_together_although_each_piece_is_padded() -> None:
    pieces = [b"a", b"bc", b"def"]
    deltas = [{"audio": {"id": "s", "data": base64.b64encode(piece).decode(), "transcript": "x"}} for piece in pieces]
    audio = built(*map(of, deltas))["choices"][0]["message"]["audio"]
    assert base64.b64decode(audio["data"]) == b"abcdef" and (audio["id"], audio["transcript"]) == ("s", "xxx")


def test_pieces_that_are_no_base64_stay_as_they_are() -> None:
    assert join_base64(["a=", "b"]) == "a=b"


def test_parts_behind_a_text_follow_it() -> None:
    answer = built(of({"content": "a"}), of({"content": [{"type": "text", "text": "b"}]}), of({"content": "c"}))
    assert answer["choices"][0]["message"]["content"] == ["a", {"type": "text", "text": "b"}, "c"]


def test_a_stream_of_a_completion_becomes_that_completion() -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    whole = {
        "id": "up",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [choice],
        "usage": {"n": 1},
    }
    assert built(*map(json.loads, chunks_of(encode(whole), OURS, usage=True))) == whole


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(CHOICES, max_size=2), max_size=4))
def test_chunks_of_any_types_become_an_answer(chunks: list[list[Any]]) -> None:
    answer = built(*({"choices": choices} for choices in chunks))
    assert answer["object"] == "chat.completion"


@pytest.mark.row("RB-01")
def test_a_thought_by_its_note_is_no_content() -> None:
    builder = CompletionBuilder(Envelope("e", 1, "m"))
    note = {"google": {"thought": True}}
    for delta in ({"content": "secret", "extra_content": note}, {"content": "Hello."}):
        builder.feed(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())
    message = json.loads(builder.body())["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"], "extra_content" in message) == ("Hello.", "secret", False)


@pytest.mark.row("RA-08")
def test_an_empty_list_adds_nothing_to_a_text() -> None:
    assert settled(merged(merged(None, "a"), [])) == "a"
