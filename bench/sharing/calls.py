"""Callers, servers and the table of all parts."""

import concurrent.futures
import contextlib
import math
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import planned_upstream  # noqa: F401 - it says where the tests' modules are
import requests
from fake_upstream import FakeUpstream, answer
from running_server import RunningServer, post, running_server

KEY = "bench-key-0123456789"
HEADERS = {"x-api-key": KEY}
CHAT, RAG = "/chat/completions", "/rag/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": True, "waiting": "off"}
FREE = {"RATE_LIMIT": "1000000/minute", "MAX_STREAMS_PER_KEY": "1000"}
"""Limits that nobody reaches."""
CALLERS = 4


@dataclass
class Report:
    """The lines as they are printed, and the counts that were promised and broken."""

    rounds: int
    passages: int
    broken: list[str] = field(default_factory=list)

    def line(self, name: str, measured: str, required: str = "") -> None:
        """Print one figure."""
        print(f"{name:<62} | {measured:<44} | {required}", flush=True)

    def count(self, name: str, measured: int, most: int = 0) -> None:
        """Print a count, which is a broken promise if it is larger than `most`."""
        self.line(name, str(measured), f"<= {most}" if most else "0")
        if measured > most:
            self.broken.append(f"{name}: {measured}")


class Caller:
    """One caller on a connection of its own, without a library whose own time would count."""

    def __init__(self, server: RunningServer, path: str = CHAT) -> None:
        self._connection = server.connect()
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._question = post(path, QUESTION, x_api_key=KEY)

    def ask(self) -> float:
        """Hear one answer to its end; return the milliseconds to its first byte."""
        started = time.perf_counter()
        self._connection.sendall(self._question)
        received = self._connection.recv(65_536)
        first = time.perf_counter() - started
        assert received.startswith(b"HTTP/1.1 200"), received
        while not received.endswith(b"0\r\n\r\n"):
            received += self._connection.recv(65_536)
        return first * 1000

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def load(
    servers: Sequence[RunningServer], count: int, callers: int = CALLERS, path: str = CHAT, pause: float = 0.0
) -> list[int]:
    """Return the statuses of so many calls, from several callers at once; the servers take turns."""

    def caller(number: int) -> list[int]:
        statuses = []
        with requests.Session() as session:
            for i in range(count // callers):
                statuses.append(status_of(session, servers[(number + i) % len(servers)], path))
                time.sleep(pause)
        return statuses

    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        return [status for part in pool.map(caller, range(callers)) for status in part]


def status_of(session: requests.Session, server: RunningServer, path: str = CHAT) -> int:
    """Return the status of a call that is heard to its end; 0 for one that broke off."""
    try:
        done = session.post(f"{server.url}{path}", json=QUESTION, headers=HEADERS, timeout=30)
    except requests.RequestException:
        return 0
    return done.status_code if done.status_code != 200 or done.content.endswith(b"data: [DONE]\n\n") else 0


def failed(statuses: Sequence[int]) -> int:
    """Return how many calls were not answered as they should be."""
    return len(statuses) - statuses.count(200)


@contextlib.contextmanager
def answering(text: str = "Hello there", interval: float = 0.0) -> Iterator[FakeUpstream]:
    """Yield an upstream that says the same to everybody."""
    with FakeUpstream() as upstream:
        upstream.script = answer(text, interval=interval)
        yield upstream


@contextlib.contextmanager
def serving(upstream: FakeUpstream, argv: Sequence[str] = (), **settings: str) -> Iterator[RunningServer]:
    """Yield a server with these settings."""
    env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-upstream-0123456789", "API_KEYS": KEY, **settings}
    with running_server(env, argv=argv) as server:
        yield server


def until(holds: Callable[[], object], seconds: float) -> float | None:
    """Return the seconds until it is true; None if it does not become true in time."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            return None
        time.sleep(0.005)
    return time.monotonic() - started


def shown(seconds: float | None) -> str:
    """Return seconds as they are printed."""
    return "never" if seconds is None else f"{seconds:.2f} s"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def quantiles(values: Sequence[float], unit: str = "ms") -> str:
    """Return the median, the 99th percentile and the largest value."""
    return f"p50 {statistics.median(values):.2f}, p99 {quantile(values, 0.99):.2f}, max {max(values):.2f} {unit}"


def cpu_seconds(server: RunningServer) -> float:
    """Return the user and system time of a server's workers so far."""
    return sum(_schedstat(pid, 0) for pid in server.worker_pids())


def _schedstat(pid: int, column: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[column]) for thread in threads) / 1e9
