"""The memory of conversations in the store that the settings name."""

from typing import TYPE_CHECKING

from parley.memory.sessions import Sessions
from parley.memory.stores import SqliteStore, WorkerStore
from parley.settings import Settings

if TYPE_CHECKING:
    from parley.shared.link import Link


def sessions_of(settings: Settings, link: "Link | None") -> Sessions:
    """Return the memory, in the Redis behind the link, in a file, or in the worker."""
    kept_in, ttl = settings.memory_store, settings.memory_ttl
    if kept_in.kind == "redis" and link:
        # perf: saves 60 ms (a start without Redis)
        from parley.memory.redis_store import WRITE_SECONDS, RedisStore

        return Sessions(RedisStore(link, WRITE_SECONDS), ttl=ttl, reader=RedisStore(link))
    return Sessions(SqliteStore(kept_in.path) if kept_in.kind == "sqlite" else WorkerStore(), ttl=ttl)
