"""The index: questions that find their passage, questions that find none, and odd input."""

import re
import time
from pathlib import Path

import pytest

from parley.knowledge.documents import Passage, load
from parley.knowledge.index import Index, Query, build

ROOT = Path(__file__).parents[2]

ANSWERED_BY = {
    "When are you open on Saturday?": "house-Opening hours",
    "Where is the shop?": "house-Where the shop is",
    "How much does it cost to fix a flat tire?": "flat-tire",
    "How long does a full overhaul take?": "overhaul",
    "Do I need an appointment?": "appointment",
    "How long is the guarantee on repairs?": "guarantee",
    "Who is the owner of the shop?": "house-Owner",
    "Is there a discount for students?": "discount",
    "Do you repair carbon frames?": "carbon",
    "How can I pay?": "payment",
    "How much is a tune-up?": "tune-up",
    "How long does a bike fitting take?": "bike-fitting",
    "When is the repair course?": "course",
    "What is the name of the dog?": "house-Dog",
    "What is the capital of Mongolia?": None,
}


def index(*texts: str, titles: tuple[str, ...] = ()) -> Index:
    """Build an index of passages named `0`, `1`, ... with these texts."""
    named = [*titles, *[""] * len(texts)]
    return build([Passage(str(at), named[at], text, "a.json", {}) for at, text in enumerate(texts)])


def found(searched: Index, query: str, limit: int = 5) -> list[str]:
    return [hit.passage.id for hit in searched.search(Query(query), limit)]


@pytest.fixture(scope="module")
def house() -> Index:
    """The index of the sample knowledge base."""
    return build(load(ROOT / "kb_data").passages)


def test_the_sample_knowledge_loads_without_a_problem() -> None:
    result = load(ROOT / "kb_data")

    assert result.problems == []
    assert len(result.passages) >= 40


@pytest.mark.parametrize(("question", "passage"), ANSWERED_BY.items())
def test_each_question_to_try_finds_its_passage(house: Index, question: str, passage: str | None) -> None:
    assert found(house, question, limit=1) == ([passage] if passage else [])


def test_the_readme_lists_the_same_questions_to_try() -> None:
    section = (ROOT / "kb_data" / "README.md").read_text(encoding="utf-8").split("## Questions to try")[1]

    assert re.findall(r"^- (.+)$", section, re.MULTILINE) == list(ANSWERED_BY)


def test_the_best_passage_comes_first() -> None:
    searched = index("A chain and brakes.", "A new chain: every chain is a good chain.", "Opening hours.")

    hits = searched.search(Query("new chain"), 5)

    assert [hit.passage.id for hit in hits] == ["1", "0"]
    assert hits[0].score > hits[1].score > 0


def test_no_more_passages_than_asked_for() -> None:
    searched = index("chain one", "chain two", "chain three")

    assert [len(found(searched, "chain", limit)) for limit in (2, 0, -1, 100)] == [2, 0, 0, 3]


def test_stop_words_alone_find_nothing() -> None:
    searched = index("What is this, and how could you know? It is the one that we have.")

    assert found(searched, "Could you please tell me what this is and how much I want it?") == []


def test_english_endings_do_not_matter() -> None:
    assert found(index("We repair bicycles.", "Parking."), "Is my bicycle being repaired?") == ["0"]


@pytest.mark.parametrize("query", ["cafe", "CAFÉ", "Cafe\u0301", "STRASSE", "\uff43\uff41\uff46\uff45"])
def test_accents_case_and_width_do_not_matter(query: str) -> None:
    assert found(index("Das Café in der Hauptallee, Straße 5", "anderes"), query) == ["0"]


def test_chinese_is_found_without_spaces_between_words() -> None:
    searched = index("我们星期六从九点到五点营业。", "停车场在店后面。")

    assert [found(searched, query) for query in ("星期六几点开门", "停车在哪里")] == [["0"], ["1"]]


@pytest.mark.parametrize(
    "query",
    ["", " ", "?!", "\x00", "\ud800", "🚲" * 1000, "x" * 2**20, "xyzzy " * 200_000, "ﷺ" * 2**20, "。" * 2**20],
    ids=["empty", "space", "marks", "NUL", "surrogate", "emoji", "long word", "words", "ligature", "CJK"],
)
def test_odd_queries_find_nothing_and_take_no_time(house: Index, query: str) -> None:
    started = time.process_time()

    assert found(house, query) == []
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize("texts", [(), ("the", "🚲")], ids=["no passage", "no word"])
def test_an_index_without_a_word_finds_nothing(texts: tuple[str, ...]) -> None:
    assert found(index(*texts), "the 🚲 chain") == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("ร้านเปิดทุกวันจันทร์ถึงวันศุกร์", "เปิดวันจันทร์ไหม"),
        ("دراجة جديدة تكلف مئة دولار", "كم تكلف الدراجة"),
        ("साइकिल की मरम्मत दस डॉलर में", "मरम्मत कितने की है"),
        ("자전거 수리는 하루 걸립니다", "자전거 수리"),
        ("Ремонт велосипеда занимает день", "ремонт велосипедов"),
        ("お店は九時から開いています", "何時に開きますか"),
    ],
    ids=["Thai", "Arabic", "Hindi", "Korean", "Russian", "Japanese"],
)
def test_any_script_is_found(text: str, query: str) -> None:
    assert found(index("Parking is free.", text, "Öffnungszeiten"), query, limit=1) == ["1"]


def test_earlier_turns_are_no_evidence_for_another_subject() -> None:
    searched = index("The shop is open from nine to six.", "A chain costs 35 dollars.")

    assert searched.search(Query("do you have a helicopter", "when is the shop open"), 5) == []
    assert searched.search(Query("and on sundays", "when is the shop open"), 5)[0].passage.id == "0"
    assert searched.search(Query("what does a chain cost", "when is the shop open"), 5) != []


def test_the_words_of_an_offer_tell_nothing() -> None:
    searched = index("Die Praxis liegt am Lindenplatz.", "Ein Attest kostet 12 Euro.", titles=("Anfahrt", "Atteste"))

    assert found(searched, "Soll ich Ihnen die Anfahrt beschreiben?") == ["0"]
    assert found(index("A deposit of 50 dollars."), "Shall I explain the deposit?") == ["0"]


def test_a_follow_up_of_stop_words_repeats_the_question_before() -> None:
    searched = index("A tune-up costs 65 dollars.", "Parking is free.")

    assert [hit.passage.id for hit in searched.search(Query("What about that one?", "And parking?"), 5)] == ["1"]


def test_a_question_on_another_subject_finds_nothing(house: Index) -> None:
    assert found(house, "Who won the world cup in nineteen ninety?") == []


def test_building_lets_others_run_in_between() -> None:
    breaths = []
    build(
        [Passage(str(number), "", f"Part {number}.", "a.json", {}) for number in range(500)], lambda: breaths.append(1)
    )

    assert len(breaths) > 500 / 8
