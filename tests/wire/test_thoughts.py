"""The table of the marks around thoughts: its rows are used as they stand, by those who speak and those who listen."""

import re

import pytest

from parley.wire.thoughts import FLAGS, TAG_BEGUN, THOUGHT_BLOCKS, THOUGHT_TAGS, THOUGHTS, Block, Marks, literal, tags


@pytest.mark.parametrize(
    "tag", ["<think>", "<THINK>", "&lt;think&gt;", "<seed:think>", "<think:fast x=1>", "<ifm|think>"]
)
def test_a_tag_has_prefixes_suffixes_and_attributes(tag: str) -> None:
    assert re.fullmatch(tags(THOUGHT_TAGS), tag, FLAGS)


@pytest.mark.parametrize("text", ["<thin>", "<b>", "<thinking about it>", "</think>"])
def test_other_tags_are_none(text: str) -> None:
    assert not re.fullmatch(tags(THOUGHT_TAGS), text, FLAGS)


@pytest.mark.parametrize("begun", ["<", "</", "<thi", "<think lang=", "&l", "<|", "<|end", "a <b"])
def test_the_beginning_of_a_tag_is_found_at_the_end(begun: str) -> None:
    assert TAG_BEGUN.search(begun)


@pytest.mark.parametrize("text", ["<think>", "<3", "a < b", "<|end|>", ""])
def test_what_can_not_become_a_tag_is_no_beginning(text: str) -> None:
    assert not TAG_BEGUN.search(text)


def test_the_longest_of_several_strings_counts() -> None:
    found = re.match(literal(("<a>", "<a>b")), "<A>bc", FLAGS)
    assert found and found[0] == "<A>b"


def test_a_bare_word_is_a_mark_only_before_a_capital() -> None:
    assert re.match(literal(("analysis",)), "analysisThe", FLAGS) and not re.match(
        literal(("analysis",)), "analysis of"
    )


def test_a_row_of_the_table_is_one_kind_of_mark() -> None:
    assert len(THOUGHTS) == 3 + len(THOUGHT_BLOCKS)
    marks = Marks.of(Block(("[a]",), ("[/a]",), ("[b]",), closing_retracts=False))
    assert marks.strings == ("[a]", "[/a]", "[b]") and not re.search(marks.lone, "[/a]")
