"""The tables of abbreviations."""

from parley.speech.english import abbreviations


def test_a_table_is_read_from_pairs() -> None:
    assert abbreviations.table("a = one; b. = two words\n c=three") == {"a": "one", "b.": "two words", "c": "three"}


def test_no_abbreviation_both_ends_a_sentence_and_never_does() -> None:
    assert not {word.lower() for word in abbreviations.AMBIGUOUS if word.islower()} & abbreviations.NEVER_LAST
