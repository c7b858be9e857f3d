"""The state of the filter of Markdown: when a text may pass it by, and what it holds."""

import pytest

from parley.speech.markdown import SPECIAL, MarkdownFilter


@pytest.mark.parametrize("text", [" opens", "the", "Größe", " 5.99", "नौ", "with"])
def test_most_texts_hold_nothing_special(text: str) -> None:
    assert not SPECIAL.search(text)


@pytest.mark.parametrize("text", ["a*", "h", " http", "x https://y", "a\n", "1️⃣", "😀", "!", "©", "\u200d"])
def test_what_may_begin_markup_is_special(text: str) -> None:
    assert SPECIAL.search(text)


@pytest.mark.parametrize(
    ("text", "idle"),
    [("", False), ("Yes", True), ("Yes\n", False), ("- Yes", False), ("Yes `a", False), ("Yes [", False)],
)
def test_a_filter_in_a_plain_line_is_idle(text: str, idle: bool) -> None:
    markdown = MarkdownFilter()
    markdown.feed(text)

    assert markdown.is_idle is idle


def test_what_passes_by_is_remembered() -> None:
    markdown = MarkdownFilter()
    markdown.feed("a")
    markdown.skip("snake")

    assert markdown.feed("_case ") == "_case "
