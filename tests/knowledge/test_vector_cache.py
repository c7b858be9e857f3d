"""The vector cache: locks of other processes, broken files, and an event loop that goes on meanwhile."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import numpy as np
import pytest
from structlog.testing import capture_logs

from parley.knowledge import vector_cache
from parley.knowledge.vector_cache import VectorCache, content_key

VECTORS = {b"one": np.array([[0.5, -1.0], [0.25, 2.0]], np.float32), b"two": np.array([[1.0, 0.0]], np.float32)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inside" / "embeddings.sqlite"


@pytest.fixture
def cache(file: Path) -> Iterator[VectorCache]:
    made = VectorCache(file)
    yield made
    made.close()


def filled(file: Path) -> None:
    with contextlib.closing(VectorCache(file)) as cache:
        cache.put(VECTORS)


def execute(file: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, contextlib.suppress(sqlite3.OperationalError), database:
        database.execute(statement)


def found(cache: VectorCache) -> dict[bytes, list[list[float]]]:
    return {key: rows.tolist() for key, rows in cache.get([*VECTORS, b"three"]).items()}


WHOLE = {key: rows.tolist() for key, rows in VECTORS.items()}


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the file's write lock, as another process would."""
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.rollback()


def turns_of_the_loop(seconds: float, work: gevent.Greenlet) -> int:
    """Return how often another greenlet had its turn until the work had ended."""
    turns = 0
    with gevent.Timeout(seconds):
        while not work.ready():
            gevent.sleep(0.005)
            turns += 1
    return turns


def test_vectors_are_found_again(file: Path, cache: VectorCache) -> None:
    filled(file)

    assert found(cache) == WHOLE


def test_two_caches_share_one_file(file: Path, cache: VectorCache) -> None:
    with contextlib.closing(VectorCache(file)) as other:
        cache.put(VECTORS)

        assert found(other) == WHOLE
    cache.close()
    assert found(cache) == WHOLE


def test_after_closing_all_is_in_the_one_file(file: Path) -> None:
    filled(file)

    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["get", "put"])
def test_a_lock_of_another_process_stops_no_stream(
    file: Path, cache: VectorCache, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(vector_cache, "WAIT_SECONDS", 2.0)
    filled(file)
    execute(file, "PRAGMA journal_mode=DELETE")  # in which not even readers get in
    with locked(file), capture_logs() as logged:
        work = gevent.spawn(lambda: found(cache) if method == "get" else cache.put({b"three": VECTORS[b"two"]}))
        turns = turns_of_the_loop(30, work)

    assert turns > 20 and work.value in ({}, None) and logged == []
    assert found(cache) == WHOLE


def test_while_another_process_writes_the_file_is_read(file: Path, cache: VectorCache) -> None:
    filled(file)

    with locked(file):
        assert found(cache) == WHOLE


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b"no database, and longer than a header of one hundred bytes " * 4),
        lambda file: file.write_bytes(file.read_bytes()[:5000] + b"\xff" * 9000),
        lambda file: execute(file, "UPDATE vectors SET size = 0"),
        lambda file: execute(file, "UPDATE vectors SET data = x'00'"),
        lambda file: execute(file, "UPDATE vectors SET data = 'text'"),
        lambda file: execute(file, "ALTER TABLE vectors RENAME COLUMN size TO width"),
    ],
    ids=["no database", "overwritten", "no columns", "half a number", "a text", "another table"],
)
def test_a_broken_file_is_replaced_and_the_log_says_so_once(
    file: Path, cache: VectorCache, spoil: Callable[[Path], None]
) -> None:
    filled(file)
    spoil(file)

    with capture_logs() as logged:
        for _ in range(2):
            found(cache)
            cache.put(VECTORS)
            assert found(cache) == WHOLE
            cache.close()
            spoil(file)
        found(cache)

    assert [line["event"] for line in logged] == ["embeddings_cache_dropped"]


def test_a_file_in_a_folder_that_cannot_be_written_is_read(
    file: Path, cache: VectorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(file)
    # Not by its mode: whoever runs the tests may be allowed everything.
    monkeypatch.setattr(vector_cache.os, "access", lambda _path, _mode: False)

    cache.put({b"three": VECTORS[b"two"]})

    assert found(cache) == WHOLE
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_without_a_file_nothing_is_kept() -> None:
    cache = VectorCache(None)
    cache.put(VECTORS)
    cache.close()

    assert found(cache) == {}


def test_content_keys_tell_contents_apart() -> None:
    assert content_key("a", "bc") != content_key("ab", "c")
