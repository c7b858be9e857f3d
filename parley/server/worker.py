"""One gunicorn worker: its connections, its stop, its garbage collections, and how late its event loop is.

gunicorn alone answers a connection's pipelined requests without a pause, gives a request's head as much time as an idle
connection, waits at its stop for idle connections as if they were calls, and cuts the remaining calls when the grace
period is over, without an ending. A worker's life, from gunicorn's signal on:

    serving   --SIGTERM-->   draining: /ready says no, silent connections end
    draining  --GRACEFUL_TIMEOUT less LEAD_SECONDS-->   ending: every turn is interrupted with ServerShuttingDown
    ending    --GRACEFUL_TIMEOUT-->   gunicorn ends the process
"""

import gc
import os
import socket
import time
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from parley import client_connection
from parley.concurrency import checkpoint
from parley.environment.variables import metrics_folder
from parley.errors import ParleyError, ServerShuttingDown
from parley.server import kept_files, master
from parley.server.connections import ConnectionTable
from parley.server.memory_check import store_fault
from parley.server.once import OncePerServer
from parley.services import Services
from parley.telemetry import logs, metrics, recent_turns
from parley.telemetry.logs import log

POLL_SECONDS = 0.05
"""Seconds between two looks at gunicorn's stop signal, so also the delay until /ready says no."""
MEASURE_SECONDS = 0.5
"""Seconds between two measurements of the event loop's lag."""
LOAD_AGAIN_SECONDS = 20
"""Seconds after which WARM_MODEL asks again where it failed."""
LEAD_SECONDS = 2.0
"""Seconds by which Parley's own ending of a turn precedes gunicorn's cut."""
IDLE_SECONDS = 0.5
"""Seconds that a new connection has to send its request during the drain: gunicorn goes on accepting for up to one."""


class ParleyWorker(GeventWorker):  # type: ignore[misc] # it carries no types
    """gunicorn's gevent worker with a table of its connections."""

    connections: ConnectionTable
    services: Services
    last_call = 0.0
    """Time until which the stop waits for turns; by `time.monotonic`."""

    def run(self) -> None:
        """Serve until the stop; then let what goes on behind the answers end, such as calls of tools."""
        super().run()
        self.services.finish(self.last_call - time.monotonic())
        if self.services.toolbox:
            self.services.toolbox.close()
        if self.services.database:
            self.services.database.close()

    def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None:
        """Serve one connection, from accept to close."""
        self.connections.opened()
        connection = client_connection.opened(client, self.connections)
        try:
            super().handle(listener, client, addr)
        finally:
            # First, because a place that is never given back is worse than memory that is held.
            self.connections.closed()
            connection.close()

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


def prepare(worker: Any, streams: int) -> None:
    """Prepare a worker that has loaded the app: its log, its slots, its stop, and all that its first caller needs.

    `streams` is the number of turns that its open files allow, at most MAX_STREAMS.
    """
    logs.write_in_thread()
    services = worker.app.wsgi().extensions["parley"]
    services.admission.limit = streams
    if not worker.is_of_reload:
        services.use_checked(kept_files.tools.contents, kept_files.agents.contents)
    if services.agents:
        # The master checked the profiles of the start; one that is edited later may be the first that remembers.
        services.agents.memory_fault = store_fault(services.settings, worker.cfg.workers)
    if services.playground != "off":
        recent_turns.kept = recent_turns.RecentTurns(worker.age, metrics_folder(), os.getpid())
    services.start_fault, services.start_fault_is_logged = master.class_fault(worker.cfg.worker_class_str), True
    # Workers of other classes have no event loop beside their callers: their first caller waits for what is loaded.
    if worker.cfg.worker_class_str == "gevent":
        take_over(worker, services)
        services.warm()
        if master.model_load:
            gevent.spawn(load_model, master.model_load, services)
    else:
        services.warm_files()
    # Full collections stop all streams, 0.1 s each with 1 000 of them, and find nothing: turns leave no cycles. What
    # has been loaded by now stays for the worker's life, so it is frozen out of them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 100)
    # gunicorn.conf.py turned it off for the start.
    gc.enable()


def take_over(worker: Any, services: Services) -> None:
    """Turn a gunicorn gevent worker that has loaded the app into a ParleyWorker, and watch it for its stop."""
    # `gunicorn -k gevent` names gunicorn's own class on the command line, so the class changes afterwards.
    worker.__class__ = ParleyWorker
    worker.connections = ConnectionTable(worker.worker_connections, worker.cfg.keepalive)
    worker.services = services
    gevent.spawn(drain_at_stop, worker, services)
    gevent.spawn(measure, worker.connections, services)


def load_model(once: OncePerServer, services: Services) -> None:
    """Have the upstream load its model, unless another worker does; repeat it until it has been done."""
    while not (once.is_done or services.draining):
        if once.begin():
            started = time.monotonic()
            try:
                services.upstream.load_model()
            except ParleyError as error:
                reason = getattr(error, "reason", error.message)
                log.warning("model_not_loaded", code=error.code, reason=reason, again_after_s=LOAD_AGAIN_SECONDS)
            else:
                once.done()
                log.info("model_loaded", ms=round((time.monotonic() - started) * 1000))
                return
        gevent.sleep(LOAD_AGAIN_SECONDS)


def measure(connections: ConnectionTable, services: Services) -> None:
    """Measure the event loop's lag for ever, publish breaker states, and end connections that are overdue."""
    while True:
        metrics.set_breaker_states(services.upstream.breaker_states())
        connections.end_overdue()
        due = time.monotonic() + MEASURE_SECONDS
        gevent.sleep(MEASURE_SECONDS)
        metrics.LOOP_LAG.observe(max(0.0, time.monotonic() - due))


def drain_at_stop(worker: Any, services: Services) -> None:
    """Wait for gunicorn's stop signal, then refuse new work, end idle connections and, at the last, all turns."""
    while worker.alive:
        gevent.sleep(POLL_SECONDS)
    services.draining = True
    last_call = worker.last_call = time.monotonic() + services.settings.graceful_timeout - LEAD_SECONDS
    # Repeat until gunicorn ends the process: a caller may ask again on the connection of a turn that has just ended.
    while True:
        worker.connections.end_silent(older_than=IDLE_SECONDS)
        if time.monotonic() >= last_call:
            for turn in list(services.admission.running):
                turn.interrupt(ServerShuttingDown("the server is shutting down"))
        gevent.sleep(POLL_SECONDS)
