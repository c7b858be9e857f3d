"""Sentinel and a cluster lose a server: real ones, on the loopback."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import redis_groups
from redis_servers import RedisServer

from parley.shared import urls
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
        assert time.monotonic() - asked < 1
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
    assert link.details() == {"redis": "ok", "workers": 1}


@pytest.fixture
def cluster() -> Iterator[list[RedisServer]]:
    """Yield a cluster of three masters; the last server is the replica of the first."""
    with redis_groups.cluster() as nodes:
        yield nodes


@pytest.mark.row("SH-07")
def test_a_cluster_that_loses_a_master_or_all(cluster: list[RedisServer]) -> None:
    port = cluster[1].port
    link = Link(urls.parse(f"redis+cluster://127.0.0.1:{port},127.0.0.1:{cluster[0].port}"), timeout=0.5, prefix="t")
    link.beat()
    assert link.is_up and link.ask("rate", ping)

    cluster[0].kill()
    assert seconds_until_answered(link) < GENEROUS
    for key in ("a", "b", "c", "d", "e"):
        assert link.ask("rate", lambda client, key=key: client.set(key, "1"), 5)  # type: ignore[misc]

    for node in cluster:
        node.kill()
    link.beat()
    with pytest.raises(Unanswered):
        link.ask("rate", ping)
    assert not link.is_up
