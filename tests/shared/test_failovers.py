"""Sentinel and a cluster lose a server: real ones, on the loopback."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import gevent
import numpy as np
import pytest
import redis_groups
from redis_servers import RedisServer

from parley.knowledge.redis_vectors import RedisVectors
from parley.knowledge.vector_cache import content_key
from parley.memory.redis_store import RedisStore
from parley.shared import hints, urls
from parley.shared.link import Link, Unanswered

pytestmark = pytest.mark.slow
GENEROUS = 20.0
"""Seconds that a failover may take on a busy machine; on a calm one it takes three."""


def ping(client: Any) -> Any:
    return client.set("t:x", "1")


def seconds_until_answered(link: Link) -> float:
    """Beat and ask as a worker does, until an answer comes."""
    started = time.monotonic()
    while time.monotonic() - started < GENEROUS:
        link.beat()
        asked = time.monotonic()
        with contextlib.suppress(Unanswered):
            link.ask("rate", ping)
            return time.monotonic() - started
        assert time.monotonic() - asked < GENEROUS
        gevent.sleep(0.2)
    raise AssertionError(f"not within {GENEROUS} s")


@pytest.fixture
def behind_sentinel() -> Iterator[tuple[RedisServer, str]]:
    """Yield a master with a replica, and the URL of the sentinel that watches them."""
    with redis_groups.behind_sentinel() as group:
        yield group


@pytest.mark.row("SH-06")
def test_sentinel_leads_to_the_new_master(behind_sentinel: tuple[RedisServer, str]) -> None:
    master, url = behind_sentinel
    link = Link(urls.parse(url), timeout=0.5, prefix="t")
    link.beat()
    assert link.is_up and link.ask("rate", ping)

    master.kill()
    with contextlib.suppress(Unanswered):
        link.ask("rate", ping)
    assert seconds_until_answered(link) < GENEROUS
    vectors = RedisVectors(link)
    vectors.put({b"key": np.ones((1, 2), np.float32)})
    assert vectors.get([b"key"])[b"key"].tolist() == [[1.0, 1.0]]
    assert RedisStore(link, GENEROUS).put("a", b"a", 60, 0)
    assert link.details() == {"redis": "ok", "workers": 1}


@pytest.fixture
def cluster() -> Iterator[list[RedisServer]]:
    """Yield a cluster of three masters; the last server is the replica of the first."""
    with redis_groups.cluster() as nodes:
        yield nodes


@pytest.mark.row("SH-07", "SH-13")
def test_a_cluster_that_loses_a_master_or_all(cluster: list[RedisServer]) -> None:
    port = cluster[1].port
    link = Link(urls.parse(f"redis+cluster://127.0.0.1:{port},127.0.0.1:{cluster[0].port}"), timeout=0.5, prefix="t")
    link.beat()
    assert link.is_up and link.ask("rate", ping)
    # Two keys of one script lie at one node.
    keys = ["t:{one}:limited", "t:{one}:sick"]
    assert link.ask("beat", lambda client: hints.EXCHANGE.run(client, keys, 60_000, 1000, 0, "w", 2, 0))[0]

    cluster[0].kill()
    assert seconds_until_answered(link) < GENEROUS
    store, vectors = RedisStore(link, GENEROUS), RedisVectors(link)
    for key in ("a", "b", "c", "d", "e"):
        assert link.ask("rate", lambda client, key=key: client.set(key, "1"), 5)  # type: ignore[misc]
        assert store.put(key, key.encode(), 60, 0)
        entry = store.get(key)
        assert entry and entry.data == key.encode() and store.delete(key)
    rows = {content_key(str(number)): np.full((1, 2), number, np.float32) for number in range(20)}
    vectors.put(rows)
    assert {key: found.tolist() for key, found in vectors.get(list(rows)).items()} == {
        key: kept.tolist() for key, kept in rows.items()
    }

    for node in cluster:
        node.kill()
    link.beat()
    with pytest.raises(Unanswered):
        link.ask("rate", ping)
    assert not link.is_up
