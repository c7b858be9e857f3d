"""What is heard of an answer: words, sound and tool calls, not thoughts, in whatever field or marks they stand."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.wire.chunks import look
from parley.wire.heard import HeardDetector, is_heard, is_wordless, without_thoughts
from parley.wire.thoughts import THOUGHT_BLOCKS, THOUGHT_TAGS

MARKS = {
    **{f"<{name}>": f"</{name}>" for name in (*(each.replace("?", "") for each in THOUGHT_TAGS), "seed:think")},
    **{block.openings[0]: block.closings[0] for block in THOUGHT_BLOCKS if not block.leads},
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    '<details type="reasoning">': "</details>",
}
HEARD: list[dict[str, Any]] = [
    {"content": "a"},
    {"content": " .\n"},
    {"content": [{"type": "text", "text": "a"}]},
    {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}]},
    {"content": [{"type": "refusal", "refusal": "No."}]},
    {"content": "", "refusal": "No."},
    {"audio": {"data": "AA=="}},
    {"audio": {"id": "a", "transcript": "Hi"}},
    {"content": 7},
    {"content": {"type": "text", "text": {"value": "a"}}},
    {"tool_calls": [{"index": 0}]},
    {"function_call": {"name": "f"}},
    {"reasoning_content": "r", "content": "a"},
    {"content": "a", "extra_content": {"google": {"thought_signature": "x"}}},
    {"content": 7},
    {"content": 0},
    {"content": ["Hello"]},
    {"content": {"text": {"value": "Hello"}}},
]
UNHEARD: list[dict[str, Any]] = [
    {},
    {"role": "assistant", "content": ""},
    {"content": None, "tool_calls": [], "audio": {}, "function_call": None},
    {"content": " \n\u200b\ufeff"},
    {"content": "", "reasoning_content": "r"},
    {"reasoning": "r", "reasoning_details": [{"text": "r"}]},
    {"thinking": "r", "thinking_blocks": [{"thinking": "r"}]},
    {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}]},
    {"content": [{"type": "reasoning", "text": "r"}, {"text": "r", "thought": True}, {"type": "text", "text": " "}]},
    {"content": "<thought>r", "extra_content": {"google": {"thought": True}}},
    {"content": False, "audio": "x"},
    {"audio": {"id": "a", "expires_at": 7}},
    {"annotations": [{"type": "url_citation"}], "provider_specific_fields": {"a": 1}},
]


@pytest.mark.row("RA-04")
@pytest.mark.parametrize("delta", HEARD, ids=json.dumps)
def test_words_sound_and_calls_are_heard(delta: dict[str, Any]) -> None:
    assert is_heard(delta)


@pytest.mark.row("RA-04")
@pytest.mark.parametrize("delta", UNHEARD, ids=json.dumps)
def test_thoughts_and_white_space_are_not(delta: dict[str, Any]) -> None:
    assert not is_heard(delta)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("Hello <think>", "Hello <think>"),
        ("<think>r</think>\nHello", "Hello"),
        (" <THINK>r</Think><think>s</think>Hello", "Hello"),
        ("<thinking>İ r</thinking>Hello", "Hello"),
        ("[THINK]r[/THINK] Hello", "Hello"),
        ("<think>r", "<think>r"),
        ("<think>r</think> ", ""),
        ("<|channel|>analysis<|message|>r<|end|><|start|>assistant<|channel|>final<|message|>Hello", "Hello"),
        ("analysis", "analysis"),
        ("Here is", "Here is"),
        ("<3", "<3"),
    ],
)
def test_thoughts_at_the_begin_of_a_content_are_left_out(content: str, left: str) -> None:
    assert without_thoughts(content) == left


def heard_at(contents: list[str]) -> int | None:
    """Return the place of the first content with which something is heard."""
    detector = HeardDetector()
    views = [look(json.dumps({"choices": [{"delta": {"content": content}}]}).encode()) for content in contents]
    return next((place for place, view in enumerate(views) if detector.feed(view)), None)


@pytest.mark.parametrize(
    ("contents", "place"),
    [
        (["Hello"], 0),
        (["\n\n", "Hello"], 1),
        (["<", "thi", "nk>", "Hmm", "</thi", "nk>", "\n", "Hello"], 7),
        (["<think>Hmm</think>Hello"], 0),
        (["<", "b>Hello"], 1),
        (["[", "laughs]"], 1),
        (["A"], 0),
        (["Here is"], 0),
        (["<3"], 0),
        (["<|channel|>", "analysis", "<|message|>", "Hmm", "<|end|>", "<|start|>", "assistant", "Hello"], 7),
        (["<think>", "x" * 9999, "</think>"], None),
    ],
)
def test_the_first_word_behind_marked_thoughts_is_found(contents: list[str], place: int | None) -> None:
    assert heard_at(contents) == place


@given(
    mark=st.sampled_from(sorted(MARKS)),
    thought=st.text("ab <", max_size=9),
    cuts=st.sets(st.integers(1, 60)),
)
def test_cuts_do_not_change_what_is_heard(mark: str, thought: str, cuts: set[int]) -> None:
    silent = f"{mark}{thought}{MARKS[mark]}"
    borders = [0, *sorted(cut for cut in cuts if cut < len(silent)), len(silent)]
    pieces = [silent[start:stop] for start, stop in itertools.pairwise(borders)]
    assert heard_at(pieces) is None and heard_at([*pieces, "Hello"]) == len(pieces)


def test_another_field_is_heard_beside_thoughts_in_the_content() -> None:
    detector = HeardDetector()
    delta = {"content": "<think>", "tool_calls": [{"index": 0}]}
    assert detector.feed(look(json.dumps({"choices": [{"delta": delta}]}).encode()))


def test_each_choice_has_thoughts_of_its_own() -> None:
    detector = HeardDetector()
    choices = [{"index": 0, "delta": {"content": "<think>"}}, {"index": 1, "delta": {"content": "Hello"}}]
    assert not detector.feed(look(json.dumps({"choices": choices[:1]}).encode()))
    assert detector.feed(look(json.dumps({"choices": choices}).encode()))


@pytest.mark.parametrize(
    ("message", "reason", "wordless"),
    [
        ({"content": "Hello"}, "stop", False),
        ({"content": ""}, "stop", True),
        ({"content": "<think>Hmm"}, "length", True),
        ({"content": "<think>Hmm</think> Hello"}, "stop", False),
        ({"content": None, "tool_calls": [{"id": "c"}]}, "tool_calls", False),
        ({"content": None, "reasoning_content": "Hmm"}, "length", True),
        ({"content": ""}, "content_filter", False),
        (None, "stop", True),
        ("text", "stop", False),
        ({"content": ["\ud83d"]}, "stop", False),
    ],
)
def test_a_whole_answer_is_judged_alike(message: Any, reason: str, wordless: bool) -> None:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    assert is_wordless(json.dumps({"choices": [choice]}).encode()) == wordless


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"choices":["x"]}', b'{"choices":[{"message":{"content":"\\ud83d"}}]}']
)
def test_an_answer_of_another_form_is_not_judged(body: bytes) -> None:
    assert not is_wordless(body)
