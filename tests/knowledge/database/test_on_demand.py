"""Bases that are loaded when they are asked for: what is held, what goes, what fails, and who waits for whom."""

import gc
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from fake_source import FakeSource
from gevent.event import AsyncResult, Event
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from parley.concurrency import outcome_of, result_of
from parley.errors import NotFound, WarmingUp
from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.bases import Base, Bases
from parley.knowledge.database import load_queue, measurements
from parley.knowledge.database.on_demand import BasesOnDemand
from parley.knowledge.index import Query
from parley.knowledge.retriever import Retriever
from parley.knowledge.sources import SourceFailed, Version
from parley.languages import LANGUAGES
from parley.turn_record import TurnRecord


class NoIndex:
    """An index that costs nothing."""

    language = LANGUAGES["en"]


SPANISH = BaseSettings(language=LANGUAGES["es"], waiting_messages=("Un momento.",))


class Loader:
    """The greenlet of a retriever: it loads what is asked for, and refreshes when it is told to."""

    def __init__(self, bases: Bases) -> None:
        self._bases = bases
        self._told: list[AsyncResult[bool]] = []
        self.greenlet = gevent.spawn(self._run)

    def refresh(self) -> bool:
        result: AsyncResult[Any] = AsyncResult()
        self._told.append(result)
        return bool(result_of(result.get()))

    def _run(self) -> None:
        while True:
            self._bases.attend(0.002)
            while self._told:
                self._told.pop().set(outcome_of(self._bases.refresh))
            gevent.sleep(0)


@contextmanager
def attended(bases: Bases) -> Iterator[Loader]:
    """Load what is asked for meanwhile."""
    loader = Loader(bases)
    # It has begun, and waits.
    gevent.sleep(0)
    try:
        with gevent.Timeout(30):
            yield loader
    finally:
        loader.greenlet.kill()


def made(source: FakeSource, limit: int, **options: Any) -> BasesOnDemand:
    bases = BasesOnDemand(source, limit=limit, **options)
    bases.refresh()
    return bases


def waiting(bases: Bases, *names: str) -> list[gevent.Greenlet]:
    """Return greenlets that ask for these bases, and wait for them."""
    asking = [gevent.spawn(bases.get, name) for name in names]
    gevent.sleep(0)
    return asking


def test_what_fits_is_loaded_at_once_as_from_files() -> None:
    source = FakeSource(a=2, b=3)

    bases = made(source, 5)

    assert sorted(source.loads) == ["", "a", "b"] and set(bases.serving) == {"", "a", "b"} and bases.state == "ok"
    assert bases.listed is bases.serving and bases.get("b").passages == 3
    with gevent.Timeout(30):
        bases.attend(0)


def test_what_does_not_fit_is_known_and_not_loaded() -> None:
    source = FakeSource(a=3, b=3)
    source.settings["b"] = SPANISH

    bases = made(source, 5)

    assert source.loads == [] and set(bases.listed) == {"", "a", "b"} and bases.state == "ok"
    assert bases.listed["b"].settings is SPANISH and bases.listed["b"].passages == 3
    bases.require("b")
    with pytest.raises(NotFound):
        bases.get("c")


@pytest.mark.row("DB-15")
def test_many_callers_of_a_base_cause_one_load() -> None:
    source = FakeSource(a=3, b=3)
    source.open.clear()
    bases = made(source, 5)
    with attended(bases):
        asking = waiting(bases, *["a"] * 50)
        source.open.set()
        found = [one.get() for one in asking]

    assert source.loads == ["a"] and {base.index for base in found} == {bases.serving["a"].index}


@pytest.mark.row("DB-15")
def test_the_base_without_a_name_is_loaded_as_others_are() -> None:
    bases = made(FakeSource(**{"": 3, "a": 3, "b": 3}), 5)
    with attended(bases):
        asking = waiting(bases, "", "a", "")

        assert [one.get().passages for one in asking] == [3, 3, 3]


@pytest.mark.row("DB-15")
def test_the_least_recently_asked_for_leaves() -> None:
    source = FakeSource(a=2, b=2, c=2, d=2)
    bases = made(source, 6)
    before = measurements.EVICTIONS._value.get()
    with attended(bases):
        for name in "abcad":
            bases.get(name)

        assert list(bases.serving) == ["c", "a", "d"] and source.loads == ["a", "b", "c", "d"]
        assert bases.listed["b"].passages == 2 and not isinstance(bases.listed["b"], Base)
        assert measurements.RESIDENT._value.get() == 6 and measurements.EVICTIONS._value.get() == before + 1
        assert bases.get("b").passages == 2 and list(bases.serving) == ["a", "d", "b"]


@pytest.mark.row("DB-15")
@settings(deadline=None)
@given(
    asked=st.lists(st.sampled_from("abcdefg"), max_size=30), sizes=st.lists(st.integers(0, 9), min_size=7, max_size=7)
)
def test_what_is_held_never_exceeds_the_limit(asked: list[str], sizes: list[int]) -> None:
    source = FakeSource(**dict(zip("abcdefg", sizes, strict=True)), more=10)
    bases = made(source, 10, build=lambda *_: NoIndex())
    for name in asked:
        # Nobody attends: whoever asks loads.
        assert bases.get(name).passages == source.sizes[name]
        held = sum(base.passages for base in bases.serving.values())
        assert held <= 10 or not bases._on_demand

    recent = list(dict.fromkeys(reversed(asked)))
    if bases._on_demand and recent:
        assert recent[0] in bases.serving


def test_a_base_that_left_is_freed_unless_a_turn_holds_it() -> None:
    source = FakeSource(a=4, b=4)
    bases = made(source, 5)
    running = bases.get("a")
    index = weakref.ref(running.index)

    bases.get("b")

    assert "a" not in bases.serving and running.index.search(Query("part 3"), 1)
    del running
    gc.collect()
    assert index() is None


def test_a_load_goes_on_without_its_caller() -> None:
    source = FakeSource(a=4, b=4)
    source.open.clear()
    bases = made(source, 5)
    with attended(bases):
        (asking,) = waiting(bases, "a")
        asking.kill()
        source.open.set()
        bases.get("a")

    assert source.loads == ["a"]


def test_awaited_bases_go_before_abandoned_ones() -> None:
    source = FakeSource(a=1, b=1, c=1, more=9)
    source.open.clear()
    bases = made(source, 5)
    with attended(bases):
        asking = waiting(bases, "a", "b", "c")
        asking[1].kill()
        source.open.set()
        asking[2].get()
        assert source.loads[:2] == ["a", "c"]
        bases.get("b")

    assert source.loads == ["a", "c", "b"]


def test_a_changed_base_is_loaded_anew_only_if_it_is_held() -> None:
    source = FakeSource(a=2, b=2, c=2)
    bases = made(source, 4)
    with attended(bases) as loader:
        old = bases.get("a")
        source.open.clear()
        source.publish("a", 3)
        source.publish("b", 1)

        assert loader.refresh()
        while len(source.loads) < 2:
            gevent.sleep(0)
        # Until the new index is there the old one serves.
        assert bases.get("a") is old and source.loads == ["a", "a"] and bases.listed["b"].passages == 1
        source.open.set()
        while bases.get("a") is old:
            gevent.sleep(0)

    assert bases.get("a").passages == 3 and source.loads == ["a", "a"]


def test_a_dropped_base_is_unknown_and_a_new_one_known() -> None:
    source = FakeSource(a=2, b=2, c=2)
    bases = made(source, 4)
    running = bases.get("a")
    del source.sizes["a"]
    source.sizes["d"] = 2

    bases.refresh()

    assert (
        set(bases.listed) == {"", "b", "c", "d"} and "a" not in bases.serving and running.index.search(Query("part"), 1)
    )
    with pytest.raises(NotFound):
        bases.get("a")
    assert bases.get("d").passages == 2


def test_a_base_that_is_dropped_keeps_nobody_waiting() -> None:
    source = FakeSource(a=2, b=2, c=2)
    source.open.clear()
    bases = made(source, 4)
    with attended(bases) as loader:
        first, second = waiting(bases, "a", "b")
        del source.sizes["b"]
        refreshing = gevent.spawn(loader.refresh)
        source.open.set()

        assert first.get().passages == 2 and not second.get().passages and refreshing.get()
        with pytest.raises(NotFound):
            bases.get("b")


@pytest.mark.row("DB-15")
@pytest.mark.parametrize(
    "error", [SourceFailed("the database is down"), ValueError("odd row")], ids=["source", "defect"]
)
def test_a_base_that_fails_is_told_once_and_tried_again(error: Exception) -> None:
    source = FakeSource(a=3, b=3)
    source.failing["a"] = error
    bases = made(source, 5)
    with capture_logs() as logged, attended(bases):
        for _ in range(20):
            with pytest.raises(SourceFailed):
                bases.get("a")
        # The others are served, and nobody waits for the pause to end.
        assert bases.get("b").passages == 3 and source.loads == ["a", "b"]
        assert bases.state == "degraded" and bases.listed["a"].fault and bases.listed["b"].is_complete
        del source.failing["a"]
        bases._queue.end_pauses()

        assert bases.get("a").passages == 3 and bases.state == "ok"

    assert [line["event"] for line in logged].count("knowledge_not_loaded") == 1
    assert all("odd row" not in str(line["fault"]) for line in logged if line["event"] == "knowledge_not_loaded")


def test_what_failed_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_queue, "RETRY_SECONDS", (0.01,))
    source = FakeSource(a=3, b=3)
    source.failing["a"] = SourceFailed("away")
    bases = made(source, 5)
    with attended(bases):
        with pytest.raises(SourceFailed):
            bases.get("a")
        while len(source.loads) < 3:
            gevent.sleep(0.001)
        del source.failing["a"]
        while "a" not in bases.serving:
            gevent.sleep(0.001)

    assert bases.state == "ok"


def test_the_return_of_the_source_ends_the_pauses() -> None:
    source = FakeSource(a=3, b=3)
    bases = made(source, 5)
    source.failing["a"] = SourceFailed("away")
    source.is_away = True
    with attended(bases) as loader:
        with pytest.raises(SourceFailed):
            loader.refresh()
        with pytest.raises(SourceFailed):
            bases.get("a")
        source.failing.clear()
        source.is_away = False
        loader.refresh()

        assert bases.get("a").passages == 3


@pytest.mark.row("DB-15")
def test_a_look_that_takes_long_keeps_no_base_from_its_load() -> None:
    source = FakeSource(a=3, b=3)
    bases = made(source, 5)
    asked, answered = Event(), Event()

    def look(known: Iterable[str]) -> Mapping[str, Version]:
        asked.set()
        answered.wait()
        return dict.fromkeys(source.sizes, 2)

    source.look = look  # type: ignore[method-assign]
    with attended(bases) as loader:
        refreshing = gevent.spawn(loader.refresh)
        asked.wait()

        assert bases.get("a").passages == 3 and not refreshing.ready()
        answered.set()
        assert refreshing.get() and bases.get("b").passages == 3


def test_one_that_alone_is_too_large_stays_out() -> None:
    source = FakeSource(a=3, large=6)
    with capture_logs() as logged:
        bases = made(source, 5)
        for _ in range(3):
            bases.refresh()
            with pytest.raises(SourceFailed, match="KB_RESIDENT=5"):
                bases.get("large")

    assert bases.get("a").passages == 3 and source.loads == ["a"] and bases.state == "degraded"
    told = [line for line in logged if line["event"] == "knowledge_too_large"]
    assert [(line["kb"], line["passages"]) for line in told] == [("large", 6)]


def test_one_that_grows_too_large_keeps_what_it_had() -> None:
    source = FakeSource(a=3, b=3)
    bases = made(source, 5)
    old = bases.get("a")
    source.publish("a", 6)

    bases.refresh()

    assert bases.get("a") is old and bases.listed["a"].state == "degraded" and "6 passages" in bases.listed["a"].fault


def test_one_that_its_source_searches_takes_no_room() -> None:
    source = FakeSource(a=3, large=1000)
    source.searchable.add("large")

    bases = made(source, 5)

    assert set(bases.serving) == {"", "a", "large"} and bases.state == "ok"


def test_more_than_fits_comes_later_and_goes_again() -> None:
    source = FakeSource(a=3)
    bases = made(source, 5)
    held = bases.get("a")
    source.sizes["b"] = 3
    bases.refresh()
    assert bases.get("a") is held and source.loads.count("a") == 1 and bases.get("b").passages == 3
    assert list(bases.serving)[-1] == "b" and "a" not in bases.serving
    source.publish("b", 2)

    with attended(bases) as loader:
        loader.refresh()
        while not {"a", "b"} <= set(bases.serving) or bases.serving["b"].passages != 2:
            gevent.sleep(0)
        loader.refresh()

    assert bases.listed is bases.serving and bases.state == "ok" and bases.get("a").passages == 3


def test_evictions_are_told_now_and_then() -> None:
    source = FakeSource(**{f"tenant-{number}": 1 for number in range(100)})
    with capture_logs() as logged:
        bases = made(source, 10, build=lambda *_: NoIndex())
        for name in source.sizes:
            bases.get(name)

    told = [line for line in logged if line["event"] == "knowledge_evicted"]
    assert len(told) == 1 and told[0]["bases"] == ["tenant-0"]


def test_suspect_passages_are_told_once_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(a=1, b=1)
    monkeypatch.setattr("parley.knowledge.bases.red_flags", lambda passage: ["odd"])
    with capture_logs() as logged:
        bases = made(source, 1)
        for name in "abababa":
            bases.get(name)
        source.publish("a")
        bases.refresh()
        bases.get("b"), bases.get("a")

    told = [line["kb"] for line in logged if line["event"] == "knowledge_suspect"]
    assert told == ["a", "b", "a"]


def test_encoders_are_prepared_before_any_load() -> None:
    prepared: list[BaseSettings] = []
    source = FakeSource(a=3, b=3, c=3, d=3)
    source.settings |= {"b": SPANISH, "c": SPANISH, "d": BaseSettings(encoder="multilingual")}
    # One that is searched elsewhere needs its encoder as well.
    source.searchable.add("d")

    made(source, 5, prepare=prepared.append)

    assert source.loads == []
    assert sorted((one.spoken_language.code, one.encoder or "") for one in prepared) == [
        ("en", ""),
        ("en", "multilingual"),
        ("es", ""),
    ]


def retriever(source: FakeSource, timeout: float) -> Retriever:
    """Return a retriever that has learned which bases there are, and loads what is asked for."""
    retriever = Retriever(BasesOnDemand(source, limit=5), timeout=timeout, poll=0)
    retriever.warm()
    retriever.require("a")
    return retriever


@pytest.mark.row("DB-15")
def test_a_question_waits_for_its_base_up_to_the_deadline() -> None:
    source = FakeSource(a=3, b=3)
    source.settings["a"] = SPANISH
    source.open.clear()
    late = retriever(source, 0.05)
    record = TurnRecord("rag", "id")

    found = late.search("a", Query("part 1"), 2, record)

    # The waiting message of a base is known before its passages are.
    assert found.degraded and not found.hits and late.settings_of("a") is SPANISH
    source.open.set()
    late._timeout = 30
    found = late.search("a", Query("part 1"), 2, record)
    assert found.hits and found.base is late.bases.serving["a"] and source.loads == ["a"]


def test_a_failed_base_costs_a_question_its_context_alone() -> None:
    source = FakeSource(a=3, b=3)
    source.failing["a"] = SourceFailed("away")
    failing = retriever(source, 30)
    with capture_logs() as logged:
        found = [failing.search("a", Query("part"), 2, TurnRecord("rag", "id")) for _ in range(3)]

    assert all(one.degraded for one in found)
    assert [line["event"] for line in logged] == ["knowledge_not_loaded", *["rag_degraded"] * 3]
    with pytest.raises(WarmingUp, match="away"):
        failing.base("a")


def test_a_quote_is_made_of_the_index_that_was_searched() -> None:
    source = FakeSource(a=3, b=3)
    asked = retriever(source, 30)
    query = Query("What has part 2?")
    found = asked.search("a", query, 2, TurnRecord("rag", "id"))
    asked.base("b")

    assert "a" not in asked.bases.serving and found.base
    loads = list(source.loads)
    asked.quote(found.base, query, found.hits)
    assert source.loads == loads
