"""What calls notice of a Redis that is frozen, killed, or replaced by another: callers go on all the time."""

import concurrent.futures
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator

import pytest
import requests
from fake_upstream import FakeUpstream
from redis_groups import behind_sentinel
from redis_groups import cluster as redis_cluster
from redis_servers import RedisServer
from running_server import RunningServer

from sharing.calls import CALLERS, FREE, HEADERS, KEY, Report, answering, failed, load, serving, shown, status_of, until

SLOW_MS = 20
MOST_SECONDS = 20.0
PAUSE_SECONDS = 0.01
FIRST_SLOTS = 5462
"""Slots of a cluster's first node."""


@contextlib.contextmanager
def calling(server: RunningServer, path: str) -> Iterator[list[int]]:
    """Have several callers ask again and again; yield their statuses, which are complete behind the block."""
    over = threading.Event()
    statuses: list[int] = []

    def caller() -> None:
        with requests.Session() as session:
            while not over.wait(PAUSE_SECONDS):
                statuses.append(status_of(session, server, path))

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(caller) for _ in range(CALLERS)]
        try:
            yield statuses
        finally:
            over.set()
    for done in callers:
        done.result()


def details(server: RunningServer) -> dict[str, object]:
    """Return what /ready tells."""
    found: dict[str, object] = requests.get(f"{server.url}/ready", headers=HEADERS, timeout=20).json()["details"]
    return found


def frozen_and_killed(report: Report) -> None:
    """Print the waits and failures of calls while Redis is frozen, and while it is gone."""
    with answering() as upstream, RedisServer() as redis, serving(upstream, **FREE, REDIS_URL=redis.url) as server:
        for kind, begin, end in (("frozen", redis.freeze, redis.thaw), ("killed", redis.kill, redis.start)):
            load([server], report.rounds // 4)
            seen = len(server.request_ends())
            begin()
            served = load([server], report.rounds)
            end()
            back = until(lambda: details(server)["redis"] == "ok", MOST_SECONDS)
            served += load([server], report.rounds // 4)
            ends = server.request_ends()[seen:]
            waits = [one["redis_ms"] for one in ends[: report.rounds]]
            slow = len([wait for wait in waits if wait > SLOW_MS])
            report.line(f"Redis {kind}: longest wait of a turn", f"{max(waits):.1f} ms", "<= 60 ms")
            report.line(f"Redis {kind}: turns that waited above {SLOW_MS} ms, in a worker", str(slow), "<= 8")
            report.count(f"Redis {kind}: failed turns of {len(served)}", failed(served))
            report.line(f"Redis {kind}: shared again after", shown(back), "<= 1.5 s")
            assert ends[-1]["limits"] == "shared", ends[-1]


def sentinel(report: Report) -> None:
    """Print what calls notice of a master that its replica replaces."""
    with _if_there_is(report, "Sentinel"), behind_sentinel(1000) as (master, url), answering() as upstream:
        _replaced(report, "Sentinel, down-after 1 s", upstream, master.kill, REDIS_URL=url)


def cluster(report: Report) -> None:
    """Print what calls notice of a cluster that loses the node of their keys, and its workers' as well."""
    from redis.crc import key_slot

    key = next(key for key in (f"{KEY}-{n}" for n in range(1000)) if key_slot(_digits(key).encode()) < FIRST_SLOTS)
    prefix = next(one for one in (f"p{n}" for n in range(1000)) if key_slot(f"{one}:workers".encode()) < FIRST_SLOTS)
    with redis_cluster(1500) as nodes, answering() as upstream:
        url = f"redis+cluster://127.0.0.1:{nodes[1].port},127.0.0.1:{nodes[0].port}"
        settings = {"REDIS_URL": url, "REDIS_PREFIX": prefix, "API_KEYS": f"{KEY},{key}"}
        HEADERS["x-api-key"] = key
        try:
            _replaced(report, "Cluster, node timeout 1.5 s", upstream, nodes[0].kill, **settings)
        finally:
            HEADERS["x-api-key"] = KEY


def _digits(key: str) -> str:
    """Return the part of a key's names in Redis by which a cluster finds their node."""
    return hashlib.sha256(f"parley:{key}".encode()).hexdigest()[:16]


def _replaced(report: Report, kind: str, upstream: FakeUpstream, fault: Callable[[], None], **settings: str) -> None:
    with serving(upstream, **FREE, **settings) as server:
        until(lambda: details(server)["redis"] == "ok", MOST_SECONDS)
        with calling(server, "/chat/completions") as statuses:
            fault()
            until(lambda: details(server)["redis"] == "down", MOST_SECONDS)
            # Counted from here, where the callers' first questions have failed.
            back = until(lambda: details(server)["redis"] == "ok", MOST_SECONDS)
        waits = [end["redis_ms"] or 0.0 for end in server.request_ends()]
        report.line(f"{kind}: shared again after", shown(back), "<= 5 s")
        slow = len([wait for wait in waits if wait > SLOW_MS])
        report.line(f"{kind}: longest wait of a turn", f"{max(waits):.1f} ms, {slow} above {SLOW_MS} ms", "<= 60 ms")
        report.count(f"{kind}: failed turns of {len(statuses)}", failed(statuses))


@contextlib.contextmanager
def _if_there_is(report: Report, what: str) -> Iterator[None]:
    """Say that a figure is not measured where its server is not installed."""
    try:
        yield
    except pytest.skip.Exception as missing:
        report.line(what, f"not measured: {missing}")
