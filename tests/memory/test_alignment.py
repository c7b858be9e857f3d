"""Stored turns are matched with a platform's: by what the user said, then by the answers, at the least cost."""

from typing import Any

import pytest

from parley.memory.alignment import align
from parley.memory.conversation import History, StoredTurn, history_of

Pair = tuple[str, str]


def stored(*pairs: Pair, closed: tuple[int, ...] = ()) -> list[StoredTurn]:
    return [
        StoredTurn(user, said, started=1.0 + number, closed=number in closed)
        for number, (user, said) in enumerate(pairs)
    ]


def request(*pairs: Pair) -> History:
    messages: list[dict[str, Any]] = []
    for user, said in pairs:
        messages += [{"role": "user", "content": user}, *([{"role": "assistant", "content": said}] if said else [])]
    history = history_of([*messages, {"role": "user", "content": "now"}])
    assert history
    return history


A, B, C, D = ("a", "first of all"), ("b", "second of all"), ("c", "third of all"), ("d", "fourth of all")


@pytest.mark.parametrize(
    ("turns", "sent", "cut", "pairs"),
    [
        ([A, B, C], [], 3, {}),
        ([A, B, C], [A, B, C], 0, {0: 0, 1: 1, 2: 2}),
        ([A, B, C], [C], 2, {0: 2}),
        ([A, B, C], [(" C", "Third  of")], 2, {0: 2}),
        ([B, C], [A, B, C], 0, {1: 0, 2: 1}),
        ([A, B, D], [B, C, D], 1, {0: 1, 2: 2}),
        ([A, B, C], [("b", "another answer"), C], 1, {0: 1, 1: 2}),
        ([A, B, C], [("reworded", "second of all"), C], 1, {0: 1, 1: 2}),
        ([A, B, C], [("b", ""), C], 1, {0: 1, 1: 2}),
        ([A, B], [("x", "unknown"), ("y", "unknown")], 2, {}),
        ([A, B], [B, ("x", "not yet written")], 1, {0: 1}),
    ],
    ids=range(11),
)
def test_the_window_begins_where_the_turns_are_the_same(
    turns: list[Pair], sent: list[Pair], cut: int, pairs: dict[int, int]
) -> None:
    found = align(stored(*turns), request(*sent))

    assert (found.cut, found.pairs) == (cut, pairs)


@pytest.mark.row("MM-02")
@pytest.mark.parametrize("rounds", range(6))
def test_a_word_said_five_times_is_told_by_its_place(rounds: int) -> None:
    turns = [("yes", f"answer number {number}") for number in range(5)]

    found = align(stored(*turns), request(*turns[5 - rounds :]))

    assert found.cut == 5 - rounds and found.cost == 0


def test_equal_words_are_told_by_their_answers() -> None:
    turns = [("yes", "one thing"), ("yes", "another thing")]

    assert align(stored(*turns, closed=(1,)), request(turns[0])).pairs == {0: 0}
    assert align(stored(*turns, closed=(1,)), request(("yes", "another"))).pairs == {0: 1}


def test_a_request_that_the_platform_gave_up_costs_little() -> None:
    found = align(stored(A, B, C, closed=(1,)), request(A, C))

    assert (found.pairs, found.cost) == ({0: 0, 1: 2}, 1)


def test_a_platform_that_sends_very_much_sends_everything() -> None:
    turns = [(f"question {number}", f"answer {number}") for number in range(100)]

    found = align(stored(*turns[60:]), request(*turns))

    assert found.cut == 0 and len(found.pairs) == 40


def test_another_answer_makes_a_match_doubtful() -> None:
    assert align(stored(A, B), request(A, ("b", "another answer"))).doubtful == {1}
