"""Chinese: a language whose script has no spaces."""

from parley.languages.chinese import CHINESE


def test_it_needs_neither_a_stemmer_nor_numbers_in_words() -> None:
    assert (CHINESE.stemmer, CHINESE.spellings) == ("", None)
