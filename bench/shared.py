"""What limits over all workers cost, and what calls notice of a Redis that fails: printed beside what is required.

    make bench-shared            ROUNDS=1000 calls of each kind

Redis is Valkey from the tests' wheel, on this machine. Times are those of the server's own log lines (`first_ms`,
`redis_ms`), so that the clock is none of the load's. Only counts are asserted: exit 1 if one is broken.
"""

import argparse
import concurrent.futures
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import planned_upstream  # noqa: F401 - it says where the tests' modules are
import requests
from fake_upstream import FakeUpstream, answer
from redis_servers import RedisServer
from running_server import RunningServer, running_server

KEY = "bench-key-0123456789"
CHAT = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": True}
FREE = {"RATE_LIMIT": "1000000/minute", "MAX_STREAMS_PER_KEY": "1000"}
CALLERS = 4
MOST_TRIES = 400
LIMIT = 60
LEASE_SECONDS = 16


def call(session: requests.Session, server: RunningServer) -> int:
    """Return the status of a call that is heard to its end."""
    done = session.post(f"{server.url}/chat/completions", json=CHAT, headers={"x-api-key": KEY}, timeout=30)
    return done.status_code


def load(servers: list[RunningServer], count: int, callers: int = CALLERS) -> list[int]:
    """Return the statuses of so many calls, from several callers at once; the servers take turns."""

    def caller(number: int) -> list[int]:
        with requests.Session() as session:
            return [call(session, servers[(number + i) % len(servers)]) for i in range(count // callers)]

    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        return [status for part in pool.map(caller, range(callers)) for status in part]


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the largest value."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1]


@contextlib.contextmanager
def serving(upstream: FakeUpstream, **settings: str) -> Iterator[RunningServer]:
    """Yield a server with these settings."""
    env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-upstream-0123456789", "API_KEYS": KEY, **settings}
    with running_server(env) as server:
        yield server


def first_bytes(server: RunningServer, rounds: int) -> list[float]:
    """Return the milliseconds to the first byte of so many calls, one after the other."""
    load([server], rounds // 10, 1)
    seen = len(server.request_ends())
    load([server], rounds, 1)
    return [end["first_ms"] for end in server.request_ends()[seen:]]


def show(what: str, got: str, required: str) -> None:
    """Print one figure."""
    print(f"{what:58} {got:34} {required}", flush=True)


def measure_cost(upstream: FakeUpstream, redis: RedisServer, rounds: int) -> None:
    """Print what rate and place add to the first byte."""
    kinds: dict[str, dict[str, str]] = {
        "no limits": {},
        "in the worker": FREE,
        "in Redis": {**FREE, "REDIS_URL": redis.url},
    }
    medians: dict[str, tuple[float, float, float]] = {}
    for kind, settings in kinds.items():
        with serving(upstream, **settings) as server:
            medians[kind] = percentiles(first_bytes(server, rounds))
            waits = [end["redis_ms"] or 0.0 for end in server.request_ends()]
        show(f"first byte, {kind}", "p50 {:.1f} p99 {:.1f} max {:.1f} ms".format(*medians[kind]), "")
    added = medians["in Redis"][0] - medians["no limits"][0]
    show("first byte added by rate and place", f"p50 {added:.1f} ms", "p50 <= 0.4 ms")
    show("waited for Redis in a call", "p50 {:.1f} p99 {:.1f} max {:.1f} ms".format(*percentiles(waits)), "p99 <= 2 ms")


def measure_faults(upstream: FakeUpstream, rounds: int) -> list[str]:
    """Print what calls notice of a frozen and of a killed Redis; return broken promises."""
    broken = []
    with RedisServer() as redis, serving(upstream, **FREE, REDIS_URL=redis.url) as server:
        for kind, begin, end in (("frozen", redis.freeze, redis.thaw), ("killed", redis.kill, redis.start)):
            load([server], rounds // 4)
            seen = len(server.request_ends())
            begin()
            served = load([server], rounds)
            end()
            waits = [one["redis_ms"] for one in server.request_ends()[seen:]]
            failed = len(served) - served.count(200)
            slow = len([wait for wait in waits if wait > 20])
            show(
                f"Redis {kind}: longest wait of {len(served)} calls",
                f"{max(waits):.1f} ms, {slow} above 20 ms",
                "<= 60, <= 8",
            )
            show(f"Redis {kind}: failed calls", str(failed), "0")
            broken += [f"{failed} calls failed while Redis was {kind}"] * bool(failed)
            back = time.monotonic()
            while call(requests.Session(), server) == 200 and server.request_ends()[-1]["limits"] != "shared":
                time.sleep(0.05)
            show(f"Redis {kind}: shared again after", f"{time.monotonic() - back:.1f} s", "<= 1.5 s")
    return broken


def measure_counts(upstream: FakeUpstream, redis: RedisServer, rounds: int) -> list[str]:
    """Print over-admission and leaked places of two servers with two workers each; return broken promises."""
    settings: dict[str, Any] = {"REDIS_URL": redis.url, "WEB_CONCURRENCY": "2", "REDIS_TIMEOUT": "1000"}
    broken = []
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serving(upstream, **settings, RATE_LIMIT=f"{LIMIT}/minute", REDIS_PREFIX="rate"))
            for _ in range(2)
        ]
        admitted = load(servers, MOST_TRIES).count(200)
        show(
            f"admitted of {MOST_TRIES} calls with {LIMIT}/minute, 4 workers", str(admitted), f"<= {round(LIMIT * 1.05)}"
        )
        broken += [f"{admitted} calls admitted"] * (admitted > LIMIT * 1.05)
    with contextlib.ExitStack() as stack:
        options = {**settings, "MAX_STREAMS_PER_KEY": "3", "REDIS_PREFIX": "places"}
        servers = [stack.enter_context(serving(upstream, **options)) for _ in range(2)]
        load(servers, rounds, 8)
        deadline = time.monotonic() + LEASE_SECONDS
        while (left := sum(redis.client.zcard(key) for key in redis.client.keys("places:*streams"))) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.1)
        show(f"places leaked after {rounds} calls of 8 callers for 3 places", str(left), "0")
        broken += [f"{left} places leaked"] * bool(left)
    return broken


def main() -> None:
    """Measure, and exit with 1 if a promised count is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    with FakeUpstream() as upstream, RedisServer() as redis:
        upstream.script = answer("Hello there")
        measure_cost(upstream, redis, rounds)
        broken = measure_faults(upstream, rounds) + measure_counts(upstream, redis, rounds)
    for promise in broken:
        print(f"BROKEN: {promise}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
