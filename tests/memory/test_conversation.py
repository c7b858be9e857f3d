"""What is read of a request's history, and the limits of what is stored of a turn."""

import json
from typing import Any

import pytest

from parley.memory.conversation import (
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_PLATFORM_TURNS,
    MAX_TURNS,
    StoredTurn,
    decode,
    encode,
    fold,
    history_of,
    kept_exchange,
    stored_turn,
)

SYSTEM = {"role": "system", "content": "You are Mia."}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def reply(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def turn(number: int = 0, **more: Any) -> StoredTurn:
    return StoredTurn(f"question {number}", f"answer {number}", started=float(number), **more)


def test_a_history_is_the_turns_before_this_one() -> None:
    messages = [SYSTEM, reply("Welcome!"), user("a"), reply("A"), reply("Are you there?"), user(["b", "c"]), user("d")]

    history = history_of(messages)

    assert history
    assert (history.start, history.position, history.lead) == (1, 6, ("Welcome!",))
    assert [(each.position, each.user, each.replies) for each in history.turns] == [
        (2, "a", ("A", "Are you there?")),
        (5, "b c", ()),
    ]
    assert (history.user, history.continues, history.more) == ("d", False, False)


@pytest.mark.parametrize("messages", [[], [SYSTEM], [SYSTEM, reply("Welcome!")], [user("a"), reply("A")]], ids=len)
def test_without_a_user_who_waits_there_is_no_history(messages: list[dict[str, Any]]) -> None:
    assert history_of(messages) is None


def test_results_of_tools_continue_a_turn() -> None:
    call = reply(None, tool_calls=[{"id": "a"}])
    history = history_of(
        [user("a"), reply("A"), user("b"), call, {"role": "tool", "content": "7", "tool_call_id": "a"}]
    )

    assert history and (history.user, history.continues, len(history.turns)) == ("b", True, 1)


def test_of_a_long_history_the_last_turns_are_read() -> None:
    messages = [reply("Welcome!"), *(user(str(number)) for number in range(4096))]

    history = history_of(messages)

    assert history and history.more and history.lead == () and len(history.turns) == MAX_PLATFORM_TURNS
    assert history.turns[-1].user == "4094"


@pytest.mark.parametrize(
    ("one", "other"),
    [("It costs  7", " it COSTS\n7"), ("Straße", "STRASSE"), ("今日は", "今日 は")],
    ids=["a", "b", "c"],
)
def test_white_space_and_case_are_folded(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_what_is_stored_is_read_back() -> None:
    exchange = ({"role": "assistant", "content": None, "tool_calls": [{"id": "a", "extra_content": {"x": 1}}]},)
    turns = (turn(1), turn(2, closed=True, heard="ans", turn="turn_id 2", sent="Wait. answer 2", exchange=exchange))

    assert decode(encode(turns)) == turns


DEEP = b'[{"user":"a","exchange":[{"role":"tool","x":' + b"[" * 9000 + b"]" * 9000 + b"}]}]"


@pytest.mark.parametrize(
    "data",
    [None, b"", b"{", b'[{"user": 7}]', b"\xff", b" " * (MAX_BYTES + 1), b'[{"user":"\xff"}]', DEEP],
    ids=range(8),
)
def test_what_can_not_be_read_is_nothing(data: bytes | None) -> None:
    assert decode(data) == ()


@pytest.mark.row("MM-05")
def test_the_oldest_of_41_turns_leaves() -> None:
    kept = decode(encode([turn(number) for number in range(MAX_TURNS + 1)]))

    assert [each.user for each in kept] == [f"question {number}" for number in range(1, MAX_TURNS + 1)]


@pytest.mark.row("MM-05")
@pytest.mark.parametrize("letter", ["a", "名", "\U0001f600", '"'], ids=["ascii", "han", "emoji", "quote"])
def test_a_session_has_a_greatest_size(letter: str) -> None:
    long = [stored_turn(letter * 10_000, letter * 10_000, "", closed=False, turn="", started=1.0) for _ in range(9)]

    data = encode([*long, turn(7)])

    kept = decode(data)
    assert len(data) <= MAX_BYTES and sum(each.characters for each in kept) <= MAX_CHARACTERS
    assert len(kept) >= 2 and kept[-1] == turn(7)


@pytest.mark.row("MM-05")
def test_a_result_of_a_megabyte_is_cut() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "x" * (1 << 20), "name": "left out"}

    first, second = kept_exchange([{**call, "reasoning_content": "a secret thought"}, result])

    assert first == call
    assert second == {"role": "tool", "tool_call_id": "a", "content": "x" * 1999 + "…"}


def test_calls_that_are_too_large_are_not_kept() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "x" * 10_000}}]}

    assert kept_exchange([call, {"role": "tool", "tool_call_id": "a", "content": "x"}]) == ()


@pytest.mark.parametrize(
    "call", [{"id": 7}, {"id": "a", "extra_content": json.loads("[" * 90 + "]" * 90)}, "a"], ids=range(3)
)
def test_calls_that_would_not_be_read_back_are_not_kept(call: Any) -> None:
    assert kept_exchange([{"role": "assistant", "content": None, "tool_calls": [call]}]) == ()


def test_the_same_text_is_stored_once() -> None:
    assert stored_turn("a", "A", "A", closed=False, turn="", started=1.0).sent == ""
    filled = stored_turn("a", "A", "Wait. A", closed=False, turn="", started=1.0)
    assert (filled.said, filled.returned) == ("A", "Wait. A")
