"""Which of the passages found are shown, and with how much around them."""

import json
from pathlib import Path

from parley.knowledge.documents import Passage, load
from parley.knowledge.excerpts import EXCERPT_CHARACTERS, are_near_duplicates, select_excerpts
from parley.knowledge.index import Hit


def passage(id_: str, text: str, title: str = "") -> Passage:
    return Passage(id_, title, text, "a.json", {})


def hits(*passages: Passage) -> list[Hit]:
    return [Hit(found, 1.0 / place) for place, found in enumerate(passages, start=1)]


def long_document(folder: Path, sentences: int = 60) -> list[Passage]:
    """A document of several passages, each sentence with its number."""
    text = " ".join(f"Sentence number {number} of it has a good ten words in." for number in range(sentences))
    (folder / "a.json").write_text(json.dumps([{"id": "doc", "title": "Long", "text": text}]))
    return load(folder).passages


def test_each_passage_is_an_excerpt_best_first() -> None:
    one, other = passage("b", "Chains cost 35."), passage("a", "We close at 6.")

    shown = select_excerpts(hits(one, other), most=4)

    assert [(excerpt.hits[0].passage.id, excerpt.text) for excerpt in shown] == [
        ("b", "Chains cost 35."),
        ("a", "We close at 6."),
    ]


def test_at_most_the_wanted_number_is_shown() -> None:
    found = [passage(str(number), f"Bicycle {number} is for hire.") for number in range(9)]

    assert [excerpt.hits[0].passage.id for excerpt in select_excerpts(hits(*found), most=3)] == ["0", "1", "2"]


def test_what_says_the_same_is_shown_once_and_gives_its_place_to_the_next() -> None:
    text = "Every repair has a guarantee of six months from the day on which you collect it."
    found = [passage("a", text), passage("b", f" {text.upper()}"), passage("c", "We close at 6.")]

    assert [excerpt.hits[0].passage.id for excerpt in select_excerpts(hits(*found), most=2)] == ["a", "c"]


def test_a_number_or_a_word_of_a_few_is_a_difference() -> None:
    words = "renting a bicycle of this kind with helmet and lock and a map of the town costs in summer and winter"

    assert not are_near_duplicates(passage("a", f"{words} 25 dollars"), passage("b", f"{words} 55 dollars"))
    assert not are_near_duplicates(passage("a", "We repair carbon."), passage("b", "We do not repair carbon."))
    assert not are_near_duplicates(passage("a", "Yes.", "Is it open?"), passage("b", "Yes.", "Is it free?"))
    assert are_near_duplicates(passage("a", f"{words} much."), passage("b", f"{words.title()} much"))


def test_neighbours_among_the_hits_become_one_excerpt_in_reading_order(tmp_path: Path) -> None:
    document = long_document(tmp_path)

    (shown,) = select_excerpts(hits(document[2], document[1]), most=2)

    assert [hit.passage.id for hit in shown.hits] == ["doc#3", "doc#2"]
    assert shown.text.count("Sentence") == len(set(shown.text.split("Sentence"))) - 1
    assert shown.text.startswith(document[1].text) and document[2].text[-40:] in shown.text


def test_what_stands_around_a_hit_is_shown_where_there_is_room(tmp_path: Path) -> None:
    document = long_document(tmp_path)

    (roomy,) = select_excerpts(hits(document[2]), most=4)
    (tight,) = select_excerpts(hits(document[2]), most=1)

    assert roomy.text.startswith(document[1].text) and roomy.text.endswith(document[3].text[-40:])
    assert tight.text == document[2].text
    assert [hit.passage.id for hit in roomy.hits] == ["doc#3"]


def test_no_more_is_shown_than_the_budget(tmp_path: Path) -> None:
    document = long_document(tmp_path, sentences=400)
    endless = passage("x", "word" * 20_000)

    for found in (document, [endless, *document], document[::3]):
        for most in (1, 2, 4):
            shown = select_excerpts(hits(*found), most)
            assert len(shown) <= most
            assert sum(len(excerpt.text) for excerpt in shown) <= most * (EXCERPT_CHARACTERS + 2)


def test_a_passage_too_long_is_cut_between_words() -> None:
    (shown,) = select_excerpts(hits(passage("x", "https://x.example/" + "y" * 800 + " " + "z" * 800)), most=1)

    assert shown.text == "https://x.example/" + "y" * 800 + " …"


def test_nothing_found_is_nothing_shown() -> None:
    assert select_excerpts([], most=4) == []
