"""Time of a recall from the memory: get, decode and merge of 40 stored turns with a request, for each store.

    python bench/memory.py

The request brings 16 earlier turns, as a platform with a window of 32 messages does; then the last turn only, for
which all stored turns are put in front. The SQLite file is in /dev/shm; its calls run in a thread. Redis is Valkey from
the tests' wheel, on this machine; the read goes through the link of a worker, a write compares and sets.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent import monkey

monkey.patch_all()

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import planned_upstream  # noqa: E402, F401 - it says where the tests' modules are
from redis_servers import RedisServer  # noqa: E402

from parley.memory.conversation import encode, stored_turn  # noqa: E402
from parley.memory.redis_store import RedisStore  # noqa: E402
from parley.memory.sessions import Sessions  # noqa: E402
from parley.memory.stores import SqliteStore, Store, WorkerStore  # noqa: E402
from parley.shared import urls  # noqa: E402
from parley.shared.link import Link  # noqa: E402

TURNS, IN_WINDOW, ROUNDS = 40, 16, 3_000


def question(number: int) -> str:
    """Return what the user says in a turn."""
    return f"And number {number}, what would that one cost me in a whole year?"


def answer(number: int) -> str:
    """Return what is said in a turn."""
    return f"Number {number} costs ten dollars a month. A year of it is a hundred dollars. Shall I note that for you?"


def request(turns: int) -> list[dict[str, Any]]:
    """Return the messages of a request with so many earlier turns."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are Mia."}]
    for number in range(TURNS - turns, TURNS):
        messages += [{"role": "user", "content": question(number)}, {"role": "assistant", "content": answer(number)}]
    return [*messages, {"role": "user", "content": question(TURNS)}]


def timed(work: Callable[[], object]) -> str:
    """Return the median and the 99th percentile of the work's times, and its CPU time, which no other load changes."""
    times = []
    computed = time.process_time()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1e6)
    cpu = (time.process_time() - computed) / ROUNDS * 1e6
    median, late = statistics.median(times), statistics.quantiles(times, n=100)[98]
    return f"{median:6.1f} µs p50, {late:7.1f} µs p99, {cpu:6.1f} µs of CPU"


def written(store: Store, data: bytes) -> None:
    """Read a session and store it in place of what was read, as a turn does when it has ended."""
    entry = store.get("key")
    assert entry and store.put("key", data, 1800, entry.version)


def main() -> None:
    """Print a line for each store and form of request."""
    stored = [
        stored_turn(question(n), answer(n), answer(n), closed=False, turn="", started=1000.0 + n) for n in range(TURNS)
    ]
    data = encode(stored)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, RedisServer() as server:
        link = Link(urls.parse(server.url), timeout=5, prefix="bench")
        link.beat()
        stores: dict[str, Store] = {
            "worker": WorkerStore(),
            "sqlite": SqliteStore(Path(folder) / "sessions.db"),
            "redis": RedisStore(link, 5),
        }
        for name, store in stores.items():
            assert store.put("key", data, 1800, 0)
            sessions = Sessions(store, ttl=1800)
            for turns in (IN_WINDOW, 0):
                messages = request(turns)
                found = sessions.recall("key", messages, "", mode="full", with_tools=True)
                assert found and len(found.messages) == 2 * TURNS + 2
                figures = timed(lambda: sessions.recall("key", messages, "", mode="full", with_tools=True))  # noqa: B023
                print(f"{name:8} {turns:2} turns in the request: {figures}")
            print(f"{name:8} read and written:       {timed(lambda: written(store, data))}")  # noqa: B023


if __name__ == "__main__":
    main()
