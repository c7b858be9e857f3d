"""French: how numbers are said, and all that a base in French has from its one file."""

import pytest

from parley.answers.lookup import lookup_of
from parley.knowledge.base_settings import NO_SETTINGS, BaseSettings
from parley.knowledge.documents import Passage
from parley.knowledge.index import Query, build
from parley.knowledge.intent import Intent
from parley.knowledge.prompt import reference
from parley.languages.french import FRENCH
from parley.wire.request import ChatRequest, Origin

PASSAGES = [
    Passage("filtre", "Filtre", "Le filtre QF-28 va avec les sèche-linge et coûte 71 euros.", "a.json", {}),
    Passage("horaires", "Horaires", "Nous sommes ouverts du lundi au vendredi de 9 heures à 18 heures.", "a.json", {}),
    Passage("retour", "Retours", "Les pièces peuvent être renvoyées pendant 30 jours.", "a.json", {}),
]


@pytest.mark.parametrize(
    ("number", "spelling"),
    [(71, "soixante et onze"), (80, "quatre-vingts"), (99, "quatre-vingt-dix-neuf"), (72, "septante-deux")],
)
def test_a_number_is_spelled_as_speakers_do(number: int, spelling: str) -> None:
    assert FRENCH.spellings is not None
    assert (spelling, str(number)) in set(FRENCH.spellings(number))


def test_every_number_has_a_spelling_of_its_own() -> None:
    assert FRENCH.spellings is not None
    assert len({next(iter(FRENCH.spellings(number)))[0] for number in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("vous avez quoi pour soixante et onze", "filtre"),
        ("c'est quoi q f vingt huit", "filtre"),
        ("est-ce que vous ouvrez le lundi", "horaires"),
        ("je voudrais renvoyer une piece", "retour"),
    ],
)
def test_a_base_in_french_is_told_and_searched_by_its_words(question: str, passage: str) -> None:
    index = build(PASSAGES)

    assert index.language is FRENCH
    assert index.search(Query(question), 1)[0].passage.id == passage


@pytest.mark.parametrize(
    ("turn", "intent"),
    [
        ("merci, au revoir", Intent.SMALL_TALK),
        ("vous pouvez répéter s'il vous plaît", Intent.SMALL_TALK),
        ("oui, volontiers", Intent.ASSENT),
        ("et le samedi", Intent.ASKS),
    ],
)
def test_the_gate_knows_french(turn: str, intent: Intent) -> None:
    offer = {"role": "assistant", "content": "Voulez-vous connaître les horaires ?"}
    messages = [offer, {"role": "user", "content": turn}]

    found = lookup_of(ChatRequest({"messages": messages}, stream=True, origin=Origin("test", v1=True)), NO_SETTINGS)

    assert found.intent is intent
    assert intent is not Intent.ASSENT or (found.query and found.query.text == offer["content"])


def test_a_base_in_french_says_in_french_that_nothing_was_found() -> None:
    assert FRENCH.not_found in reference([], BaseSettings(language=FRENCH)).before
