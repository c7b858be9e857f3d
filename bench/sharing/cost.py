"""What limits over all workers add to a turn: its first byte, CPU time and questions to Redis.

Turns without and with limits alternate, and the difference of each pair counts: what else the machine does meanwhile
slows both.
"""

import contextlib
import statistics
import time
from collections.abc import Mapping

from fake_upstream import FakeUpstream
from redis_servers import RedisServer
from running_server import RunningServer
from scraping import series, total
from tcp_proxy import TcpProxy

from sharing.calls import FREE, HEADERS, Caller, Report, answering, cpu_seconds, quantile, quantiles, serving

WARM_UP = 100
BLOCKS = 10
"""Stretches of a measurement, of whose CPU times the median counts."""
ROUND_TRIP_MS = 1.0


def first_byte(report: Report) -> None:
    """Print what rate and place add to a turn whose Redis is on this machine."""
    with answering() as upstream, RedisServer() as redis:
        kinds = {"no limits": {}, "in the worker": FREE, "in Redis": {**FREE, "REDIS_URL": redis.url}}
        _compare(report, upstream, kinds, "loopback", ("p50 <= 0.4 ms", "p99 <= 2 ms"))


def far(report: Report) -> None:
    """Print the same with a Redis that is a round trip of a millisecond away."""
    with answering() as upstream, RedisServer() as redis, TcpProxy(redis.port) as proxy:
        proxy.delay = ROUND_TRIP_MS / 2000
        _round_trip(report, proxy)
        kinds = {"no limits": {}, "in Redis": {**FREE, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}"}}
        _compare(report, upstream, kinds, "1 ms away", ("", "p99 <= 5 ms"))


def _round_trip(report: Report, proxy: TcpProxy) -> None:
    import redis

    times = []
    with redis.Redis(port=proxy.port) as client:
        for _ in range(200):
            started = time.perf_counter()
            client.ping()
            times.append((time.perf_counter() - started) * 1000)
    report.line("1 ms away: a ping through the proxy", quantiles(times))


def _compare(
    report: Report,
    upstream: FakeUpstream,
    kinds: Mapping[str, Mapping[str, str]],
    where: str,
    required: tuple[str, str],
) -> None:
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(serving(upstream, **settings)) for kind, settings in kinds.items()}
        times, cpu = _alternate(servers, report.rounds)
        asked = _questions(servers["in Redis"], report.rounds + WARM_UP)
        waits = [end["redis_ms"] or 0.0 for end in servers["in Redis"].request_ends()[WARM_UP:]]
    plain, shared = times["no limits"], times["in Redis"]
    for kind, measured in times.items():
        report.line(f"{where}: first byte, {kind}", quantiles(measured))
    added = statistics.median(after - before for before, after in zip(plain, shared, strict=True))
    report.line(f"{where}: first byte added by rate and place, pairs", f"p50 {added:.2f} ms", required[0])
    late = quantile(shared, 0.99) - quantile(plain, 0.99)
    report.line(f"{where}: first byte added by rate and place, difference", f"p99 {late:.2f} ms", required[1])
    report.line(f"{where}: waited for Redis in a turn", quantiles(waits), required[1])
    for kind in times:
        extra = statistics.median(mine - base for mine, base in zip(cpu[kind], cpu["no limits"], strict=True))
        report.line(f"{where}: CPU of a turn, {kind}", f"{statistics.median(cpu[kind]):.0f} us, {extra:+.0f}", "told")
    report.line(f"{where}: questions of a turn before, after its first byte", f"{asked[0]:.2f}, {asked[1]:.2f}", "told")


def _alternate(
    servers: Mapping[str, RunningServer], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the milliseconds to first bytes, and the microseconds of CPU a turn in each stretch, by kind."""
    callers = {kind: Caller(server) for kind, server in servers.items()}
    for caller in callers.values():
        for _ in range(WARM_UP):
            caller.ask()
    times: dict[str, list[float]] = {kind: [] for kind in servers}
    cpu: dict[str, list[float]] = {kind: [] for kind in servers}
    order = list(servers)
    for _ in range(BLOCKS):
        before = {kind: cpu_seconds(server) for kind, server in servers.items()}
        for _ in range(rounds // BLOCKS):
            # Always in one order: a server that is asked twice running would have its code in the caches.
            for kind in order:
                times[kind].append(callers[kind].ask())
        for kind, server in servers.items():
            cpu[kind].append((cpu_seconds(server) - before[kind]) * 1e6 / (rounds // BLOCKS))
    for caller in callers.values():
        caller.close()
    return times, cpu


def _questions(server: RunningServer, turns: int) -> tuple[float, float]:
    """Return how often a turn asked Redis before its first byte, and behind its end."""
    found = series(server, HEADERS)
    by_op = {op: total(found, "parley_redis_seconds_count", op=op) for op in ("rate", "place", "admit", "give")}
    behind = by_op.pop("give")
    return sum(by_op.values()) / turns, behind / turns
