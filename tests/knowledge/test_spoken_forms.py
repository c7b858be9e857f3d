"""Folding: what was heard becomes what the passages write, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.knowledge import terms
from parley.knowledge.spoken_forms import SpokenForms, codes
from parley.languages import ENGLISH, LANGUAGES

TEXTS = (
    "Smart Plus costs $19.99 a month with 25 GB.",
    "The MX-204B is a drain pump for the W7 series. Error F06: the door.",
    "Control board CB-88/2. Call 0800 330 7000, or 116 116 at night; extension 214.",
    "The gym, the sauna and the Larkspur Suite. An eSIM for every plan. Wi-Fi is free.",
    "Ask the guide, or the cello. Two are needed. AN 412 leaves from gate 7 at 6:55. The invoice comes on the 5th.",
)


def forms_of(*texts: str, language: str = "en") -> SpokenForms:
    forms = SpokenForms(LANGUAGES[language])
    for text in texts:
        forms.add(text, terms.words(text))
    return forms


@pytest.mark.parametrize(
    ("heard", "written"),
    [
        ("what do i get for nineteen ninety nine a month", "what do i get for 19.99 a month"),
        ("m x two oh four b", "MX-204B"),
        ("emm ex two oh four bee please", "MX-204B please"),
        ("the w seven", "the W7"),
        ("x-ray is no code, mike x-ray two oh four bravo", "x-ray is no code, MX-204B"),
        ("letter m capital x two o four b", "letter MX-204B"),
        ("open at eight twenty five", "open at eight twenty five"),
        ("that was good", "that was good"),
        ("f oh six", "F06"),
        ("f 6", "F06"),
        ("F-06", "F06"),
        ("mx204b", "MX-204B"),
        ("CB88/2", "CB-88/2"),
        ("mike x ray two zero four bravo", "MX-204B"),
        ("the double u seven", "the W7"),
        ("is 08003307000 yours", "is 0800 330 7000 yours"),
        ("for $214", "for $214"),
        ("flight a n four twelve", "flight AN 412"),
        ("an-412", "AN 412"),
        ("AN412", "AN 412"),
        ("is there wifi", "is there Wi-Fi"),
        ("c b eighty eight slash two", "CB-88/2"),
        ("double one six one one six", "116 116"),
        ("zero eight hundred three three zero seven thousand", "0800 330 7000"),
        ("extension two one four", "extension 214"),
        ("with twenty five gigabytes", "with 25 gigabytes"),
        ("on the fifth", "on the 5th"),
        ("is there a jim", "is there a gym"),
        ("the sauner and the sweet", "the sauna and the suite"),
        ("can i get an e sim", "can i get an esim"),
    ],
)
def test_what_was_heard_becomes_what_is_written(heard: str, written: str) -> None:
    assert forms_of(*TEXTS).fold(heard) == written


@pytest.mark.parametrize(
    "question",
    [
        "how much is the big one",
        "who won in nineteen ninety eight",
        "do you need two",
        "a way to park",
        "do you sell it",
        "what is 19.99 for",
        "costs",
        "",
    ],
)
def test_what_the_passages_do_not_hold_stays(question: str) -> None:
    assert forms_of(*TEXTS).fold(question) == question


@pytest.mark.parametrize(
    ("language", "text", "heard", "written"),
    [
        ("de", "Der Tarif kostet 24,90 Euro.", "was gibt es für vierundzwanzig neunzig", "was gibt es für 24,90"),
        ("de", "Die Pumpe MX-204B.", "em ix zwei null vier be", "MX-204B"),
        ("de", "Rufen Sie 116117 an.", "eins eins sechs eins eins sieben", "116117"),
        ("es", "La bomba WX-20.", "uve doble equis veinte", "WX-20"),
        ("es", "La tarifa cuesta 35,50 euros.", "la de treinta y cinco cincuenta", "la de 35,50"),
        ("fr", "Le code est QF-71.", "c'est quoi q f soixante et onze", "c'est quoi QF-71"),
        ("it", "Il filtro QF-28.", "il filtro q f ventotto", "il filtro QF-28"),
        ("pt", "Custa 45 reais.", "por quarenta e cinco", "por 45"),
    ],
)
def test_every_language_has_its_numbers(language: str, text: str, heard: str, written: str) -> None:
    assert forms_of(text, language=language).fold(heard) == written


def test_among_many_words_none_is_taken_for_misheard() -> None:
    forms = forms_of("the gym", " ".join(f"word{number}" for number in range(6000)))

    assert forms.fold("is there a jim") == "is there a jim"


def test_codes_are_found_with_their_form_in_the_text() -> None:
    assert list(codes("MX-204B, 12.99 and 0800 330 7000; W7 12")) == [
        ("mx204b", "MX-204B"),
        ("1299", "12.99"),
        ("08003307000", "0800 330 7000"),
        ("w712", "W7 12"),
        ("w7", "W7"),
    ]


@given(st.text("abc012 .-/oneightywf", max_size=60))
def test_a_question_made_of_anything_is_folded_without_an_error(question: str) -> None:
    forms = forms_of(*TEXTS)

    assert len(forms.fold(question).split()) <= 3 * max(1, len(question.split()))


def test_a_base_in_another_language_has_no_english_sounds() -> None:
    assert forms_of("Die Sauna", language="de").fold("gibt es eine sauner") == "gibt es eine sauner"
    assert ENGLISH.sound is not None
