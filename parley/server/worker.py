"""One gunicorn worker: its connections, its stop, its garbage collections, and how late its event loop is.

gunicorn alone lets one connection's requests follow one another without a pause, gives a request's head as much time
as an idle connection, waits at its stop for idle connections as if they were calls, and cuts the calls that are left
when the grace is over, without an ending.
"""

import gc
import socket
import sys
import time
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from parley import client_connection
from parley.concurrency import checkpoint
from parley.errors import ServerShuttingDown
from parley.server.connections import ConnectionTable
from parley.services import Services
from parley.telemetry import metrics

POLL_SECONDS = 0.05
"""So soon after the signal /ready says no."""
MEASURE_SECONDS = 0.5
SWITCH_SECONDS = 0.0005
LEAD_SECONDS = 2.0
"""How long before gunicorn's cut our own ending comes."""
IDLE_SECONDS = 0.5
"""gunicorn goes on accepting for up to a second: a connection that is new gets this long to send its request."""


class ParleyWorker(GeventWorker):  # type: ignore[misc] # it carries no types
    """gunicorn's gevent worker with a table of its connections.

    `gunicorn -k gevent` names the class on the command line, so the worker becomes one of these when it has loaded the
    app (`take_over`).
    """

    connections: ConnectionTable

    def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None:
        """Serve one connection, from accept to close."""
        self.connections.opened()
        connection = client_connection.opened(client, self.connections)
        try:
            super().handle(listener, client, addr)
        finally:
            connection.close()
            self.connections.closed()

    def timeout_ctx(self) -> client_connection.ClientConnection:
        """Return the context in which gunicorn waits for a connection's next request and reads its head."""
        connection = client_connection.current()
        if connection.has_bytes_ahead:
            # The next request came with the one before, so no receive lets the event loop run.
            checkpoint(background=connection.is_stranger)
        return connection.silence()

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> None:
        """Answer one request."""
        client_connection.current().begin(req)
        super().handle_request(listener_name, req, sock, addr)


def take_over(worker: Any, services: Services) -> None:
    """Make a gunicorn gevent worker that has loaded the app ours, and watch it for its stop."""
    worker.__class__ = ParleyWorker
    worker.connections = ConnectionTable(worker.worker_connections, worker.cfg.keepalive)
    gevent.spawn(_drain, worker, services)
    gevent.spawn(_measure, worker.connections, services)


def collect_garbage_rarely() -> None:
    """Make full collections rare: turns leave no cycles, and each one stops all streams (0.1 s with 1 000 of them).

    What has been loaded by now stays for the worker's life, and is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 100)


def _measure(connections: ConnectionTable, services: Services) -> None:
    while True:
        metrics.upstreams_are(services.upstream.breaker_states())
        connections.end_overdue()
        due = time.monotonic() + MEASURE_SECONDS
        gevent.sleep(MEASURE_SECONDS)
        metrics.LOOP_LAG.observe(max(0.0, time.monotonic() - due))


def _drain(worker: ParleyWorker, services: Services) -> None:
    while worker.alive:
        gevent.sleep(POLL_SECONDS)
    services.draining = True
    last_call = time.monotonic() + services.settings.graceful_timeout - LEAD_SECONDS
    while True:  # until the worker goes: a caller may ask again, on the connection of a turn that has just ended
        worker.connections.end_silent(older_than=IDLE_SECONDS)
        if time.monotonic() >= last_call:
            for turn in list(services.admission.running):
                turn.interrupt(ServerShuttingDown("the server is shutting down"))
        gevent.sleep(POLL_SECONDS)


def switch_threads_soon() -> None:
    """Let the event loop have the interpreter after half a millisecond where a thread computes; Python's own is 5 ms.

    The loop gives it away with each system call, several times in a pass.
    perf: passes of the loop take 10 ms in place of 20 (p99) while bodies of 1.8 MB are parsed in a thread.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
