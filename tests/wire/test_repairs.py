"""Fields that official clients can't do without are added; each chunk that has them stays the same object."""

import json
from typing import Any

import pytest

from parley.wire.chunks import look
from parley.wire.repairs import Repairs, ToolCalls, with_tool_finish
from parley.wire.upstream_json import encode


def repaired(*payloads: bytes) -> bytes:
    """Return the last of these chunks of one stream, repaired."""
    repairs = Repairs()
    return [repairs.repaired(payload, look(payload)) for payload in payloads][-1]


@pytest.mark.parametrize(
    ("came", "left"),
    [
        (b'{"id":"a", "usage":{}}', b'{"id":"a","usage":{},"choices":[]}'),
        (b'{"choices":[{"delta":{"a":1.0}}]}', b'{"choices":[{"delta":{"a":1.0},"index":0}]}'),
        (b'{"choices":[{"index":3}]}', b'{"choices":[{"index":3,"delta":{}}]}'),
        (b'{"choices":[{"index":0,"delta":{}},{}]}', b'{"choices":[{"index":0,"delta":{}},{"index":1,"delta":{}}]}'),
        (
            b'{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a"},{"id":"b"}]}}]}',
            b'{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","index":0},{"id":"b","index":1}]}}]}',
        ),
    ],
    ids=["choices", "index", "delta", "both", "tool calls"],
)
def test_the_missing_field_is_added(came: bytes, left: bytes) -> None:
    assert repaired(came) == left


@pytest.mark.parametrize(
    "chunk",
    [
        b'{ "choices":[ { "index":0, "delta":{ "content":"x" } } ] }',
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{"index":0,"delta":null}]}',
        b'{"choices":[{"index":null,"delta":{}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0},{"index":1}]}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":[]}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":["x",{"id":"a"}]}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":{"id":"a"}}}]}',
    ],
    ids=range(9),
)
def test_a_chunk_that_lacks_nothing_is_the_same_object(chunk: bytes) -> None:
    assert repaired(chunk) is chunk


@pytest.mark.parametrize(
    ("pieces", "numbers"),
    [
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}], [0, 1, 0]),
        ([{"function": {"name": "f"}}, {"function": {"arguments": "{"}}, {"function": {"name": "f"}}], [0, 0, 1]),
        ([{"id": "a"}, {}, {"id": ""}, {"id": "b"}, {}], [0, 0, 0, 1, 1]),
        ([{"index": 4, "id": "a"}, {}, {"id": "b"}, {"id": "a"}], [4, 4, 5, 4]),
        ([{}], [0]),
        ([{"index": "0"}, {"id": 7}], ["0", 0]),
        ([{"function": "f"}, {"function": None}], [0, 0]),
    ],
    ids=range(7),
)
def test_a_piece_has_its_calls_number(pieces: list[dict[str, Any]], numbers: list[Any]) -> None:
    calls = ToolCalls()
    assert [calls.numbers([piece]) for piece in pieces] == [[number] for number in numbers]
    assert ToolCalls().numbers(pieces) == numbers


def of(message: dict[str, Any] | None = None, *, ends: bool = False, **more: Any) -> bytes:
    """Return a chunk with a message in place of a delta."""
    choice = {"index": 0, "finish_reason": "stop" if ends else None, **more}
    return encode({"choices": [{**choice, **({} if message is None else {"message": message})}]})


@pytest.mark.parametrize(
    ("chunks", "delta"),
    [
        ([of({"content": "a"})], {"content": "a"}),
        ([of({"content": "a"}), of({"content": "b"}, ends=True)], {"content": "b"}),
        ([of(delta={"content": "a"}), of({"content": "a"}, ends=True)], {}),
        ([of(delta={"content": "a"}), of({"content": "a"})], {}),
        ([of({"content": "a"}, ends=True)], {}),
        ([of(ends=True)], {}),
    ],
    ids=["a piece", "the last piece", "repeated at the end", "repeated", "the whole", "none"],
)
def test_a_message_is_the_delta_unless_it_repeats_others(chunks: list[bytes], delta: dict[str, Any]) -> None:
    assert json.loads(repaired(*chunks))["choices"][0]["delta"] == delta


def test_each_choice_counts_its_own_calls() -> None:
    chunks = [encode({"choices": [{"index": at, "delta": {"tool_calls": [{"id": "a"}]}}]}) for at in (0, 1)]
    assert json.loads(repaired(*chunks))["choices"][0]["delta"]["tool_calls"] == [{"id": "a", "index": 0}]


CALL = b'{"choices":[{"index":%d,"delta":{"tool_calls":[{"index":0,"id":"a"}]},"finish_reason":%b}]}'
END = b'{"id":1.50,"choices":[{"index":%d,"delta":{},"finish_reason":%b}]}'


@pytest.mark.row("PF-06")
@pytest.mark.parametrize("reason", [b'"stop"', b'"STOP"'])
def test_stop_behind_a_call_becomes_tool_calls(reason: bytes) -> None:
    repairs = Repairs(expects_tool_finish=True)
    came = [CALL % (0, b"null"), END % (1, reason), END % (0, reason), END % (0, b'"length"')]

    left = [repairs.repaired(payload, look(payload)) for payload in came]

    assert left == [*came[:2], END % (0, b'"tool_calls"'), came[3]]
    assert repairs.finish_reason == "tool_calls"


@pytest.mark.row("PF-06")
def test_stop_beside_a_call_becomes_tool_calls_too() -> None:
    repairs = Repairs(expects_tool_finish=True)
    came = CALL % (0, b'"stop"')

    assert repairs.repaired(came, look(came)) == CALL % (0, b'"tool_calls"')


@pytest.mark.row("PF-06")
def test_the_end_of_a_named_tool_s_call_stays() -> None:
    repairs = Repairs()
    came = [CALL % (0, b"null"), END % (0, b'"stop"')]

    assert [repairs.repaired(payload, look(payload)) for payload in came] == came
    assert repairs.finish_reason == "stop"


WHOLE = b'{ "n": 1.50, "choices":[ {"index":0,"message":{"tool_calls": %b},"finish_reason":%b} ] }'


@pytest.mark.row("PF-06")
def test_a_whole_answer_with_calls_ends_with_tool_calls() -> None:
    left = json.loads(with_tool_finish(WHOLE % (b'[{"id":"a"}]', b'"stop"')))

    assert left["choices"] == [{"index": 0, "message": {"tool_calls": [{"id": "a"}]}, "finish_reason": "tool_calls"}]
    for calls, reason in ((b"[]", b'"stop"'), (b"null", b'"stop"'), (b'[{"id":"a"}]', b'"length"')):
        assert with_tool_finish(WHOLE % (calls, reason)) == WHOLE % (calls, reason)
