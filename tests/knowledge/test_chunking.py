"""Passages, windows and blocks: where a text is cut, and that nothing of it is lost."""

import pytest

from parley.knowledge.chunking import (
    BLOCK_CHARACTERS,
    PASSAGE_WORDS,
    blocks,
    join_passages,
    split_passages,
    windows,
)

LONG = " ".join(f"Sentence {number} has six words." for number in range(90))


def test_a_short_text_stays_as_it_is() -> None:
    assert split_passages("One.  Two!\nThree? (four)") == ["One.  Two!\nThree? (four)"]


def test_a_passage_begins_with_the_last_sentence_before_it() -> None:
    passages = split_passages(" ".join(f"Sentence {number} has six words." for number in range(40)))

    assert passages[0].endswith("Sentence 29 has six words.")
    assert passages[1].startswith("Sentence 29 has six words. Sentence 30")


def test_abbreviations_and_numbers_are_not_cut() -> None:
    text = "We saw Dr. Smith for 3.50 dollars, e.g. twice, at St. Mary. " * 30

    assert all(passage.startswith("We saw") and passage.endswith("Mary.") for passage in split_passages(text.strip()))


def test_full_width_sentence_ends_need_no_space() -> None:
    passages = split_passages("我们今天开门吗？是的请进！" * 30)

    assert len(passages) > 1
    assert all(passage.endswith(("？", "！")) for passage in passages)


@pytest.mark.parametrize(
    "text",
    ["word " * 5000, "x" * 50_000, "店" * 5000, "." * 50_000, "- item\n" * 5000, "a" + " " * 50_000 + "b"],
    ids=["words", "one word", "CJK", "dots", "items", "spaces"],
)
def test_every_passage_is_bounded(text: str) -> None:
    passages = split_passages(text.strip())

    assert all(0 < len(passage) <= PASSAGE_WORDS * 24 for passage in passages)
    assert all(len(passage.split()) <= PASSAGE_WORDS for passage in passages)
    assert sum(len(passage) for passage in passages) >= len("".join(text.split()))


def test_a_sentence_without_end_is_cut_between_words() -> None:
    passages = split_passages(" ".join(["bicycle"] * 500))

    assert {word for passage in passages for word in passage.split()} == {"bicycle"}


def test_a_long_stretch_of_blanks_becomes_one_space() -> None:
    assert split_passages("one" + " " * 9 + "two" + " " * 8 + "three") == ["one two" + " " * 8 + "three"]


def test_passages_joined_are_the_text_again() -> None:
    passages = split_passages(LONG)

    assert len(passages) == 4 and join_passages(passages) == LONG


def test_passages_without_a_common_sentence_are_joined_too() -> None:
    assert join_passages(["One. Two.", "Three. Four."]) == "One. Two. Three. Four."


def test_windows_are_whole_sentences_up_to_a_size() -> None:
    assert windows("One two. Three four. Five six seven eight nine. Ten.", 4) == [
        "One two. Three four.",
        "Five six seven eight nine.",
        "Ten.",
    ]


@pytest.mark.parametrize("text", [LONG * 20, "word " * 20_000, "x" * 50_000], ids=["sentences", "words", "one word"])
def test_blocks_are_bounded_and_together_the_text(text: str) -> None:
    cut = list(blocks(text))

    assert "".join(cut) == text and all(0 < len(block) <= BLOCK_CHARACTERS for block in cut)


def test_a_block_ends_where_a_sentence_ends() -> None:
    first, *_ = blocks((LONG + " ") * 20)

    assert first.rstrip().endswith("words.")
