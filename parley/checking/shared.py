"""Checks of Redis, where REDIS_URL names one (SH)."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from parley.checking.probe import Probe
from parley.checking.report import Outcome, block, fail, ok, warn
from parley.settings import Settings

SECONDS = 3.0
"""Longest time for anything that is asked, in seconds."""
PINGS = 5
"""Questions of which the median tells the distance."""
KEY = "doctor"
"""Name in place of a caller's, under which all is tried."""


def servers(probe: Probe) -> Sequence[Probe]:
    """Return the examination as the one subject, none without a REDIS_URL."""
    return [probe] if probe.settings.redis_url else []


def reach(probe: Probe) -> Iterator[Outcome]:
    """Tell whether Redis answers, how far away it is, and who could listen."""
    from parley.shared import urls

    settings = probe.settings
    if fault := urls.missing_package():
        yield block(fault)
        return
    try:
        took = distance(settings.redis_url)
    except Exception as exc:  # noqa: BLE001 - the library's errors have no common root
        yield block(f"{settings.redis_url.shown}: {type(exc).__name__}: {exc}", "correct REDIS_URL, or start Redis")
        return
    said = f"{settings.redis_url.shown} answers in {took:.1f} ms"
    # A turn may ask twice, each time for more than a ping.
    if took > settings.redis_timeout / 4:
        yield warn(said, f"REDIS_TIMEOUT={min(1000, round(took * 6))}, or a Redis that is nearer", ms=took)
    else:
        yield ok(said, ms=took)
    for warning in settings.redis_url.warnings:
        yield warn(warning, "use rediss:// with a certificate that can be verified")


def distance(address: Any) -> float:
    """Return the median time of a question, in milliseconds. Raises what the library raises."""
    from parley.shared import urls

    client = urls.connect(address, SECONDS)
    try:
        # The first question opens the connection.
        client.ping()
        times = []
        for _ in range(PINGS):
            started = time.perf_counter()
            client.ping()
            times.append((time.perf_counter() - started) * 1000)
        return statistics.median(times)
    finally:
        client.close()


def rights(probe: Probe) -> Iterator[Outcome]:
    """Try everything that a worker does, under a name of no caller's, and remove it; behind a refusal it expires."""
    from parley.shared import hints, leases, link, rates, urls

    settings = probe.settings
    client = urls.connect(settings.redis_url, SECONDS)
    # The braces keep all keys of one name at one node of a cluster.
    start = f"{settings.redis_prefix}:{{{KEY}}}"
    told = [f"{start}:limited", f"{start}:sick"]
    # The scripts of the workers themselves: a right that only a script needs shows nowhere else.
    steps: dict[str, Callable[[], Any]] = {
        "counting workers": lambda: link.REGISTER.run(client, f"{start}:workers", KEY, link.FORGOTTEN_MS),
        "RATE_LIMIT": lambda: rates.TAKE.run(client, f"{start}:rate", 1000, "100000", rates.SLICES),
        "MAX_STREAMS_PER_KEY": lambda: leases.TAKE.run(client, f"{start}:streams", 1000, 1000, KEY),
        "renewing places": lambda: leases.RENEW.run(client, f"{start}:streams", 1000, "XX", KEY),
        "giving places back": lambda: client.zrem(f"{start}:streams", KEY),
        "hints on upstreams": lambda: hints.EXCHANGE.run(client, told, hints.MOST_MS, 1000, 1000, KEY, 2, 0),
        **memory_steps(settings, client, f"{start}:m"),
        **vector_steps(settings, client, f"{start}:v"),
    }
    try:
        # In the order in which a call needs them: behind the first refusal the others tell nothing new.
        for name, step in steps.items():
            try:
                step()
            except Exception as exc:  # noqa: BLE001 - as in `reach`
                yield fail(f"{name}: {exc}", "see docs/security.md for the rights that its user needs")
                return
        for key in (f"{start}:workers", f"{start}:rate", *told):
            client.delete(key)
    finally:
        client.close()
    yield ok("its user may do all that is asked of it")


def memory_steps(settings: Settings, client: Any, key: str) -> dict[str, Callable[[], Any]]:
    """Return what a worker does with a session, none where sessions are kept elsewhere."""
    if settings.memory_store.kind != "redis":
        return {}
    from parley.memory.conversation import MAX_BYTES
    from parley.memory.redis_store import READ, WRITE

    return {
        "MEMORY_STORE, writing": lambda: WRITE.run(client, key, MAX_BYTES, "0", "1", "[]", 1000),
        "MEMORY_STORE, reading": lambda: READ.run(client, key, MAX_BYTES),
        "MEMORY_STORE, deleting": lambda: client.unlink(key),
    }


def vector_steps(settings: Settings, client: Any, key: str) -> dict[str, Callable[[], Any]]:
    """Return what a worker does with embeddings, none where they are kept elsewhere."""
    if settings.embeddings_cache != "redis":
        return {}
    return {
        "EMBEDDINGS_CACHE, writing": lambda: client.set(key, b"1", ex=1),
        "EMBEDDINGS_CACHE, reading": lambda: (client.getrange(key, 0, 1), client.expire(key, 1)),
        "EMBEDDINGS_CACHE, removing": lambda: client.unlink(key),
    }
