"""Quoted answers: what is said of which passages, and the bars of `quoting_set`, which was written for this project."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import quotes
from hypothesis import given
from hypothesis import strategies as st

from parley.knowledge import minilm
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, Query, build
from parley.knowledge.postings import Floats
from parley.knowledge.quoting import MAX_ENCODED, MAX_REMEMBERED, Quote, VectorMemory, quote
from parley.languages import ENGLISH, LANGUAGES

ROOT = Path(__file__).resolve().parents[2]
SET = Path(__file__).parent / "quoting_set"
SETS = {"workshop": (ROOT / "kb_data", SET / "workshop"), "swimming": (SET / "swimming" / "kb", SET / "swimming")}
GERMAN, CHINESE = LANGUAGES["de"], LANGUAGES["zh"]


def hit(text: str, title: str = "", coverage: float = 0.5) -> Hit:
    return Hit(Passage("doc", title, text, "a.json", {}), 1.0, {"coverage": coverage})


def said(question: str | Query, *hits: Hit, **options: object) -> tuple[str, ...]:
    found = quote(question, hits, **options)  # type: ignore[arg-type]
    return found.sentences if found else ()


class Encoder:
    """Vectors of the words of a text, counted by what the test takes for the same; `encoded` are the texts."""

    def __init__(self, **same: str) -> None:
        self.same = same
        self.encoded: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Floats:
        self.encoded += texts
        rows = np.zeros((len(texts), 64), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                row[sum(map(ord, self.same.get(word, word))) % 64] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_the_sentence_with_the_words_of_the_question_is_quoted() -> None:
    cheap = "A tune-up takes a day. Bring your shoes. New pads cost 12 dollars."
    assert said("how much are new pads", hit(cheap)) == ("New pads cost 12 dollars.",)


def test_a_sentence_of_the_same_meaning_is_quoted() -> None:
    text = "The pool is heated. Bicycles stand under a roof."
    assert said("where is my bike", hit(text, coverage=0.1)) == ()
    assert said("my bike", hit(text), encode=Encoder(bicycles="bike"), least=0.2) == ("Bicycles stand under a roof.",)


def test_near_the_floor_a_quote_is_doubted() -> None:
    encode, hits = Encoder(), [hit("Cats sleep all day. Dogs bark.")]
    assert quote("dogs bark", hits, encode, least=0.9, sure=0.9) is not None
    assert quote("the moon", hits, encode) is None
    doubted = quote("loud dogs run", hits, encode, least=0.1, sure=0.99)
    assert doubted and not doubted.is_sure and doubted.spoken(ENGLISH) == "This may help: Dogs bark."


def test_a_misheard_word_counts_by_the_coverage_of_the_search() -> None:
    far = hit("A tune-up costs 65 dollars.", coverage=0.8)
    assert said("toon up", far, encode=Encoder(), least=0.99, sure=1.0) == ("A tune-up costs 65 dollars.",)


@pytest.mark.parametrize(
    ("question", "text", "sentences"),
    [
        ("when did she open", "The owner is Ann. She opened in 2009. Tea is free.", (0, 1)),
        ("what if I do not fetch it", "We keep it 14 days. After that fetch costs 2 dollars.", (0, 1)),
        ("when are the pools cleaned", "We drain and clean the pools. This takes place on May 3.", (0, 1)),
        ("can I return parts", "Can I return parts? Yes, within 30 days.", (1,)),
        ("tuesday", "Opening hours:\n- Monday: closed\n- Tuesday: 9 to 5\n", (2,)),
    ],
    ids=["pronoun", "after that", "figure in the next", "question in the text", "list"],
)
def test_a_quote_brings_what_it_needs(question: str, text: str, sentences: tuple[int, ...]) -> None:
    parts = [part.strip(" -") for part in text.replace(". ", ".\n").replace("? ", "?\n").split("\n") if part]
    assert said(question, hit(text)) == tuple(parts[place] for place in sentences)


@pytest.mark.parametrize("text", ["Yes.", "Closed", "65", "No"])
def test_a_passage_of_one_word_is_quoted_by_its_title(text: str) -> None:
    assert said("do you take checks", hit(text, "Do you take checks?")) == (text,)


def test_a_passage_of_questions_alone_is_quoted_all_the_same() -> None:
    assert said("who goes there", hit("Who goes there?")) == ("Who goes there?",)


def test_without_hits_or_words_nothing_is_quoted() -> None:
    assert quote("what", []) is None and quote("what", [hit("")]) is None and quote("what", [hit(" \n ")]) is None


def test_a_follow_up_is_understood_with_what_was_said_before() -> None:
    text = "From Monday to Friday we open at nine. On Sunday we are closed."
    assert said(Query("and on Sunday", "when are you open"), hit(text))[-1] == "On Sunday we are closed."
    prices = "A child ticket costs 4 dollars. A sauna ticket costs 9 dollars."
    assert said(Query("and how much is it", "is there a sauna"), hit(prices), encode=Encoder(), least=0.1) == (
        "A sauna ticket costs 9 dollars.",
    )


def test_abbreviations_and_german_ordinals_end_no_sentence() -> None:
    german = "Ostern ist zu. Vom 1. bis 20. August ist die Praxis geschlossen."
    assert said("August", hit(german), language=GERMAN) == ("Vom 1. bis 20. August ist die Praxis geschlossen.",)
    assert said("wait", hit("Cats purr. Please wait approx. 20 minutes.")) == ("Please wait approx. 20 minutes.",)


def test_chinese_is_quoted_and_joined_without_spaces() -> None:
    found = quote("星期天开门吗", [hit("我们九点营业。星期天休息。", "营业时间")], language=CHINESE)
    assert found and found.sentences == ("星期天休息。",)
    two = Quote(hit(""), ("我们九点营业。", "星期天休息。"), 1.0, is_sure=False)
    assert two.spoken(CHINESE) == f"{CHINESE.may_help}我们九点营业。星期天休息。"


def test_of_a_long_passage_few_sentences_are_encoded() -> None:
    text = " ".join(f"Sentence number {number} tells of dragons." for number in range(450)) + " Pads cost 12 dollars."
    encode, breaths = Encoder(), []
    started = time.thread_time()
    found = quote("what do pads cost", [hit(text), hit("Cats purr.")], encode, breathe=lambda: breaths.append(1))
    assert found and found.sentences[-1] == "Pads cost 12 dollars."
    assert time.thread_time() - started < 0.5 and len(breaths) > 450
    assert len(encode.encoded) <= MAX_ENCODED + 10


def test_vectors_of_sentences_are_remembered() -> None:
    encode, memory = Encoder(), VectorMemory()
    remembered = memory.through(encode, "one")
    hits = [hit("Cats sleep all day. Dogs bark at night.")]
    found = [
        quote("dogs bark", hits, encode, encode_sentences=remembered),
        quote("dogs bark", hits, encode, encode_sentences=remembered),
        quote("dogs bark", hits, encode),
    ]
    assert found[0] == found[1] == found[2]
    assert encode.encoded.count("dogs bark") == 3 and encode.encoded.count("Dogs bark at night.") == 2
    memory.clear()
    assert remembered(["Dogs bark at night."]).shape == (1, 64)


def test_the_memory_of_vectors_is_bounded_and_knows_its_encoder() -> None:
    encode, other, memory = Encoder(), Encoder(), VectorMemory()
    texts = [f"text {number}" for number in range(MAX_REMEMBERED + 5)]
    for text in texts:
        memory.through(encode, "one")([text])
    memory.through(encode, "one")([texts[-1]])
    assert len(encode.encoded) == len(texts)
    memory.through(encode, "one")([texts[0]])
    memory.through(other, "two")([texts[-1]])
    assert len(encode.encoded) == len(texts) + 1 and other.encoded == [texts[-1]]


TEXTS = st.lists(st.sampled_from([*"ab c.?!:\n-1", "。", "é", "中", "Dr.", "20. "]), max_size=60).map("".join)


@given(TEXTS, TEXTS, TEXTS)
def test_what_is_quoted_stands_in_the_text(question: str, title: str, text: str) -> None:
    for language in (ENGLISH, GERMAN, CHINESE):
        for encode in (None, Encoder()):
            found = quote(question, [hit(text, title, 1.0)], encode, language=language)
            for sentence in found.sentences if found else ():
                assert sentence and sentence in " ".join(text.split())


def test_questions_are_answered_right_by_words_alone(tmp_path: Path) -> None:
    folder, questions = SETS["workshop"]
    measured = quotes.measure(folder, questions / "questions.json", "lexical", tmp_path)
    assert measured.right >= 0.65 * measured.answerable and measured.refused >= 0.75 * measured.foreign


@pytest.mark.slow
@pytest.mark.skipif(not minilm.installed(), reason="the embedded encoder is not installed")
def test_questions_are_answered_right(tmp_path: Path) -> None:
    all_of_them = [
        quotes.measure(folder, questions / "questions.json", "auto", tmp_path) for folder, questions in SETS.values()
    ]
    assert sum(one.right for one in all_of_them) >= 0.85 * sum(one.answerable for one in all_of_them)
    assert sum(one.refused for one in all_of_them) >= 0.9 * sum(one.foreign for one in all_of_them)
    texts = " ".join(file.read_text() for folder, _ in SETS.values() for file in folder.glob("*.json"))
    assert all(sentence in texts for one in all_of_them for sentence in one.quoted)


def test_an_index_gives_hits_that_can_be_quoted() -> None:
    index = build([Passage("bus", "Bus", "Bus number 7 stops here. It runs until ten.", "a.json", {})])
    query = Query("which bus stops here")
    found = quote(index.folded(query), index.search(query, 2), language=index.language)
    assert found and found.sentences[0] == "Bus number 7 stops here."
