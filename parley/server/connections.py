"""All client connections of one worker: how long each may be silent, and which ends first when places run short.

gunicorn accepts at most `worker_connections` and then nobody, health checks included, so a stranger who opens
connections and says nothing would shut the door. Here the oldest silent connection ends for each new one above the
limit: first those that never had an accepted request, then those that had. One that is being answered never ends.
"""

import itertools
import time
from collections import OrderedDict

from gevent import get_hub

from parley.client_connection import ClientConnection

HEAD_SECONDS = 10.0
"""A request's head must be complete so many seconds after its first bytes."""
RESERVED_SHARE = 0.1
"""Share of the places that is kept free: gunicorn accepts up to a hundred connections in one pass of the loop."""
MOST_RESERVED = 200


class ConnectionTable:
    """The connections of one worker. `places` is gunicorn's limit, `idle_seconds` the longest silence of each."""

    def __init__(self, places: int, idle_seconds: float) -> None:
        self._most = max(1, places - min(MOST_RESERVED, int(places * RESERVED_SHARE)))
        self._idle_seconds = idle_seconds
        self._open = 0
        # By the moment of monotonic time at which each began, so the oldest comes first.
        self._strangers: OrderedDict[ClientConnection, float] = OrderedDict()
        self._known: OrderedDict[ClientConnection, float] = OrderedDict()
        self._in_head: OrderedDict[ClientConnection, float] = OrderedDict()

    def opened(self) -> None:
        """Count a new connection, and end the oldest silent one if there are too many now."""
        self._open += 1
        if self._open > self._most and (oldest := next(itertools.chain(self._strangers, self._known), None)):
            self._end(oldest)

    def closed(self) -> None:
        """Count a connection less."""
        self._open -= 1

    def silent(self, connection: ClientConnection) -> None:
        """Note that a connection may be ended from now on."""
        (self._known if connection.is_known else self._strangers)[connection] = time.monotonic()

    def busy(self, connection: ClientConnection) -> None:
        """Note that a connection may not be ended any more."""
        for silent in (self._strangers, self._known, self._in_head):
            silent.pop(connection, None)

    def in_head(self, connection: ClientConnection) -> None:
        """Note that part of a request's head has come."""
        self._in_head[connection] = time.monotonic()

    def end_overdue(self) -> None:
        """End the connections whose head is incomplete, or that have been silent, for too long."""
        self._end_older(self._in_head, HEAD_SECONDS)
        self.end_silent(self._idle_seconds)

    def end_silent(self, older_than: float) -> None:
        """End the connections that have been silent for so many seconds."""
        self._end_older(self._strangers, older_than)
        self._end_older(self._known, older_than)

    def _end_older(self, silent: OrderedDict[ClientConnection, float], seconds: float) -> None:
        since = time.monotonic() - seconds
        for connection in list(itertools.takewhile(lambda one: silent[one] < since, silent)):
            self._end(connection)

    def _end(self, connection: ClientConnection) -> None:
        self.busy(connection)
        # Run in the event loop, where a greenlet that is silent still waits: for bytes, or for its turn.
        get_hub().loop.run_callback(connection.end)
