"""The limits of each key, counted by a worker alone or over all workers; what workers tell one another."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from parley.settings import Settings
from parley.shared.local import LocalPlaces, LocalRate, Places
from parley.upstream.router import Upstream, UpstreamRouter

if TYPE_CHECKING:
    from parley.shared.hints import Hints
    from parley.shared.link import Link


def limits_of(settings: Settings, lasting_name: Callable[[str], str]) -> "tuple[Link | None, Places]":
    """Return the link to Redis, if the settings name one, and the limits of each key: shared with it, else local."""
    if settings.redis_url is None:
        rate = LocalRate(settings.rate_limit) if settings.rate_limit else None
        return None, LocalPlaces(settings.max_streams_per_key, rate)
    # perf: saves 60 ms (a start without Redis)
    from parley.shared import leases, rates

    link = link_of(settings)
    without = settings.limits_without_redis
    shared_rate = rates.SharedRate(link, settings.rate_limit, lasting_name, without) if settings.rate_limit else None
    if not settings.max_streams_per_key:
        return link, LocalPlaces(rate=shared_rate)
    return link, leases.SharedPlaces(link, settings.max_streams_per_key, lasting_name, without, shared_rate)


def hints_of(link: "Link | None", upstream: Upstream) -> "Hints | None":
    """Return the hints between workers on the upstreams; None without Redis, or without an API."""
    if link is None or not isinstance(upstream, UpstreamRouter):
        return None
    from parley.shared.hints import Hints

    return Hints(link, upstream.candidates)


def link_of(settings: Settings, *, counted: bool = True) -> "Link":
    """Return a link to the Redis of REDIS_URL, which has asked nothing yet; `counted` is for workers."""
    from parley.shared.link import Link

    seconds = settings.redis_timeout / 1000
    return Link(settings.redis_url, timeout=seconds, prefix=settings.redis_prefix, counted=counted)
