"""The blocks of text in which languages are written."""

from parley.languages.language import folded, pairs, phrases, words


def test_phrases_are_separated_by_commas_and_may_go_over_lines() -> None:
    assert phrases("good\n  morning, hello,\n bye") == ("good morning", "hello", "bye")


def test_brackets_hold_alternatives() -> None:
    assert set(phrases("[can/could] you [please/] repeat")) == {
        "can you please repeat",
        "can you repeat",
        "could you please repeat",
        "could you repeat",
    }


def test_words_and_letters_are_folded() -> None:
    assert words("Für könnte") == {"fur", "konnte"}
    assert pairs("cäsar=c bee=b") == {"casar": "c", "bee": "b"}


def test_folding_removes_case_accents_and_width() -> None:
    assert folded("Ａé Straße") == "ae strasse"
