"""Both stores keep bytes for a time and tell of other writers; the file is its user's and never holds the loop."""

import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from parley.memory import stores
from parley.memory.stores import SqliteStore, Store, StoreFailed, WorkerStore

Make = Callable[..., Store]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine fails no test that is not about waiting."""
    monkeypatch.setattr(stores, "WAIT_SECONDS", 20)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture(params=["worker", "sqlite"])
def make(request: pytest.FixtureRequest, file: Path, clock: Clock) -> Iterator[Make]:
    """Make a store of each kind, with a limit."""
    made: list[Store] = []

    def make(limit: int = 100) -> Store:
        store = WorkerStore(limit, clock) if request.param == "worker" else SqliteStore(file, limit, clock)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


def version_of(store: Store, key: str) -> int:
    entry = store.get(key)
    assert entry
    return entry.version


def test_what_is_put_is_got_until_its_time_is_over(make: Make, clock: Clock) -> None:
    store = make()

    assert store.get("a") is None
    assert store.put("a", b"one", 10, 0)
    clock.now += 9.9
    entry = store.get("a")
    assert entry and entry.data == b"one"
    clock.now += 0.1
    assert store.get("a") is None
    assert store.put("a", b"two", 10, 0)


def test_a_write_after_another_one_is_refused(make: Make) -> None:
    store = make()
    store.put("a", b"one", 10, 0)
    first = version_of(store, "a")

    assert not store.put("a", b"two", 10, 0)
    assert store.put("a", b"two", 10, first)
    assert not store.put("a", b"three", 10, first)
    entry = store.get("a")
    assert entry and entry.data == b"two"


def test_a_version_does_not_come_back_after_a_delete(make: Make) -> None:
    store = make()
    store.put("a", b"one", 10, 0)
    first = version_of(store, "a")

    assert store.delete("a") and not store.delete("a") and store.get("a") is None
    store.put("a", b"two", 10, 0)
    assert not store.put("a", b"three", 10, first)


def test_the_sessions_that_rest_longest_leave(make: Make, clock: Clock) -> None:
    store = make(3)
    for key in "abc":
        store.put(key, b"x", 1000, 0)
        clock.now += 1
    store.put("a", b"again", 1000, version_of(store, "a"))
    for number in range(300):
        clock.now += 1
        store.put(f"n{number}", b"x", 1000, 0)

    assert store.get("b") is None and store.get("c") is None
    assert store.get("n299") is not None


def test_a_worker_keeps_no_more_than_its_limit(clock: Clock) -> None:
    store = WorkerStore(10_000, clock)
    for number in range(10_001):
        store.put(str(number), b"x", 1000, 0)

    assert store.get("0") is None and store.get("1") is not None and len(store._entries) == 10_000


def test_a_writing_worker_forgets_what_has_expired(clock: Clock) -> None:
    store = WorkerStore(clock=clock)
    store.put("old", b"x", 10, 0)
    clock.now += 11
    store.put("new", b"x", 10, 0)

    assert list(store._entries) == ["new"]


def contents(file: Path) -> bytes:
    """All bytes of the file and what belongs to it."""
    return b"".join(each.read_bytes() for each in file.parent.iterdir() if each.name.startswith(file.name))


def test_a_file_is_for_its_user_alone(file: Path) -> None:
    file.touch(0o644)
    store = SqliteStore(file)
    store.put("a", b"x", 10, 0)

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    assert len(modes) == 3 and set(modes.values()) == {0o600}, modes
    store.close()


@pytest.mark.parametrize("end", ["deleted", "expired"])
def test_what_is_gone_is_gone_from_the_disk(file: Path, clock: Clock, end: str) -> None:
    store = SqliteStore(file, clock=clock)
    store.put("a", b"a spoken secret", 10, 0)
    assert b"a spoken secret" in contents(file)

    if end == "deleted":
        store.delete("a")
    else:
        clock.now += 11
        store.put("b", b"another", 10, 0)
        store.close()

    assert b"a spoken secret" not in contents(file)
    store.close()


def test_four_workers_share_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BUSY_SECONDS", 15)
    workers = [SqliteStore(file) for _ in range(4)]
    done: list[bool] = []

    def add(store: SqliteStore, text: str) -> None:
        for _ in range(40):
            entry = store.get("a")
            data = (entry.data if entry else b"") + text.encode()
            if store.put("a", data, 10, entry.version if entry else 0):
                done.append(True)
                return

    gevent.joinall([gevent.spawn(add, store, text) for store in workers for text in "abcdef"], raise_error=True)

    entry = workers[0].get("a")
    assert entry and sorted(entry.data.decode()) == sorted("abcdef" * 4) and len(done) == 24
    for store in workers:
        store.close()


def test_a_lock_held_by_another_fails_in_time(file: Path) -> None:
    store = SqliteStore(file)
    store.put("a", b"x", 10, 0)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    laps: list[float] = []

    def beat() -> None:
        while True:
            laps.append(time.monotonic())
            gevent.sleep(0.001)

    beating = gevent.spawn(beat)
    gevent.sleep(0.01)
    begun = time.monotonic()
    with pytest.raises(StoreFailed):
        store.put("a", b"y", 10, version_of(store, "a"))
    took = time.monotonic() - begun
    beating.kill()

    # Readers go on beside a writer, and the loop went on meanwhile.
    assert store.get("a") is not None
    assert took < 10 and len([lap for lap in laps if begun < lap < begun + took]) > 3
    other.execute("ROLLBACK")
    other.close()
    assert store.put("a", b"y", 10, version_of(store, "a"))
    store.close()


def test_a_call_that_hangs_costs_the_others_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(file)
    store.put("a", b"x", 10, 0)
    go_on = threading.Event()
    select = store._file.select
    monkeypatch.setattr(store._file, "select", lambda key: (go_on.wait(20), select(key))[1])

    monkeypatch.setattr(stores, "WAIT_SECONDS", 0.05)
    with pytest.raises(StoreFailed, match="no answer"):
        store.get("a")
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(StoreFailed):
            store.get("a")
    # Each would have waited by itself for 50 ms.
    assert time.monotonic() - begun < 4
    monkeypatch.setattr(stores, "WAIT_SECONDS", 20)
    go_on.set()
    with gevent.Timeout(20):
        while store._begun is not None:
            gevent.sleep(0.001)
    assert store.get("a")
    store.close()


@pytest.mark.parametrize("kind", ["folder", "text", "link", "no folder"])
def test_a_file_that_can_not_be_used_fails(file: Path, kind: str) -> None:
    if kind == "folder":
        file.mkdir()
    elif kind == "text":
        file.write_text("not a database, but long enough to be taken for one" * 100)
    elif kind == "link":
        (file.parent / "elsewhere").touch()
        file.symlink_to(file.parent / "elsewhere")
    store = SqliteStore(file / "below" if kind == "no folder" else file)

    for _ in range(2):
        with pytest.raises(StoreFailed):
            store.get("a")
    if kind == "text":
        assert file.read_text().startswith("not a database")


@pytest.mark.row("MM-05")
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_deleted_while_serving_is_made_anew(file: Path, is_replaced: bool) -> None:
    store = SqliteStore(file)
    assert store.put("a", b"1", 60, 0)

    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()
    other = SqliteStore(file)
    if is_replaced:
        assert other.put("b", b"2", 60, 0)

    assert store.get("a") is None
    assert store.put("c", b"3", 60, 0)
    found = other.get("c")
    assert found and found.data == b"3"
