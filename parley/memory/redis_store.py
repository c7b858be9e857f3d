"""The store of sessions in Redis, for the workers of all machines.

    PREFIX:{m:KEY}    a hash of `version` and `data`, which is gone `MEMORY_TTL` seconds after the last write

A session is written in one step with the comparison of its version, so that no writer takes another one's turn away.
What is stored in any other form, by whomever, counts as nothing: it is not fetched, and the next write takes its place.
"""

import secrets
from collections.abc import Callable
from typing import Any

from parley.memory.conversation import MAX_BYTES
from parley.memory.stores import Entry, StoreFailed
from parley.shared.link import Link, Script, Unanswered

WRITE_SECONDS = 0.5
"""Longest time in seconds of a question for which no caller waits on the phone."""

VERSION = """
local function version_of(key, most)
    if redis.call('TYPE', key).ok ~= 'hash' then return '0' end
    local found, size = redis.call('HGET', key, 'version'), redis.call('HSTRLEN', key, 'data')
    if not found or #found > 19 or not string.find(found, '^[1-9]%d*$') then return '0' end
    if size == 0 or size > tonumber(most) then return '0' end
    return found
end
"""
"""Start of a script that compares versions: that of a key, 0 for nothing and for whatever is not a session."""
READ = Script(
    VERSION
    + """
    local version = version_of(KEYS[1], ARGV[1])
    if version ~= '0' then return {version, redis.call('HGET', KEYS[1], 'data')} end
    if redis.call('EXISTS', KEYS[1]) == 1 then return {version, ''} end
    return false
    """
)
"""Return version and data of at most so many bytes; version 0 without data for whatever is not a session."""
WRITE = Script(
    VERSION
    + """
    if version_of(KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('UNLINK', KEYS[1])
    redis.call('HSET', KEYS[1], 'version', ARGV[3], 'data', ARGV[4])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    return 1
    """
)
"""Store data in place of this version, for so many milliseconds; return 1 unless the version is another one."""


class RedisStore:
    """Sessions in the Redis behind a link.

    `seconds` is the longest time of a question; None for what is left of the turn's budget.
    """

    def __init__(self, link: Link, seconds: float | None = None) -> None:
        self._link = link
        self._seconds = seconds

    def get(self, key: str) -> Entry | None:
        """Return what is stored, if its time is not over; version 0 and no data where that is not a session."""
        found = self._ask(lambda client: READ.run(client, self._name(key), MAX_BYTES))
        return Entry(bytes(found[1]), int(found[0])) if found else None

    def put(self, key: str, data: bytes, ttl: float, version: int) -> bool:
        """Store data for `ttl` seconds; return false if the stored version is not this one."""
        name, new, milliseconds = self._name(key), secrets.randbits(62) + 1, max(1, round(ttl * 1000))
        return bool(
            self._ask(lambda client: WRITE.run(client, name, MAX_BYTES, str(version), str(new), data, milliseconds))
        )

    def delete(self, key: str) -> bool:
        """Return true if something was stored; it is gone."""
        return bool(self._ask(lambda client: client.unlink(self._name(key))))

    def close(self) -> None:
        """Do nothing: the connections are the worker's."""

    def _name(self, key: str) -> str:
        # The braces put the key at one node of a cluster, whatever else may once be kept of a session.
        return f"{self._link.prefix}:{{m:{key}}}"

    def _ask(self, work: Callable[[Any], Any]) -> Any:
        """Return the result of the work. Raises StoreFailed."""
        try:
            return self._link.ask("memory", work, self._seconds)
        except Unanswered as failure:
            raise StoreFailed(f"Redis gives no answer: {failure.reason}") from None
