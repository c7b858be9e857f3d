"""How many files a worker may have open, and how many streams that carries.

A stream holds its caller's connection and its upstream's. Idle connections of callers take files too, as do kept
connections and hedges on the upstream's side: so each slot counts four files.
"""

import resource

OWN_FILES = 100
"""What a worker has open beside connections: its log, its event loop, metrics, a module being imported."""
_FILES_A_STREAM = 4
_SPARE_CONNECTIONS = 500
"""Callers' connections beyond two a stream, for health checks and refusals."""


def streams(wanted: int) -> int:
    """As many of the wanted streams as the operating system's hard limit allows, at least one."""
    return max(1, min(wanted, (_hard_limit() - OWN_FILES) // _FILES_A_STREAM))


def connections(streams: int) -> int:
    """Callers' connections at once for so many streams; idle ones are among them."""
    return max(2, min(2 * streams + _SPARE_CONNECTIONS, _hard_limit() - OWN_FILES - 2 * streams))


def raise_for(streams: int) -> None:
    """Let this process and those that it forks open the files that so many streams may take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(OWN_FILES + _FILES_A_STREAM * streams + _SPARE_CONNECTIONS, _hard_limit())
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _hard_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 30 if hard == resource.RLIM_INFINITY else hard
