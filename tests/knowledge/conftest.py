"""A real Redis for the cache that vectors of all machines are kept in."""

from redis_links import link, links, patched_client, redis_server, valkey

__all__ = ["link", "links", "patched_client", "redis_server", "valkey"]
