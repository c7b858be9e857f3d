"""All client connections of one worker: how long each may be silent, and which ends first when slots run short.

gunicorn accepts at most `worker_connections` and then none, not even health checks, so a client that opens connections
and sends nothing would take the worker out of service. For each new connection above the limit the table ends the
oldest silent one: first connections that never had an accepted request ("strangers"), then the others. A connection
whose request is being answered is never ended. One connection's states are drawn in `parley/client_connection.py`.
"""

import itertools
import time
from collections import OrderedDict

from gevent import get_hub

from parley.client_connection import ClientConnection

HEAD_SECONDS = 10.0
"""Longest time from the first bytes of a request's head to its end."""
RESERVED_SHARE = 0.1
"""Share of the slots that is kept free: gunicorn accepts up to 100 connections in one pass of the event loop."""
MAX_RESERVED = 200
"""Highest number of slots that are kept free."""


class ConnectionTable:
    """The connections of one worker; `limit` is gunicorn's, `idle_seconds` the longest silence of each."""

    def __init__(self, limit: int, idle_seconds: float) -> None:
        self._max_open = max(1, limit - min(MAX_RESERVED, int(limit * RESERVED_SHARE)))
        self._idle_seconds = idle_seconds
        self._open = 0
        # Each maps to the monotonic time at which that state began. Entries are added in this order, so the first is
        # the oldest, and to find it costs nothing.
        self._strangers: OrderedDict[ClientConnection, float] = OrderedDict()
        self._known: OrderedDict[ClientConnection, float] = OrderedDict()
        self._in_head: OrderedDict[ClientConnection, float] = OrderedDict()

    def opened(self) -> None:
        """Count a new connection; end the oldest silent one if there are now too many."""
        self._open += 1
        if self._open > self._max_open and (oldest := next(itertools.chain(self._strangers, self._known), None)):
            self._end(oldest)

    def closed(self) -> None:
        """Count one connection less."""
        self._open -= 1

    def silent(self, connection: ClientConnection) -> None:
        """Note that a connection may be ended from now on."""
        (self._known if connection.is_known else self._strangers)[connection] = time.monotonic()

    def busy(self, connection: ClientConnection) -> None:
        """Note that a connection may not be ended any more."""
        for silent in (self._strangers, self._known, self._in_head):
            silent.pop(connection, None)

    def in_head(self, connection: ClientConnection) -> None:
        """Note that part of a request's head has arrived."""
        self._in_head[connection] = time.monotonic()

    def end_overdue(self) -> None:
        """End the connections that have been silent, or whose head has been incomplete, for too long."""
        self._end_older(self._in_head, HEAD_SECONDS)
        self.end_silent(self._idle_seconds)

    def end_silent(self, older_than: float) -> None:
        """End the connections that have been silent for more than `older_than` seconds."""
        self._end_older(self._strangers, older_than)
        self._end_older(self._known, older_than)

    def _end_older(self, since: OrderedDict[ClientConnection, float], seconds: float) -> None:
        limit = time.monotonic() - seconds
        for connection in list(itertools.takewhile(lambda one: since[one] < limit, since)):
            self._end(connection)

    def _end(self, connection: ClientConnection) -> None:
        self.busy(connection)
        # Run in the event loop, so the connection's greenlet stands still: it waits, for bytes or for its turn.
        get_hub().loop.run_callback(connection.end)
