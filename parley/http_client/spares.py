"""Spare connections: opened ahead of the requests of one upstream, which then need no TLS handshake.

    trying    one is opened and must stand for a moment, then all the others: after 1, 2, 4 ... 300 s again if it fails
    standing  looked at every 20 s, and as soon as a connection is closed that a request has used up

An upstream that closes idle connections between two looks is looked at less and less often: its spares are of no use.
"""

import ssl
import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from parley.concurrency import Failure, outcome_of
from parley.errors import ParleyError, UpstreamUnreachable
from parley.http_client.pool import ConnectionPool

SPARES_BEHIND_TLS = 8
"""Spare connections to an `https://` upstream, if the operator sets no number. Without TLS they save next to nothing,
and each may hold one of a small server's few threads."""
LOOK_SECONDS = 20.0
"""Seconds between two looks at connections that stand; many upstreams close idle ones after a minute."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0
"""Seconds before the first and the latest of further tries."""
STANDS_SECONDS = 0.3
"""Seconds for which the first connection must stay open before the others are opened."""
REPORT_SECONDS = 60.0
"""Least seconds between two reports of failures."""


def number_for(base_url: str, wanted: int | None) -> int:
    """Return the number of spare connections to an upstream: `wanted`, or by the scheme if that is None."""
    if wanted is not None:
        return wanted
    return SPARES_BEHIND_TLS if base_url.lower().startswith("https:") else 0


class SpareConnections:
    """`count` idle connections of a pool; `report` is called with the reason for a failure, once a minute at most."""

    def __init__(self, pool: ConnectionPool, count: int, report: Callable[[str], None]) -> None:
        self.fault = ""
        """The reason why the last try failed, empty while the connections stand."""
        self._pool = pool
        self._count = count
        self._report = report
        self._reported_at = -REPORT_SECONDS
        self._stands = False
        self._closed_at_once = False
        self._wake = Event()

    def keep(self, paused: Callable[[], bool]) -> None:
        """Keep the connections open, for ever; open none while `paused` returns True. To be run in a greenlet."""
        self._pool.on_change = self.on_change
        wait = FIRST_WAIT_SECONDS / 2
        while True:
            stood, lost = self._stands, self._pool.lost
            if not paused():
                self.fill()
            if not self._stands:
                wait = FIRST_WAIT_SECONDS if stood else min(2 * wait, LONGEST_WAIT_SECONDS)
            elif not stood or self._pool.lost == lost:
                wait = LOOK_SECONDS
            else:
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            # Woken by `on_change` before the time is over, if there is a reason.
            self._wake.wait(wait)
            self._wake.clear()

    def fill(self) -> None:
        """Open the missing connections, one before the others, and note whether they stand."""
        missing = self._pool.missing(self._count)
        try:
            if missing:
                self._pool.open_ahead()
            if missing and not self._stands:
                self.prove()
            # All at once: behind a round trip of 40 ms each takes two more for TCP and TLS (docs/performance.md).
            opening = [gevent.spawn(outcome_of, self._pool.open_ahead) for _ in range(missing - 1)]
            for opened in gevent.joinall(opening):
                if isinstance(opened.value, Failure):
                    raise UpstreamUnreachable(f"not all connections could be opened: {opened.value.error}")
        except ParleyError as error:
            self._stands, self.fault = False, reason_of(error)
            # Without an end to the failures the log would be full of them.
            if time.monotonic() - self._reported_at >= REPORT_SECONDS:
                self._reported_at = time.monotonic()
                self._report(self.fault)
        else:
            self._stands, self.fault = True, ""

    def prove(self) -> None:
        """Raise UpstreamUnreachable if the upstream soon closes the connection that was just opened."""
        lost = self._pool.lost
        gevent.sleep(STANDS_SECONDS)
        self._pool.missing(self._count)
        self._closed_at_once = self._pool.lost > lost
        if self._closed_at_once:
            raise UpstreamUnreachable("the upstream closes connections before a request is sent")

    def on_change(self, kept: bool) -> None:
        """Wake the greenlet: a connection was used up, or an answer proves that the upstream is there again."""
        used_up = self._stands and not kept
        is_there_again = kept and not self._stands and not self._closed_at_once
        if used_up or is_there_again:
            self._wake.set()


def reason_of(error: ParleyError) -> str:
    """Return an error's message with the operating system's reason, if it has one."""
    cause = error.__cause__
    # The message about a certificate holds the reason already.
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLCertVerificationError):
        return f"{error.message}: {cause.strerror}"
    return error.message
