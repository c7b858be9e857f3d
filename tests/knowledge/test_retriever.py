"""The retriever: its deadline, failures that cost only the context, and the grounding of an answer."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
from structlog.testing import capture_logs

from parley.concurrency import SILENCE
from parley.errors import NotFound
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.bases import Bases
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, Query, Ranking
from parley.knowledge.retriever import Grounding, Retriever, SearchResult
from parley.knowledge.sources import FolderSource
from parley.languages import ENGLISH
from parley.turn_record import TurnRecord

PASSAGES = [
    Passage("chain", "Chain", "A new chain costs 35 dollars.", "prices.json", {}),
    Passage("copy", "Chain", "A new chain costs 35 dollars!", "prices.json", {}),
    Passage("hours", "Hours", "We close at six.", "hours.json", {}),
]
HITS = [Hit(passage, score) for passage, score in zip(PASSAGES, (0.9, 0.8, 0.123456), strict=True)]
CITATIONS = (
    {"id": "chain", "title": "Chain", "score": 0.9, "file": "prices.json"},
    {"id": "hours", "title": "Hours", "score": 0.1235, "file": "hours.json"},
)


class FakeIndex:
    """An index whose search is a function of the limit."""

    def __init__(self, search: Callable[[int], list[Hit]]) -> None:
        self._search = search
        self.language = ENGLISH

    def search(self, query: Query, limit: int) -> list[Hit]:
        return self._search(limit)

    def rank(self, query: Query, limit: int) -> Ranking:
        small_talk = 0.8 if query.text == "let me find a pen" else None
        return Ranking(self._search(limit), query, "evidence", 1.0, 0.5, small_talk)


def late(limit: int) -> list[Hit]:
    gevent.sleep(60)
    return HITS


def failing(limit: int) -> list[Hit]:
    raise ValueError("out of order")


def slow(limit: int) -> list[Hit]:
    gevent.sleep(0.3)
    return HITS[:limit]


@pytest.fixture
def record() -> TurnRecord:
    return TurnRecord("rag", "id")


def retriever(folder: Path, search: Callable[[int], list[Hit]], timeout: float = 5.0) -> Retriever:
    """Return a retriever whose only base is loaded and searched by this function."""
    made = Retriever(Bases(FolderSource(folder), build=lambda passages, *_: FakeIndex(search)), timeout=timeout, poll=0)
    made.require("")
    return made


def drained(batches: Generator[list[bytes], None, Any]) -> tuple[list[list[bytes]], Any]:
    """Return what a generator yields and what it returns."""
    yielded = []
    try:
        while True:
            yielded.append(next(batches))
    except StopIteration as end:
        return yielded, end.value


def test_a_search_gives_at_most_the_wanted_hits(tmp_path: Path, record: TurnRecord) -> None:
    found = retriever(tmp_path, lambda limit: HITS[:limit]).search("", Query("chain"), 2, record)

    assert found == SearchResult(HITS[:2]) and record.lookup_ms is not None


def test_small_talk_that_the_encoder_tells_is_told(tmp_path: Path, record: TurnRecord) -> None:
    found = retriever(tmp_path, lambda _: []).ground("", Query("let me find a pen"), 2, record)

    assert found == Grounding((), (), (), is_small_talk=True)


@pytest.mark.parametrize(("search", "event"), [(late, "rag_degraded"), (failing, "rag_failed")])
def test_a_late_or_failed_search_is_degraded(
    tmp_path: Path, record: TurnRecord, search: Callable[[int], list[Hit]], event: str
) -> None:
    with capture_logs() as logged:
        found = retriever(tmp_path, search, timeout=0.05).search("", Query("chain"), 2, record)

    assert found == SearchResult([], degraded=True)
    assert {line["event"] for line in logged} >= {event, "rag_degraded"}


def test_an_unknown_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        retriever(tmp_path, late).require("none")


def test_a_search_waits_for_the_first_load(tmp_path: Path, record: TurnRecord) -> None:
    def build(passages: Sequence[Passage], breathe: Callable[[], None], settings: BaseSettings, _: object) -> FakeIndex:
        gevent.sleep(0.02)
        return FakeIndex(lambda limit: HITS)

    made = Retriever(Bases(FolderSource(tmp_path), build), timeout=5.0, poll=0)
    made.warm()
    loading = made.loading

    assert loading and made.search("", Query("chain"), 2, record).hits == HITS and not made.loading


def test_a_failed_load_is_logged_and_ends_the_loading(tmp_path: Path, record: TurnRecord) -> None:
    made = Retriever(Bases(FolderSource(tmp_path), build=lambda passages, *_: failing(0)), timeout=5.0, poll=0)  # type: ignore
    with capture_logs() as logged:
        made.warm()
        found = made.search("", Query("chain"), 2, record)

    assert found.degraded and not made.loading
    assert "knowledge_reload_failed" in [line["event"] for line in logged]


@pytest.mark.parametrize(("spread", "least", "most"), [(0.0, 2.0, 2.0), (0.2, 1.6, 2.4)], ids=["folder", "database"])
def test_polls_of_a_database_are_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spread: float, least: float, most: float
) -> None:
    pauses: list[float] = []
    bases = Bases(FolderSource(tmp_path), lambda *_: FakeIndex(late))
    made = Retriever(bases, timeout=5.0, poll=2.0, spread=spread)

    def attend(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 100:
            raise gevent.GreenletExit

    monkeypatch.setattr(bases, "attend", attend)
    with monkeypatch.context() as patched:
        patched.setattr("parley.knowledge.retriever.gevent.sleep", lambda _: None)
        with pytest.raises(gevent.GreenletExit):
            made._keep_fresh()
    assert all(least <= pause <= most for pause in pauses)
    assert len(set(pauses)) == (1 if not spread else 100)


def test_a_grounding_holds_hits_excerpts_and_citations(tmp_path: Path, record: TurnRecord) -> None:
    limits = []
    found = retriever(tmp_path, lambda limit: limits.append(limit) or HITS).ground("", Query("chain"), 2, record)

    assert limits == [4]  # more than are shown: some say the same
    assert (found.hits, found.citations, found.degraded) == (tuple(HITS), CITATIONS, False)
    assert [excerpt.text for excerpt in found.excerpts] == [PASSAGES[0].text, PASSAGES[2].text]


@pytest.mark.parametrize("search", [failing, lambda limit: []], ids=["failed", "nothing found"])
def test_a_grounding_without_hits_is_empty(
    tmp_path: Path, record: TurnRecord, search: Callable[[int], list[Hit]]
) -> None:
    found = retriever(tmp_path, search).ground("", Query("chain"), 2, record)

    assert found == Grounding((), (), (), degraded=search is failing)


def test_citations_stand_in_the_order_of_the_scores(tmp_path: Path) -> None:
    parts = ("One.", "Two.", "Three.")
    first, last = (Passage(f"d#{part + 1}", "", parts[part], "d.json", {}, part, parts) for part in (0, 2))
    hits = [Hit(last, 0.9), Hit(PASSAGES[2], 0.5), Hit(first, 0.2)]

    assert [citation["id"] for citation in Grounding.of(SearchResult(hits), 3).citations] == ["d#3", "hours", "d#1"]


def test_a_slow_search_is_notified_once(tmp_path: Path, record: TurnRecord) -> None:
    made = retriever(tmp_path, slow)

    batches, found = drained(made.ground_notifying("", Query("chain"), 2, record, 0.001))

    assert batches == [SILENCE] and found.citations == CITATIONS


def test_a_search_in_time_is_not_notified(tmp_path: Path, record: TurnRecord) -> None:
    made = retriever(tmp_path, lambda limit: HITS)

    batches, found = drained(made.ground_notifying("", Query("chain"), 2, record, 5.0))

    assert batches == [] and found == made.ground("", Query("chain"), 2, record)


def test_a_caller_that_leaves_ends_the_search(tmp_path: Path, record: TurnRecord) -> None:
    ended = gevent.event.Event()

    def endless(limit: int) -> list[Hit]:
        try:
            gevent.sleep(60)
        finally:
            ended.set()
        return HITS

    batches = retriever(tmp_path, endless, timeout=60).search_telling("", Query("chain"), 2, record, 0.01)
    assert next(batches) is SILENCE
    batches.close()

    assert ended.wait(5)
