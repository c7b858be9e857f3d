"""Sessions: the policy with a store behind it, for several workers, holders of keys, and stores that fail."""

from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from parley.memory import stores
from parley.memory.conversation import decode, history_of, stored_turn
from parley.memory.sessions import Sessions, session_key
from parley.memory.stores import Entry, SqliteStore, StoreFailed, WorkerStore
from parley.telemetry import metrics

WAIT_SECONDS, BUSY_SECONDS = stores.WAIT_SECONDS, stores.BUSY_SECONDS
SYSTEM = {"role": "system", "content": "You are Mia."}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine fails no test that is not about waiting."""
    monkeypatch.setattr(stores, "WAIT_SECONDS", 20)
    monkeypatch.setattr(stores, "BUSY_SECONDS", 15)


class BrokenStore(WorkerStore):
    """A store that fails while it is told to."""

    fails = True

    def get(self, key: str) -> Entry | None:
        if self.fails:
            raise StoreFailed("the disk is gone")
        return super().get(key)

    def delete(self, key: str) -> bool:
        if self.fails:
            raise StoreFailed("the disk is gone")
        return super().delete(key)


def ask(text: str) -> list[dict[str, Any]]:
    return [SYSTEM, {"role": "user", "content": text}]


def take_turn(sessions: Sessions, key: str, text: str, said: str, started: float) -> list[str]:
    """Ask a question and remember its answer; return the texts that the model reads, the instruction apart."""
    found = sessions.recall(key, ask(text), "", mode="full", with_tools=True)
    assert found and found.history
    turn = stored_turn(text, said, said, closed=False, turn="", started=started)
    assert sessions.remember(key, found.history, turn, mode="full")
    return [each["content"] for each in found.messages[1:]]


@pytest.mark.row("MM-02")
def test_a_session_on_four_workers_is_one_conversation(tmp_path: Path) -> None:
    workers = [Sessions(SqliteStore(tmp_path / "s.db"), ttl=60) for _ in range(4)]
    read: list[str] = []

    for number in range(12):
        read = take_turn(workers[number % 4], "key", f"question {number}", f"answer {number}", float(number + 1))

    assert read == [*(text for n in range(11) for text in (f"question {n}", f"answer {n}")), "question 11"]
    for worker in workers:
        worker.finish(1)


def test_turns_that_end_at_once_are_all_kept(tmp_path: Path) -> None:
    workers = [Sessions(SqliteStore(tmp_path / "s.db"), ttl=60) for _ in range(4)]
    history = history_of(ask("now"))
    assert history

    def end(number: int) -> bool:
        turn = stored_turn(f"q{number}", f"a{number}", f"a{number}", closed=False, turn="", started=number + 1.0)
        return workers[number].remember("key", history, turn, mode="full")

    ended = [gevent.spawn(end, number) for number in range(4)]
    gevent.joinall(ended, raise_error=True)

    found = workers[0].recall("key", ask("later"), "", mode="full", with_tools=True)
    assert all(each.value for each in ended) and found
    assert [each["content"] for each in found.messages[1::2]] == ["q0", "q1", "q2", "q3", "later"]
    for worker in workers:
        worker.finish(1)


@pytest.mark.row("MM-05")
def test_a_session_is_its_holders_alone() -> None:
    sessions = Sessions(WorkerStore(), ttl=60)
    mine, other = session_key("key-1", "room"), session_key("key-2", "room")
    take_turn(sessions, mine, "a secret", "noted", 1.0)

    assert mine != other and session_key("key-1", "1room") != session_key("key-11", "room")
    assert take_turn(sessions, other, "hello", "hi", 2.0) == ["hello"]
    assert take_turn(sessions, mine, "hello", "hi", 3.0) == ["a secret", "noted", "hello"]


@pytest.mark.row("MM-05")
def test_a_session_that_is_deleted_is_forgotten() -> None:
    sessions = Sessions(WorkerStore(), ttl=60)
    take_turn(sessions, "key", "a secret", "noted", 1.0)

    assert sessions.forget("key") and sessions.forget("unknown")
    assert take_turn(sessions, "key", "hello", "hi", 2.0) == ["hello"]


def writing(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Begin to write something of a session, behind the answer as in a worker; return what lets it end."""
    monkeypatch.setattr("gevent.monkey.is_module_patched", lambda name: True)
    goes_on = Event()
    sessions.spawn("key", goes_on.wait)
    return goes_on


def test_a_deletion_waits_for_what_is_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(WorkerStore(), ttl=60)
    take_turn(sessions, "key", "a secret", "noted", 1.0)
    goes_on = writing(sessions, monkeypatch)

    monkeypatch.setattr("parley.memory.sessions.FORGET_SECONDS", 0.01)
    assert sessions.forget("another") and not sessions.forget("key")
    goes_on.set()
    monkeypatch.setattr("parley.memory.sessions.FORGET_SECONDS", 20)
    assert sessions.forget("key")
    assert take_turn(sessions, "key", "hello", "hi", 2.0) == ["hello"]


def test_a_store_that_fails_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(BrokenStore(), ttl=60)
    assert sessions.recall("key", ask("now"), "", mode="full", with_tools=True) is None
    goes_on = writing(sessions, monkeypatch)

    monkeypatch.setattr("parley.memory.sessions.WAIT_SECONDS", 1000)
    with gevent.Timeout(20):
        assert sessions.recall("key", ask("now"), "", mode="full", with_tools=True) is None
    goes_on.set()


def test_a_late_result_is_remembered() -> None:
    sessions = Sessions(WorkerStore(), ttl=60)
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    history = history_of(ask("book it"))
    assert history
    exchange = [call, {"role": "tool", "tool_call_id": "c", "content": "under way"}]
    turn = stored_turn("book it", "", "", closed=True, turn="", started=1.0, exchange=exchange)

    assert sessions.remember("key", history, turn, mode="full")
    assert sessions.add_result("key", {"role": "tool", "tool_call_id": "c", "content": "booked"})

    found = sessions.recall("key", ask("and?"), "", mode="full", with_tools=True)
    assert found and found.messages[3]["content"] == "booked"


@pytest.mark.row("MM-05")
def test_a_store_that_fails_costs_the_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr("parley.memory.sessions.log.warning", lambda event, **_: logged.append(event))
    monkeypatch.setattr("parley.memory.sessions.log.info", lambda event, **_: logged.append(event))
    store = BrokenStore()
    sessions = Sessions(store, ttl=60)
    history = history_of(ask("now"))
    assert history
    turn = stored_turn("now", "a", "a", closed=False, turn="", started=1.0)

    assert sessions.recall("key", ask("now"), "", mode="full", with_tools=True) is None
    assert not sessions.remember("key", history, turn, mode="full") and not sessions.forget("key")
    assert logged == ["memory_failed"]
    store.fails = False
    assert sessions.remember("key", history, turn, mode="full")
    assert logged == ["memory_failed", "memory_works_again"]


@pytest.mark.row("MM-05")
def test_a_session_ends_with_its_time() -> None:
    now = [0.0]
    sessions = Sessions(WorkerStore(clock=lambda: now[0]), ttl=1800)
    take_turn(sessions, "key", "a", "A", 1.0)
    now[0] += 1799
    assert take_turn(sessions, "key", "b", "B", 2.0) == ["a", "A", "b"]
    now[0] += 1800
    assert take_turn(sessions, "key", "c", "C", 3.0) == ["c"]


def test_the_waits_of_a_store_fit_together() -> None:
    assert BUSY_SECONDS < WAIT_SECONDS <= 0.05


def test_a_worker_without_a_loop_writes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gevent.monkey.is_module_patched", lambda name: False)
    written: list[str] = []

    Sessions(WorkerStore(), ttl=60).spawn("key", written.append, "turn")

    assert written == ["turn"]


def test_a_write_that_fails_once_is_made_again() -> None:
    store = BrokenStore()
    sessions, history = Sessions(store, ttl=60), history_of(ask("now"))
    assert history
    turn = stored_turn("now", "a", "a", closed=False, turn="", started=1.0)

    writing = gevent.spawn(sessions.remember, "key", history, turn, mode="full")
    gevent.sleep(0)
    store.fails = False

    assert writing.get(timeout=20)
    entry = store.get("key")
    assert entry and decode(entry.data) == (turn,)


class ContestedStore(WorkerStore):
    """A store in which other writers are faster, so many times."""

    races = 0

    def put(self, key: str, data: bytes, ttl: float, version: int) -> bool:
        self.races -= 1
        return self.races < 0 and super().put(key, data, ttl, version)


@pytest.mark.row("SH-13")
@pytest.mark.parametrize(("races", "is_kept"), [(40, True), (1000, False)], ids=["forty", "for ever"])
def test_a_write_is_made_again_while_others_are_faster(races: int, is_kept: bool) -> None:
    store = ContestedStore()
    store.races = races
    history, lost = history_of(ask("now")), metrics.MEMORY_LOST._value.get()
    assert history
    turn = stored_turn("now", "a", "a", closed=False, turn="", started=1.0)

    assert Sessions(store, ttl=60).remember("key", history, turn, mode="full") == is_kept
    assert metrics.MEMORY_LOST._value.get() == lost + (not is_kept)


def test_a_write_that_had_been_made_is_not_made_twice() -> None:
    sessions, history = Sessions(WorkerStore(), ttl=60), history_of(ask("now"))
    assert history
    turn = stored_turn("now", "a", "a", closed=False, turn="", started=1.0)

    assert all(sessions.remember("key", history, turn, mode="full") for _ in range(2))

    found = sessions.recall("key", ask("later"), "", mode="full", with_tools=True)
    assert found and [each["content"] for each in found.messages[1:]] == ["now", "a", "later"]
