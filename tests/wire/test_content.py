"""Words in contents of every JSON type, and characters that were cut in two."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.wire.content import MAX_DEPTH, PairJoiner, Words, join_halves, words_in, words_of


def part(text: Any, kind: str = "text", field: str = "text") -> dict[str, Any]:
    return {"type": kind, field: text}


@pytest.mark.parametrize(
    ("content", "text", "unsaid"),
    [
        ("Hi", "Hi", ()),
        (None, "", ()),
        (42, "42", ()),
        (1.5, "1.5", ()),
        (True, "", ("bool",)),
        ([], "", ()),
        ([part("a"), "b", part("c", "output_text"), part("d", "refusal", "refusal")], "abcd", ()),
        ({"text": "a"}, "a", ()),
        ({"parts": [{"text": "a"}, {"text": "b"}]}, "ab", ()),
        (part({"value": "a", "annotations": []}), "a", ()),
        ([part([part("hm")], "thinking", "thinking"), part("hm", "reasoning")], "", ()),
        ([part("x", "image_url", "image_url"), part("a")], "a", ("image_url",)),
        ([part("x", "made_up"), part("x", "\ud83d"), part("x", "a\nb")], "", ("made_up", "unknown", "unknown")),
        ({"x": 1}, "", ("object",)),
        ({"type": 7, "text": "a"}, "", ("int",)),
        ([[part("a")], [None]], "a", ()),
    ],
    ids=range(16),
)
def test_words_are_found_and_the_rest_named(content: Any, text: str, unsaid: tuple[str, ...]) -> None:
    assert words_of(content) == Words(text, unsaid)


def test_content_that_is_nested_too_deep_is_named() -> None:
    content: Any = "a"
    for _ in range(MAX_DEPTH + 1):
        content = [content]
    assert words_of(content[0]) == Words("a") and words_of(content) == Words("", ("list",))


def test_a_messages_words_and_its_other_output() -> None:
    message = {"content": [part("a")], "refusal": "b", "images": [1], "audio": {}, "reasoning_content": "hm"}
    assert words_in(message) == Words("ab", ("images",))


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["a\ud83d", "\ude00b"], ["a", "\U0001f600b"]),
        (["\ud83d", "", "\ude00"], ["", "", "\U0001f600"]),
        (["\ud83d", "x"], ["", "x"]),
        (["\ude00x"], ["x"]),
        (["\ud83d", "\ud83d", "\ude00"], ["", "", "\U0001f600"]),
        (["a", "b\ud83d"], ["a", "b"]),
    ],
    ids=range(6),
)
def test_halves_are_joined_over_pieces(pieces: list[str], whole: list[str]) -> None:
    joiner = PairJoiner()
    assert [joiner.feed(piece) for piece in pieces] == whole


@given(text=st.text(), cuts=st.sets(st.integers(0, 40)))
def test_a_text_cut_anywhere_is_the_same(text: str, cuts: set[int]) -> None:
    units = text.encode("utf-16-le")
    places = [0, *(2 * cut for cut in sorted(cuts) if 2 * cut < len(units)), len(units)]
    pieces = [units[start:stop].decode("utf-16-le", "surrogatepass") for start, stop in itertools.pairwise(places)]
    joiner = PairJoiner()
    assert "".join(map(joiner.feed, pieces)) == text == join_halves(text)
