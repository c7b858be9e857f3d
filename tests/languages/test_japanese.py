"""Japanese: endings and particles are written in hiragana."""

from parley.languages.japanese import JAPANESE


def test_two_letters_of_hiragana_tell_nothing() -> None:
    assert {"です", "まし", "いま"} <= JAPANESE.function_words
    assert not {"予約", "車い", "ワク"} & JAPANESE.function_words
