"""Vectors in a real Redis: shared by machines, kept while they are read, believed only if they are vectors."""

import time
from collections.abc import Callable

import gevent
import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import binary
from redis_servers import RedisServer
from structlog.testing import capture_logs

from parley.knowledge import redis_vectors
from parley.knowledge.documents import Passage
from parley.knowledge.index import Query, build
from parley.knowledge.postings import Floats
from parley.knowledge.redis_vectors import AT_ONCE, KEPT_SECONDS, MAX_BYTES, RedisVectors, decode, encode
from parley.knowledge.semantic import Calibration, SemanticIndex
from parley.knowledge.vector_cache import content_key
from parley.shared.link import CONNECTIONS, Link, Unanswered
from parley.turn_record import TurnRecord

Links = Callable[..., Link]
ONE, TWO = content_key("encoder", "", "one"), content_key("encoder", "", "two")
VECTORS = {ONE: np.array([[0.5, -1.0], [0.25, 2.0]], np.float32), TWO: np.array([[1.0, 0.0]], np.float32)}
WHOLE = {key: rows.tolist() for key, rows in VECTORS.items()}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine fails no test that is not about waiting."""
    monkeypatch.setattr(redis_vectors, "SECONDS", 20.0)


def found(cache: RedisVectors) -> dict[bytes, list[list[float]]]:
    return {key: rows.tolist() for key, rows in cache.get([*VECTORS, b"three"]).items()}


def test_machines_find_one_anothers_vectors(links: Links, redis_server: RedisServer) -> None:
    RedisVectors(links()).put(VECTORS)

    assert found(RedisVectors(links())) == WHOLE
    assert set(redis_server.client.keys("t:v:*")) == {f"t:v:{key.hex()}" for key in VECTORS}


def test_what_is_read_is_kept_for_another_while(link: Link, redis_server: RedisServer) -> None:
    cache, name = RedisVectors(link), f"t:v:{ONE.hex()}"
    cache.put(VECTORS)
    redis_server.client.expire(name, 100)

    assert found(cache) == WHOLE
    assert redis_server.client.ttl(name) > KEPT_SECONDS - 100


def test_many_are_read_and_written_in_portions(link: Link) -> None:
    many = {content_key(str(number)): VECTORS[TWO] * number / 100 for number in range(3 * AT_ONCE + 1)}
    cache = RedisVectors(link)
    cache.put(many)
    cache.close()

    assert {key: rows.shape for key, rows in cache.get(list(many)).items()} == {key: (1, 2) for key in many}
    assert cache.get([]) == {}


POISON = {
    "a word": b"pickle",
    "one byte": b"\x02",
    "no rows": b"\x02\x00",
    "no dimensions": b"\x00\x00" + b"\x00" * 8,
    "half a row": b"\x02\x00" + b"\x00" * 6,
    "not a number": b"\x01\x00" + np.array([np.nan], "<f2").tobytes(),
    "infinite": b"\x01\x00" + np.array([np.inf], "<f2").tobytes(),
    "too large": b"\x02\x00" + b"\x00" * MAX_BYTES,
}


@pytest.mark.row("SH-15")
@pytest.mark.parametrize("poison", [*POISON, "a list"])
def test_what_is_no_vector_is_told_once_and_replaced(link: Link, redis_server: RedisServer, poison: str) -> None:
    cache = RedisVectors(link)
    for key in VECTORS:
        if poison == "a list":
            redis_server.client.rpush(f"t:v:{key.hex()}", "words")
        else:
            redis_server.client.set(f"t:v:{key.hex()}", POISON[poison])

    with capture_logs() as logged:
        assert found(cache) == found(cache) == {}
        cache.put(VECTORS)
        assert found(cache) == WHOLE

    assert [line["event"] for line in logged] == ["embeddings_cache_dropped"] and link.is_up


@given(binary(max_size=64))
def test_any_bytes_are_finite_rows_or_nothing(data: bytes) -> None:
    rows = decode(data)
    assert rows is None or (np.isfinite(rows).all() and rows.ndim == 2 and encode(rows) is not None)


@pytest.mark.parametrize(
    "rows",
    [np.full((1, 2), np.nan), np.full((1, 2), 1e6), np.zeros((1, 70_000)), np.zeros((2000, 1000))],
    ids=["not a number", "beyond 16 bits", "too many dimensions", "too large"],
)
def test_what_could_not_be_read_again_is_not_written(link: Link, redis_server: RedisServer, rows: Floats) -> None:
    RedisVectors(link).put({ONE: rows.astype(np.float32), TWO: VECTORS[TWO]})

    assert redis_server.client.keys("t:v:*") == [f"t:v:{TWO.hex()}"]


@pytest.mark.row("SH-13")
def test_a_frozen_redis_costs_encoding_anew(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = links()
    cache = RedisVectors(link)
    cache.put(VECTORS)
    monkeypatch.setattr(redis_vectors, "SECONDS", 0.05)
    link.timeout = 0.05
    with redis_server.frozen(), capture_logs() as logged:
        started = time.monotonic()
        for _ in range(50):
            assert found(cache) == {}
            cache.put(VECTORS)
        assert time.monotonic() - started < 10
    assert [line["event"] for line in logged] == ["redis_down"]


def test_a_server_without_memory_is_told(link: Link, redis_server: RedisServer) -> None:
    redis_server.client.config_set("maxmemory", "1")
    try:
        with capture_logs() as logged:
            for _ in range(3):
                RedisVectors(link).put(VECTORS)
    finally:
        redis_server.client.config_set("maxmemory", "0")
    assert [line["event"] for line in logged] == ["redis_down"] and "maxmemory" in logged[0]["reason"]


def test_bases_that_are_filled_leave_callers_their_connections(links: Links, redis_server: RedisServer) -> None:
    link = links()
    cache = RedisVectors(link)
    with redis_server.frozen():
        filling = [gevent.spawn(cache.put, VECTORS) for _ in range(20)]
        gevent.sleep(0.1)
        assert link._gate.counter == CONNECTIONS - 1
    gevent.joinall(filling, raise_error=True)

    # Whoever has no time left of its own for Redis is not in the way of the vectors, either.
    record = TurnRecord("rag", "r")
    Link.begin_turn(record)
    record.redis_ms = 1e6
    with pytest.raises(Unanswered):
        link.ask("rate", lambda client: client.ping())
    assert found(cache) == WHOLE and record.redis_ms == 1e6


class Meaning:
    """An encoder of two dimensions, which counts what it is asked for."""

    name, batch = "meaning", 4
    calibration = Calibration(0.1, 0.0)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def passages(self, texts: list[str]) -> Floats:
        self.asked += texts
        return np.array([[1.0, 0.0] for _ in texts], np.float32)

    query = passages

    def run_in_thread(self, work: Callable[[], object]) -> object:
        return work()


def test_passages_come_from_redis_and_questions_never_go_there(links: Links, redis_server: RedisServer) -> None:
    passages = [Passage(str(number), "", f"Passage number {number}.", "a.json", {}) for number in range(6)]
    names = []
    for encoded in (6, 0):
        encoder = Meaning()
        index = SemanticIndex(build(passages), encoder, RedisVectors(links()))  # type: ignore[arg-type]
        while not index.ready:
            index.fill()
        assert len(encoder.asked) == encoded
        assert index.search(Query("What is number three?"), 2)
        assert len(encoder.asked) == encoded + 1
        names.append(set(redis_server.client.keys("t:v:*")))
    assert names[0] == names[1] and len(names[0]) == 6
