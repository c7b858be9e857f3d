"""An answer sorted into what leaves and the calls of our tools that do not."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_upstream import FINISH, chunk

from parley.wire.calls import Calls

ROLE = chunk(role="assistant", content=None)
USAGE = json.dumps({"id": "up", "choices": [], "usage": {"total_tokens": 3}}).encode()


def piece(index: int | None, name: str = "", arguments: Any = "", **more: Any) -> dict[str, Any]:
    function = {**({"name": name} if name else {}), "arguments": arguments}
    return {**({} if index is None else {"index": index}), **more, "function": function}


def sorted_out(payloads: Sequence[bytes], *, has_others: bool = True, ours: str = "look") -> tuple[Calls, list[bytes]]:
    calls = Calls({ours}, has_others=has_others)
    return calls, [left for payload in payloads for left in calls.take(payload)]


def arguments(calls: Calls) -> list[Any]:
    return [called.arguments for called in calls.message(set())[1]]


def test_words_leave_with_the_role_before_them() -> None:
    words = chunk(content="Hello")

    calls, left = sorted_out([ROLE, words, FINISH, USAGE])

    assert left == [ROLE, words] and calls.end() == [FINISH, USAGE] and not calls.are_to_be_run
    assert calls.usage == {"total_tokens": 3}


def test_nothing_of_our_call_leaves() -> None:
    payloads = [ROLE, chunk(tool_calls=[piece(0, "look", '{"x"')]), chunk(tool_calls=[piece(0, arguments=":1}")])]

    calls, left = sorted_out([*payloads, FINISH, USAGE])

    assert left == [] and calls.are_to_be_run and arguments(calls) == [{"x": 1}] and not calls.passed


def test_words_beside_a_call_leave_without_it_and_without_an_end() -> None:
    payload = chunk("tool_calls", role="assistant", content="Hm. ", tool_calls=[piece(0, "look")])

    calls, (left,) = sorted_out([payload])

    choice = json.loads(left)["choices"][0]
    assert choice == {"index": 0, "delta": {"role": "assistant", "content": "Hm. "}, "finish_reason": None}
    assert calls.are_to_be_run and calls.message(set())[0]["content"] == "Hm. "


def test_a_call_of_the_requests_passes_byte_for_byte() -> None:
    payloads = [chunk(tool_calls=[piece(0, "end", id="a")]), chunk(tool_calls=[piece(0, arguments="{}")])]

    calls, left = sorted_out([ROLE, *payloads, FINISH])

    assert left == [ROLE, *payloads] and calls.end() == [FINISH] and calls.passed_call


def test_a_call_is_held_until_its_name_is_known() -> None:
    first, second = chunk(tool_calls=[piece(0, id="a")]), chunk(tool_calls=[piece(0, "end")])

    assert sorted_out([first])[1] == [] and sorted_out([first, second])[1] == [first, second]
    assert sorted_out([first, chunk(tool_calls=[piece(0, "look")])])[1] == []
    assert sorted_out([first])[0].end() == [first]


def test_a_call_without_a_name_is_told_to_the_model() -> None:
    calls, left = sorted_out([chunk(tool_calls=[piece(0, arguments="{}")]), FINISH], has_others=False)

    assert left == [] and calls.are_to_be_run and calls.message(set())[1][0].name == "unnamed"


def test_a_call_behind_ours_gets_another_index() -> None:
    both = chunk(tool_calls=[piece(0, "look"), piece(1, "end"), piece(2, "end", id="b")])

    calls, (left,) = sorted_out([both])

    assert [call["index"] for call in json.loads(left)["choices"][0]["delta"]["tool_calls"]] == [0, 1]
    assert calls.dropped == ["look"] and not calls.are_to_be_run


@pytest.mark.parametrize("reason", ["length", "content_filter", "MAX_TOKENS"])
def test_calls_of_an_answer_that_was_cut_are_not_run(reason: str) -> None:
    calls, _ = sorted_out([chunk(tool_calls=[piece(0, "look", "{}")]), chunk(reason)])

    assert not calls.are_to_be_run and calls.end() == [chunk(reason)]


def test_the_older_function_call_is_left_alone() -> None:
    payload = chunk(function_call={"name": "look", "arguments": "{}"})

    calls, left = sorted_out([payload])

    assert left == [payload] and not calls.kept and calls.passed_call


def test_thoughts_go_back_but_are_no_words() -> None:
    thought = chunk(content="Hm", extra_content={"google": {"thought": True}})

    calls, left = sorted_out(
        [chunk(reasoning_content="a"), chunk(reasoning_content="b"), thought, chunk(tool_calls=[piece(0, "look")])]
    )

    message, _ = calls.message(set())
    assert len(left) == 3 and not calls.is_heard and calls.words == ""
    assert (message["reasoning_content"], message["content"]) == ("ab", None) and "extra_content" not in message


def test_what_continues_an_answer_needs_no_role() -> None:
    calls = Calls({"look"}, has_others=False)
    calls.drops_roles = True

    assert [calls.take(payload) for payload in (ROLE, chunk(content="a"))] == [[], [chunk(content="a")]]


def test_whole_messages_are_sorted_as_streams_are() -> None:
    calls = Calls({"look"}, has_others=True)
    entries = [piece(None, "look", {"x": 1}, id="a"), piece(None, "look", '{"x":2}', id="a")]

    assert calls.take_message({"content": "Hm.", "tool_calls": entries}, "stop")
    message, called = calls.message(set())
    assert [each.arguments for each in called] == [{"x": 1}, {"x": 2}] and len({each.id for each in called}) == 2
    assert message["content"] == "Hm."


@pytest.mark.parametrize("value", ["text", 5, {"a": 1}, [None, 1, "x"], {}, []])
def test_calls_that_are_none_pass(value: Any) -> None:
    payload = chunk(content="a", tool_calls=value)

    assert sorted_out([payload])[1] != []


def test_a_character_in_two_chunks_goes_back_as_one() -> None:
    halves = [chunk(content="Hm \ud83d"), chunk(content="\ude00 \ud83d")]
    call = chunk(tool_calls=[piece(0, "look", '{"x":"\ud83d\ude00"}', more="\ude00")])

    message, (called,) = sorted_out([*halves, call])[0].message(set())

    assert message["content"] == "Hm \U0001f600 " and called.arguments == {"x": "\U0001f600"}
    assert json.dumps(message, ensure_ascii=False).encode()


def test_calls_without_end_are_passed_over() -> None:
    calls, left = sorted_out([chunk(tool_calls=[piece(number, "look", "{}") for number in range(5000)]), FINISH])

    assert left == [] and len(calls.message(set())[1]) == 128


def test_a_value_that_is_nested_too_deep_goes_on() -> None:
    payload = chunk(content="a").replace(
        b'"content"', b'"reasoning_details": ' + b"[" * 900 + b"]" * 900 + b', "content"'
    )

    assert sorted_out([payload])[1] == [payload]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "look", "end", "{}", '{"x":1}', "{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "arguments"]), inner),
    max_leaves=6,
)
PIECE = st.fixed_dictionaries({}, optional={"index": JSON, "id": JSON, "type": JSON, "function": JSON, "more": JSON})
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "role": JSON,
        "content": JSON,
        "extra_content": JSON,
        "reasoning_content": JSON,
        "tool_calls": st.lists(PIECE | JSON, max_size=3) | JSON,
    },
)
CHUNKS = st.lists(st.tuples(DELTA, st.sampled_from([None, "stop", "tool_calls", "length"])), max_size=5)


@given(CHUNKS, st.booleans())
def test_pieces_of_any_form_break_nothing(sent: list[tuple[dict[str, Any], str | None]], has_others: bool) -> None:
    payloads = [chunk(reason, **delta) for delta, reason in sent]

    calls, left = sorted_out(payloads, has_others=has_others)

    assert all(isinstance(json.loads(payload), dict) for payload in [*left, *calls.end()])
    message, called = calls.message(set())
    assert len({each.id for each in called}) == len(called) == len(message["tool_calls"])
    json.dumps(message)


CALLS = st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=3), max_size=4)


@given(CALLS, st.integers(1, 9), st.booleans())
def test_calls_cut_anywhere_have_their_arguments(
    wanted: list[dict[str, Any]], size: int, has_distinct_indexes: bool
) -> None:
    payloads = []
    for number, each in enumerate(wanted):
        index = number if has_distinct_indexes else 0
        written = json.dumps(each)
        payloads.append(chunk(tool_calls=[piece(index, "look", "", id=f"call_{number}")]))
        parts = [written[start : start + size] for start in range(0, len(written), size)]
        payloads += [chunk(tool_calls=[piece(index, arguments=part)]) for part in parts]

    calls, left = sorted_out([ROLE, *payloads, FINISH], has_others=False)

    assert left == [] and calls.are_to_be_run == bool(wanted)
    assert arguments(calls) == wanted
