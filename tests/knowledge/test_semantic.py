"""The semantic index, with an encoder that knows the meaning of a few words: ranking, filling, caching."""

from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
import numpy as np
import pytest

from parley.knowledge.documents import Passage
from parley.knowledge.index import Query, build
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import Calibration, EncoderFailed, Result, SemanticIndex
from parley.knowledge.vector_cache import VectorCache

MEANINGS = {"price": 0, "cost": 0, "dog": 1, "pet": 1, "parking": 2, "car": 2}


class FewWords:
    """An encoder by the words in `MEANINGS`, with a count of the texts encoded."""

    name = "few words"
    calibration = Calibration(coverage_weight=0.0, min_evidence=0.5)
    batch = 2

    def __init__(self) -> None:
        self.encoded = 0
        self.fails = False

    def passages(self, texts: Sequence[str]) -> Floats:
        if self.fails:
            raise EncoderFailed("out of order")
        self.encoded += len(texts)
        rows = np.full((len(texts), 4), 0.01, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word, meaning in MEANINGS.items():
                row[meaning] += word in text.lower()
            row[3] += not row.max() > 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    query = passages

    def run_in_thread(self, work: Callable[[], Result]) -> Result:
        return work()


PASSAGES = [
    Passage("price", "", "The price of a chain.", "a.json", {"kind": "money"}),
    Passage("dog", "", "Our dog likes bones.", "a.json", {"kind": "house"}),
    Passage("parking", "", "Parking behind the shop.", "a.json", {"kind": "house"}),
]


def semantic(encoder: FewWords, passages: Sequence[Passage] = PASSAGES, cache: Path | None = None) -> SemanticIndex:
    return SemanticIndex(build(passages), encoder, VectorCache(cache))


def filled(encoder: FewWords, passages: Sequence[Passage] = PASSAGES, cache: Path | None = None) -> SemanticIndex:
    index = semantic(encoder, passages, cache)
    while not index.ready:
        index.fill()
    return index


def ids(index: SemanticIndex, text: str, before: str = "", **filters: str) -> list[str]:
    return [hit.passage.id for hit in index.search(Query(text, before, filters), 1)]


def test_other_words_of_the_same_meaning_find_the_passage() -> None:
    assert ids(filled(FewWords()), "have you got a pet") == ["dog"]


def test_until_the_vectors_are_there_words_alone_decide() -> None:
    index = semantic(FewWords())

    assert not index.ready and (ids(index, "have you got a pet"), ids(index, "the chain")) == ([], ["price"])


def test_an_encoder_that_fails_leaves_the_words() -> None:
    encoder, told = FewWords(), []
    index = SemanticIndex(build(PASSAGES), encoder, VectorCache(None), on_failure=told.append)
    while not index.ready:
        index.fill()
    encoder.fails = True

    assert ids(index, "the chain") == ["price"] and [str(failure) for failure in told] == ["out of order"]


def test_a_question_far_from_all_passages_finds_nothing() -> None:
    index = SemanticIndex(build(PASSAGES), FewWords(), VectorCache(None), min_evidence=0.5)
    while not index.ready:
        index.fill()

    assert ids(index, "who won the world cup") == []


@pytest.mark.parametrize(
    ("text", "is_small_talk"), [("so it is", True), ("tomorrow then", False), ("a dog it is", False)]
)
def test_the_encoder_tells_small_talk_of_some_words(text: str, is_small_talk: bool) -> None:
    encoder = FewWords()
    encoder.calibration = Calibration(coverage_weight=0.0, min_evidence=0.0, min_small_talk=0.9)

    ranking = filled(encoder).rank(Query(text, "", {}), 1)

    assert (ranking.small_talk is not None) is is_small_talk


@pytest.mark.parametrize("text", ["", " ", "?!", "\U0001f914", "\ud800"])
def test_without_a_word_nothing_is_found(text: str) -> None:
    assert ids(filled(FewWords()), text) == []


def test_the_turn_before_counts() -> None:
    assert ids(filled(FewWords()), "and what about that", "where do i leave my car") == ["parking"]


def test_filters_hold_for_meanings_too() -> None:
    assert ids(filled(FewWords()), "what does your pet cost", kind="money") == ["price"]


def test_the_best_window_of_a_long_passage_speaks_for_it() -> None:
    long = "Nothing of interest stands here at all. " * 12
    passages = [*PASSAGES, Passage("long", "", long + "Hidden here: a car. " + long, "a.json", {})]

    parts = filled(FewWords(), passages).search(Query("my car"), 2)[1].parts

    assert parts["cosine"] > 0.5


def test_of_equals_the_one_with_similar_hits_comes_first() -> None:
    texts = [
        "The chain of a car.",
        "The chain of a pet.",
        "A chain, a pet.",
        "A pet.",
        "Any car.",
        "A car.",
    ]
    index = SemanticIndex(
        build([Passage(text, "", text, "a.json", {}) for text in texts]), FewWords(), VectorCache(None), min_evidence=0
    )
    words = [hit.passage.id for hit in index.search(Query("the chain"), 2)]
    while not index.ready:
        index.fill()

    assert words == texts[:2] and ids(index, "the chain") == [texts[1]]


def test_vectors_are_made_once(tmp_path: Path) -> None:
    first, second = FewWords(), FewWords()
    filled(first, cache=tmp_path / "inside" / "cache")

    again = filled(second, cache=tmp_path / "inside" / "cache")

    assert (first.encoded, second.encoded) == (3, 0) and ids(again, "have you got a pet") == ["dog"]


def test_vectors_of_another_encoder_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    other = FewWords()
    other.name = "another"
    filled(FewWords(), cache=tmp_path / "cache")

    filled(other, cache=tmp_path / "cache")

    assert other.encoded == 3


@pytest.mark.parametrize("content", [b"no database", None], ids=["not a database", "a folder"])
def test_a_cache_that_is_out_of_order_costs_only_time(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "cache"
    file.write_bytes(content) if content else file.mkdir()

    assert ids(filled(FewWords(), cache=file), "have you got a pet") == ["dog"]


def test_an_empty_collection_is_ready_at_once() -> None:
    assert filled(FewWords(), []).search(Query("dog"), 4) == []


class Waiting(FewWords):
    """An encoder that lets other greenlets run, as a thread or an API does; every text has a vector of its own."""

    def passages(self, texts: Sequence[str]) -> Floats:
        gevent.sleep(0.001)
        self.encoded += len(texts)
        angles = [float(text) for text in texts]
        return np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)

    query = passages


def test_of_two_greenlets_that_fill_an_index_one_waits() -> None:
    texts = [f"{number / 50:.2f}" for number in range(1, 21)]
    encoder = Waiting()
    index = semantic(encoder, [Passage(text, "", text, "a.json", {}) for text in texts])

    def fill() -> None:
        while not index.ready:
            index.fill()

    with gevent.Timeout(10):
        gevent.joinall([gevent.spawn(fill), gevent.spawn(fill)], raise_error=True)

    assert encoder.encoded == len(texts)
    assert [ids(index, text) for text in texts] == [[text] for text in texts]


def test_the_last_step_of_filling_runs_in_a_thread() -> None:
    class Threaded(FewWords):
        runs = 0

        def run_in_thread(self, work: Callable[[], Result]) -> Result:
            self.runs += 1
            return work()

    encoder = Threaded()
    filled(encoder)

    assert encoder.runs == 1


class OtherDimensions(FewWords):
    """An encoder whose vectors have `more` dimensions than those of its like."""

    more = 0

    def passages(self, texts: Sequence[str]) -> Floats:
        return np.pad(super().passages(texts), ((0, 0), (0, self.more)))

    query = passages


@pytest.mark.row("RF-18")
def test_other_dimensions_leave_the_words_and_then_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, told, outdated = OtherDimensions(), [], []
    index = SemanticIndex(
        build(PASSAGES), encoder, VectorCache(None), on_failure=told.append, on_outdated=outdated.append
    )
    while not index.ready:
        index.fill()
    encoder.more = 2

    found = ids(index, "the chain")

    assert (found, outdated, index.ready) == (["price"], [index], False)
    assert str(told[0]) == "a question's vector has 6 dimensions, the passages' have 4"
    while not index.ready:
        index.fill()
    assert ids(index, "have you got a pet") == ["dog"] and len(told) == 1


@pytest.mark.row("RF-18")
def test_an_encoder_that_changes_back_and_forth_is_not_flooded() -> None:
    encoder = OtherDimensions()
    index = filled(encoder)
    encoder.more = 2
    ids(index, "the chain")
    while not index.ready:
        index.fill()
    encoder.more = 0
    encoder.encoded = 0

    assert [ids(index, "the chain") for _ in range(3)] == [["price"]] * 3
    assert (index.ready, encoder.encoded) == (True, 3)


@pytest.mark.row("RF-18")
def test_cached_vectors_of_other_dimensions_are_replaced(tmp_path: Path) -> None:
    old, new = OtherDimensions(), OtherDimensions()
    new.more = 3
    filled(old, PASSAGES[:2], tmp_path / "a.sqlite")

    index = semantic(new, PASSAGES, tmp_path / "a.sqlite")
    failures = 0
    while not index.ready:
        try:
            index.fill()
        except EncoderFailed:
            failures += 1
    again = filled(new, PASSAGES, tmp_path / "a.sqlite")

    assert failures == 1 and ids(index, "have you got a pet") == ids(again, "have you got a pet") == ["dog"]
    assert new.encoded == 1 + 2 + 2, "the third passage, which told; the first two; two questions"
