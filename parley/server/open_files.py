"""Open files of a worker: how many streams the operating system's limit allows, and raising that limit.

A stream holds its caller's connection and its upstream's. Idle connections of callers take files too, as do idle
connections to the upstream and hedged attempts, so each slot counts four files.
"""

import resource

OWN_FILES = 100
"""Files that a worker has open beside connections: log, event loop, metrics, a module that is being imported."""
FILES_PER_STREAM = 4
SPARE_CONNECTIONS = 500
"""Callers' connections beyond two per stream, for health checks and refusals."""


def streams(wanted: int) -> int:
    """Return how many of `wanted` streams the operating system's hard limit allows, at least one."""
    return max(1, min(wanted, (hard_limit() - OWN_FILES) // FILES_PER_STREAM))


def connections(streams: int) -> int:
    """Return how many callers' connections, idle ones included, a worker with so many streams may accept."""
    return max(2, min(2 * streams + SPARE_CONNECTIONS, hard_limit() - OWN_FILES - 2 * streams))


def raise_for(streams: int) -> None:
    """Raise the soft limit of this process and its future children to what so many streams may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(OWN_FILES + FILES_PER_STREAM * streams + SPARE_CONNECTIONS, hard_limit())
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def hard_limit() -> int:
    """Return the number of files that a process may open at most; a very large number if there is no limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 30 if hard == resource.RLIM_INFINITY else hard
