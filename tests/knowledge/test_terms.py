"""Words, stems, grams and pairs: the terms by which texts are compared."""

import numpy as np
import pytest

from parley.knowledge import terms
from parley.languages import ENGLISH, LANGUAGES, OTHER

ANALYZER = terms.Analyzer(ENGLISH)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What does it COST, please?", ["what", "does", "it", "cost", "please"]),
        ("Café Cafe\u0301 \uff43\uff41\uff46\uff45", ["cafe", "cafe", "cafe"]),
        ("Straße", ["strasse"]),
        ("我们今天", ["我们", "们今", "今天"]),
        ("店 A", ["店", "a"]),
        ("सोमवार", ["सोमवार"]),
        ("x" * 100, ["x" * 64, "x" * 36]),
        ("?! \U0001f6b2", []),
        ("", []),
    ],
    ids=["ASCII", "accents and width", "case", "CJK", "one character", "vowel signs", "long", "marks", "empty"],
)
def test_words_are_found_without_their_differences(text: str, words: list[str]) -> None:
    assert terms.words(text) == words


def test_content_words_are_those_that_are_no_stop_words() -> None:
    assert ANALYZER.content(["what", "does", "a", "chain", "cost"]) == ["chain", "cost"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "do you sell washing machines"),
        ("en", "uh can you tell me the football results"),
        ("de", "verkaufen sie auch fahrräder"),
        ("de", "do you sell bicycles"),
        ("es", "arreglan bicicletas"),
        ("es", "dónde está el museo"),
        ("fr", "vendez-vous des vélos"),
        ("fr", "où est la gare"),
        ("zh", "你们修自行车吗"),
        ("ja", "自転車の修理はできますか"),
    ],
)
def test_a_turn_with_a_subject_of_its_own_asks_by_itself(code: str, text: str) -> None:
    assert terms.Analyzer(LANGUAGES[code]).asks_by_itself(text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "and on sundays"),
        ("en", "uh okay and for four people"),
        ("en", "what about cats"),
        ("en", "is it free"),
        ("en", "how much is the next bigger one"),
        ("en", "until when"),
        ("de", "und donnerstags"),
        ("de", "wie lange dauert das"),
        ("de", "and on thursday"),
        ("es", "y los sábados"),
        ("es", "cuánto cuesta eso"),
        ("fr", "et le dimanche"),
        ("pt", "quanto custa isso"),
        ("it", "quanto costa quello"),
        ("zh", "那下午呢"),
        ("zh", "六十岁以上呢"),
        ("ja", "それはいくらですか"),
        ("ja", "では木曜日は何時からですか"),
    ],
)
def test_a_turn_that_goes_on_or_refers_does_not_ask_by_itself(code: str, text: str) -> None:
    assert not terms.Analyzer(LANGUAGES[code]).asks_by_itself(text)


def test_of_a_language_without_references_no_turn_asks_by_itself() -> None:
    assert not terms.Analyzer(OTHER).asks_by_itself("магазин открыт в воскресенье")


def test_a_stem_is_the_word_without_its_ending() -> None:
    assert [*ANALYZER.stems("repaired"), *ANALYZER.stems("repairs")] == ["repair", "repair"]
    assert list(ANALYZER.stems("the")) == []


@pytest.mark.parametrize(
    ("word", "grams"),
    [("chain", [" cha", "chai", "hain", "ain "]), ("is", [" is "]), ("a", [" a "]), ("我们", ["我", "们"])],
)
def test_grams_overlap_and_mark_the_ends(word: str, grams: list[str]) -> None:
    assert list(terms.grams(word)) == grams


def pairs(*words: str) -> list[int]:
    return list(terms.pairs(np.array([ANALYZER.head(word) for word in words], np.uint32)).tolist())


def test_a_pair_is_numbered_by_the_words_beginnings_and_order() -> None:
    assert pairs("spare", "wheel") == pairs("spares", "wheels") != pairs("wheel", "spare")
    assert all(0 <= number < terms.PAIRS for number in pairs("spare", "wheel", "lock"))


def test_only_two_stop_words_are_no_pair() -> None:
    first, second, third = pairs("of", "the", "chain", "is")

    assert first == -1 and second >= 0 and third >= 0


@pytest.mark.parametrize("words", [(), ("chain",)])
def test_fewer_than_two_words_have_no_pair(words: tuple[str, ...]) -> None:
    assert pairs(*words) == []
