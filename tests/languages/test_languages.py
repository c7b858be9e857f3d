"""All languages: complete, folded, and told from each other."""

import pytest
import Stemmer

from parley.knowledge import terms
from parley.languages import ENGLISH, LANGUAGES, MIXED, OTHER, Language, detect
from parley.languages.language import folded

ALL = pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))


@ALL
def test_a_language_is_complete(language: Language) -> None:
    assert language.stemmer in ("", *Stemmer.algorithms())
    assert all(language.waiting_messages) and language.not_found
    assert min(len(language.small_talk), len(language.assents), len(language.refusals)) > 5
    assert min(len(language.references), len(language.continuations)) > 2
    assert all(word == folded(word) for word in language.function_words | language.references | language.continuations)


@ALL
def test_a_text_of_the_language_is_told_by_its_words(language: Language) -> None:
    said = " ".join((*language.waiting_messages, language.not_found, *language.assents[:20]))

    assert detect(terms.words(said)) is language


@pytest.mark.parametrize(
    "text",
    [
        "Магазин открыт ежедневно, новая цепь стоит 35 долларов.",
        "가게는 아홉 시부터 여섯 시까지 엽니다.",
        "المحل مفتوح",
    ],
    ids=["Russian", "Korean", "Arabic"],
)
def test_a_text_in_another_script_is_in_another_language(text: str) -> None:
    assert detect(terms.words(text)) is OTHER


def test_english_beside_another_language_is_mixed() -> None:
    english = "The shop is open from nine to six and we are closed on Sundays. "
    german = "Der Laden ist von neun bis sechs geöffnet und wir haben am Sonntag geschlossen. "

    assert detect(terms.words(english * 3 + german)) is MIXED
    assert detect(terms.words(english + german * 3)) is LANGUAGES["de"]
    assert detect(terms.words(english * 3 + "Frau Schröder-Öztürk and El Jardín de la Plaza.")) is ENGLISH


def test_a_text_that_tells_nothing_counts_as_english() -> None:
    assert detect([]) is ENGLISH
    assert detect(["xk7", "49"]) is ENGLISH
