"""Addresses of host names, cached for a minute: a call does not wait for a resolver that was asked a moment ago.

Lookups have a pool of threads of their own, and each name at most one of them: a name whose lookup hangs, for ten
seconds as a rule, holds up neither other names nor other work. A late result is kept for the next call.
"""

import functools
import ipaddress
import socket
import time

from gevent import monkey
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from parley.concurrency import Failure, outcome_of

CACHE_SECONDS = 60.0
"""Seconds for which a lookup is used without asking the resolver again."""
KNOWN_SECONDS = 0.25
"""Seconds for which the resolver is waited for if an earlier lookup's addresses are known."""
THREADS = 10
"""Names that may be looked up at a time."""
Address = tuple[socket.AddressFamily, tuple[str, int]]

_cache: dict[tuple[str, int], tuple[float, list[Address]]] = {}
_lookups: dict[tuple[str, int], "AsyncResult[list[Address] | Failure]"] = {}
# Not gevent's, which would use the pool that it shares with the rest of the process.
_getaddrinfo = monkey.get_original("socket", "getaddrinfo")


def addresses(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, in the resolver's order of preference.

    If the resolver fails or hangs, the addresses of its last success are returned, however old. Raises OSError if there
    was none, and UnicodeError for a name that IDNA cannot encode.
    """
    try:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
        return [(family, (host, port))]
    except ValueError:  # a name
        pass
    expires, known = _cache.get((host, port), (0.0, []))
    if time.monotonic() < expires:
        return known
    lookup = _lookups.get((host, port)) or look_up(host, port)
    lookup.wait(KNOWN_SECONDS if known else None)
    # An upstream moves rarely, resolvers fail often; no new expiry, so that the next call asks again.
    if known and (not lookup.ready() or isinstance(lookup.value, Failure)):
        return known
    outcome: list[Address] | Failure = lookup.value
    if isinstance(outcome, Failure):
        # Another error for each who waits: a shared one would collect the frames of all of them.
        raise type(outcome.error)(*outcome.error.args)
    return outcome


def forget(host: str, port: int) -> None:
    """Drop a host's cached addresses, none of which accepted a connection: the next call looks the name up again."""
    _cache.pop((host, port), None)


@functools.cache
def _threads() -> ThreadPool:
    # Not drained at the process's exit: a lookup that hangs would hold it up.
    return ThreadPool(THREADS)


def look_up(host: str, port: int) -> "AsyncResult[list[Address] | Failure]":
    """Begin to look a name up; its result goes into the cache, whether somebody still waits for it or not."""

    def store(done: "AsyncResult[list[Address] | Failure]") -> None:
        del _lookups[host, port]
        if not isinstance(done.value, Failure):
            _cache[host, port] = (time.monotonic() + CACHE_SECONDS, done.value)

    lookup = _lookups[host, port] = _threads().spawn(outcome_of, resolve, host, port)
    lookup.rawlink(store)
    return lookup


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses that the resolver gives. Runs in a thread."""
    resolved = _getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An IPv6 address comes with flow and scope, which connecting to a global address does not need.
    return [(family, address[:2]) for family, _, _, _, address in resolved]
