"""Thoughts, tool calls and code are not said, in whatever markup, nested or cut; what only looks like it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.speech.markup_filter import MACHINE_BLOCKS, MarkupFilter
from parley.wire.thoughts import THOUGHT_BLOCKS, THOUGHT_TAGS

pytestmark = pytest.mark.row("RB-01")
TAGS = [name.replace("?", "") for name in THOUGHT_TAGS]
PAIRS = [
    *((f"<{name}>", f"</{name}>") for name in (*TAGS, "seed:think", "mm:think", "longcat_think", "think:opensource")),
    *((f"<{name}>", f"</{name}>") for name in ("inner_thoughts", "ifm|think", "antml:thinking", "tool_call")),
    *((f"&lt;{name}&gt;", f"&lt;/{name}&gt;") for name in ("think", "reasoning")),
    *(
        (opening, block.closings[0])
        for block in (*THOUGHT_BLOCKS, *MACHINE_BLOCKS)
        for opening in block.openings
        if block.closings
    ),
    ('<details type="reasoning" done="true">', "</details>"),
    ('<think lang="en" x=5>', "</think >"),
    ("<think>", "</thinking>"),
    ("<think_never_used_51bce0c785ca2f68>", "</think_never_used_51bce0c785ca2f68>"),
    ("[REASONING]", "[/REASONING]"),
    ("<details>\n<summary>Thought for 3 seconds</summary>", "</details>"),
    *(("<|START_THINKING|>", "<|END_THINKING|>"), ("<|begin_of_thought|>", "<|end_of_thought|>")),
    *(("<|think|>", "<|/think|>"), ("<|reasoning_start|>", "<|reasoning_end|>"), ("<unused94>thought\n", "<unused95>")),
]
DIRECT = "A\nB"
"""A thought that may follow a bare word directly."""


def said(text: str, size: int = 10_000) -> str:
    """Return what is said of a text that comes in pieces, a retraction done."""
    markup, passed = MarkupFilter(), ""
    for piece in [*(text[at : at + size] for at in range(0, len(text), size)), None]:
        new = markup.flush() if piece is None else markup.feed(piece)
        passed = new if markup.retracted else passed + new
    return " ".join(passed.split())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
@pytest.mark.parametrize("change", [str, str.upper, str.title], ids=["as written", "capitals", "title"])
def test_no_family_s_thoughts_are_said(pair: tuple[str, str], change: type[str]) -> None:
    opening, closing = pair if pair[0].isalpha() else (change(pair[0]), change(pair[1]))
    text = f"{opening}{DIRECT}{closing}Hello. {opening}{DIRECT}{closing}We open."

    assert [said(text, size) for size in (1, 2, 3, 5, 8, 10_000)] == ["Hello. We open."] * 6


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_a_block_that_never_ends_is_not_said(pair: tuple[str, str]) -> None:
    assert said(f"Hello. {pair[0]}{DIRECT} ... {pair[1][:-1]}", 3) == "Hello."


@pytest.mark.parametrize(
    "closing", ["</think>", "</REASONING>", "[/THINK]", "◁/think▷", "<|END_THINKING|>", "<channel|>"]
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_a_lone_closing_tells_that_all_before_was_thought(closing: str, size: int) -> None:
    assert said(f"They ask for hours. So.{closing}\n\nWe open.", size) == "We open."


@pytest.mark.parametrize(
    ("written", "passed"),
    [
        ("<think>a<think>b</think>c</think>Hi.", "Hi."),
        ("<think>\n<think>b</think>Hi.", "Hi."),
        ("<think>the <think> tag</think>Hi.", "Hi."),
        ("<think>a<reasoning>b</reasoning>c</think>Hi.", "Hi."),
        ("<think>`</think>` is a tag</think>Hi.", "Hi."),
        ("<think>```</think>Hi.", "Hi."),
        ("```\n<think>x\n```Hi.", "Hi."),
    ],
    ids=["nested", "opened twice", "spoken of", "another inside", "quoted", "code in it", "in code"],
)
@pytest.mark.parametrize("size", [1, 4, 10_000])
def test_thoughts_in_thoughts_and_in_code(written: str, passed: str, size: int) -> None:
    assert said(written, size) == passed


HARMONY = "<|channel|>analysis<|message|>We need hours.<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("written", "passed"),
    [
        (f"{HARMONY}<|channel|>final<|message|>Hi.<|return|>", "Hi."),
        (f'{HARMONY}<|channel|>commentary to=functions.f <|constrain|>json<|message|>{{"a":1}}<|call|>', ""),
        (f'{HARMONY} to=functions.f<|channel|>commentary json<|message|>{{"a":1}}<|call|>', ""),
        (f"{HARMONY}<|channel|>commentary<|message|>I look.<|end|>", "I look."),
        ("a<|END_THINKING|><|START_TEXT|>Hi.<|END_TEXT|>", "Hi."),
        ("<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>Hi.<|close|>response<|sep|>", "Hi."),
        ("<|im_start|>assistant\nHi.<|im_end|>", "Hi."),
        ("<|think|>a<|end|><|begin|>assistant<|content|>Hi.<|end|>", "Hi."),
        ("<judge>\nsimple\n</judge>\n\n<think_on>\n<think>a</think>Hi.", "Hi."),
        ("<think_off>\n\nHi.[e~[", "Hi."),
        ('<function=hours>{"a":1}</function>Hi.', "Hi."),
        ('Hi.<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n</｜DSML｜function_calls>', "Hi."),
        ('<|start|>functions.f to=assistant<|channel|>commentary<|message|>{"a":1}<|end|>Hi.', "Hi."),
        ("One moment. <flush /> So", "One moment. So"),
        ('[TOOL_CALLS][{"name": "f"}]', ""),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_special_tokens_and_texts_for_tools_are_not_said(written: str, passed: str, size: int) -> None:
    assert said(written, size) == passed


@pytest.mark.parametrize(
    "text",
    [
        *("a < b and c <b", "x <thought and y> z", "5 < thought", "an open ` and ``", "AT&T & co &l", "Nice~~~ ok"),
        *("[thinking] Let me see.", "The `<think>` tag opens.", 'It writes "</think>" there.', "The analysis is done."),
        *("I thought: why not?", "Here is my thought", "<b>Now</b>", "think>", "a <| b"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_what_only_looks_like_markup_is_said(text: str, size: int) -> None:
    assert said(text, size) == text


PARTS = [
    "<",
    "think",
    ">",
    "</",
    "`",
    "``",
    "a",
    " ",
    "~",
    ".",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "<|",
    "|>",
]
PARTS += ["channel", "analysis", "final", "\n", "<|end|>", "&lt;", "'", "Here is my thought process:", "x=1", '"']


@given(st.lists(st.sampled_from(PARTS), max_size=20), st.integers(1, 9))
def test_cuts_make_no_difference(parts: list[str], size: int) -> None:
    text = "".join(parts)

    assert said(text, size) == said(text)


@given(st.text(alphabet="ab .,\n", max_size=50), st.text(alphabet="xy<`[ ", max_size=30), st.integers(1, 5))
def test_no_thought_leaks_and_no_word_is_lost(speech: str, thought: str, size: int) -> None:
    assert said(f"{speech}<think>{thought}</think>{speech}", size) == " ".join(f"{speech} {speech}".split())
