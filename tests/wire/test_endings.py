"""Which choices of a stream have ended: finish reasons that come too early, on every chunk, or are named again."""

from typing import Any

import pytest

from parley.wire.chunks import look
from parley.wire.endings import Endings, is_withheld
from parley.wire.upstream_json import encode


def after(*choices: dict[str, Any] | list[dict[str, Any]]) -> Endings:
    """Return the endings after chunks with these choices."""
    endings = Endings()
    for each in choices:
        listed = each if isinstance(each, list) else [each]
        view = look(encode({"choices": [{"index": 0, "delta": {}, **choice} for choice in listed]}))
        assert isinstance(view.choices, list)
        endings.take(view.choices)
    return endings


WORD = {"delta": {"content": "Hi"}}
STOP = {"finish_reason": "stop"}


@pytest.mark.parametrize(
    ("choices", "ended"),
    [
        ([], False),
        ([WORD], False),
        ([WORD, STOP], True),
        ([WORD | STOP], True),
        ([WORD | STOP, WORD], False),
        ([WORD | STOP, WORD | STOP], True),
        ([STOP, WORD, STOP], True),
        ([WORD, STOP, {}], True),
        ([WORD, STOP, {"finish_reason": None, "content_filter_results": {}}], True),
        ([WORD, STOP, {"delta": {"role": "assistant", "content": ""}}], True),
        ([WORD, STOP, {"delta": {"annotations": [1]}}], True),
        ([WORD, STOP, {"delta": {"tool_calls": [{"index": 0}]}}], False),
        ([WORD, STOP, {"delta": {"audio": {"expires_at": 5}}}], True),
        ([WORD, STOP, {"delta": {"audio": {"data": "AAAA"}}}], False),
        ([WORD, {"finish_reason": "error"}], False),
        ([WORD, {"finish_reason": "null"}], False),
        ([WORD, {"finish_reason": {"type": "stop"}}], True),
        ([WORD, {"index": None, **STOP}], True),
        ([WORD, {"index": "0", **STOP}], True),
        ([WORD, {"index": 0.0, **STOP}], True),
        ([WORD, {"index": "a", **STOP}], False),
    ],
    ids=range(21),
)
def test_a_choice_has_ended_unless_content_came_behind(choices: list[dict[str, Any]], ended: bool) -> None:
    assert after(*choices).all_ended is ended


def test_each_choice_ends_by_itself() -> None:
    second = {"index": 1, "delta": {"content": "Ho"}}
    begun = after([WORD, second])
    half = after([WORD, second], STOP)
    undone = after([WORD, second], STOP, {"index": 1, **STOP}, {"index": 1, "delta": {"content": "!"}})
    assert begun.unfinished == {0, 1} and half.unfinished == {1} and half.ended == {0}
    assert undone.unfinished == {1} and after([WORD, second], STOP, {"index": 1, **STOP}).all_ended


@pytest.mark.parametrize(
    ("choices", "doubtful"),
    [
        ([WORD, STOP], False),
        ([WORD | STOP], True),
        ([{"delta": {"role": "assistant"}, **STOP}], True),
        ([{"finish_reason": "content_filter"}], False),
        ([WORD | STOP, STOP], False),
        ([WORD | STOP, WORD, STOP], True),
    ],
    ids=["of its own", "with words", "before any", "content filter", "said again", "proved wrong once"],
)
def test_an_ending_is_doubtful_with_content_or_before_any(choices: list[dict[str, Any]], doubtful: bool) -> None:
    assert after(*choices).doubtful is doubtful


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal"])
def test_filters_withhold(reason: str) -> None:
    assert is_withheld(reason) and not is_withheld("stop") and not is_withheld(None)
