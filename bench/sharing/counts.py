"""How many turns several workers admit, by clocks that differ, and which places are left over."""

import contextlib
import os
import random
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fake_upstream import FakeUpstream, answer
from redis_servers import RedisServer
from running_server import RunningServer, hooked, post

from sharing.calls import CHAT, KEY, QUESTION, Report, answering, load, serving, until

TRIES = 400
A_MINUTE, A_SECOND = 60, 40
SKEWS = (2.5, -2.5)
"""Seconds by which the clocks of the two machines are wrong."""
CALLERS, PLACES = 8, 6
LEASE_SECONDS = 16.0
ENDINGS = ("heard", "left at once", "left at the head", "left amid words", "half closed")


@contextlib.contextmanager
def machines(upstream: FakeUpstream, redis: RedisServer, **settings: str) -> Iterator[list[RunningServer]]:
    """Yield two servers of two workers each, whose clocks differ by seconds."""
    shared: dict[str, Any] = {"REDIS_URL": redis.url, "WEB_CONCURRENCY": "2", "REDIS_TIMEOUT": "1000", **settings}
    with contextlib.ExitStack() as stack:
        servers = []
        for skew in SKEWS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            wrong = f"import time; right = time.time; time.time = lambda: right() + {skew}"
            servers.append(stack.enter_context(serving(upstream, hooked(folder, wrong), **shared)))
        until(lambda: redis.client.zcard(f"{settings['REDIS_PREFIX']}:workers") == 2 * len(servers), 10)
        yield servers


def admitted(report: Report) -> None:
    """Print how many calls four workers admit in a minute, and in the busiest second of a few."""
    with answering() as upstream, RedisServer() as redis:
        with machines(upstream, redis, RATE_LIMIT=f"{A_MINUTE}/minute", REDIS_PREFIX="minute") as servers:
            served = load(servers, TRIES).count(200)
        name = f"admitted of {TRIES} calls with {A_MINUTE}/minute, 4 workers, 2 clocks"
        report.count(name, served, round(1.05 * A_MINUTE))
        arrivals: list[float] = []

        def heard(_: object) -> list[Any]:
            arrivals.append(time.monotonic())
            return answer("Hello there")

        upstream.script = heard
        with machines(upstream, redis, RATE_LIMIT=f"{A_SECOND}/second", REDIS_PREFIX="second") as servers:
            started = time.monotonic()
            while time.monotonic() - started < 4:
                load(servers, CALLERS, CALLERS)
        busiest = max(sum(first <= other < first + 1 for other in arrivals) for first in arrivals)
        name = f"busiest second at the upstream with {A_SECOND}/second, of {len(arrivals)}"
        report.line(name, f"{busiest} ({busiest / A_SECOND:.2f} x)", f"<= {round(1.05 * A_SECOND)} (1.05 x)")


def places(report: Report) -> None:
    """Print the places that are left after calls that ended in all ways, a reload and a killed worker."""
    counts = dict.fromkeys(ENDINGS, 0)
    settings = {"MAX_STREAMS_PER_KEY": str(PLACES), "REDIS_PREFIX": "places"}
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(answering("one two three four five", interval=0.01))
        redis = stack.enter_context(RedisServer())
        servers = stack.enter_context(machines(upstream, redis, **settings))
        callers = [
            threading.Thread(target=_ending, args=(servers, report.rounds // CALLERS, number, counts))
            for number in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        time.sleep(1)
        servers[0].signal(signal.SIGHUP)
        os.kill(servers[1].worker_pids()[0], signal.SIGKILL)
        for caller in callers:
            caller.join()
        taken = until(lambda: not _left(redis), LEASE_SECONDS)
        name = f"places leaked after {sum(counts.values())} random ends, reload, killed worker"
        report.count(name, _left(redis))
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        report.line("places: all free after", f"{taken or 0:.1f} s", f"<= {LEASE_SECONDS:.0f} s")
        report.line("places: the ends", told)


def _left(redis: RedisServer) -> int:
    return sum(redis.client.zcard(key) for key in redis.client.keys("places:*streams"))


def _ending(servers: list[RunningServer], count: int, seed: int, counts: dict[str, int]) -> None:
    """Ask so many times, and leave in another way each time."""
    chance = random.Random(seed)
    for _ in range(count):
        how = chance.choice(ENDINGS)
        # A server that reloads may refuse, and a worker that is killed takes its connections along.
        with contextlib.suppress(OSError), chance.choice(servers).connect() as connection:
            connection.sendall(post(CHAT, QUESTION, x_api_key=KEY))
            _leave(connection, how, chance)
        counts[how] += 1


def _leave(connection: socket.socket, how: str, chance: random.Random) -> None:
    if how == "left at once":
        time.sleep(chance.choice((0, 0.001, 0.004)))
        return
    if how == "half closed":
        connection.shutdown(socket.SHUT_WR)
    received = connection.recv(65_536)
    if how == "left amid words":
        time.sleep(chance.uniform(0, 0.04))
    while how in ("heard", "half closed") and received and not received.endswith((b"0\r\n\r\n", b"}\n", b"}")):
        received = connection.recv(65_536)
