"""The connections of a worker to its database, and the shield around them. The first use begins to connect.

Whoever waits for a pooled connection, or holds one, must never be interrupted: psycopg_pool would hand the next
connection to the waiter that is gone, and lose it for ever. Callers here are interrupted all the time, because they
hang up. So the work is done in a greenlet of its own, into which nothing is ever thrown:

    caller     waits for the outcome until its deadline, and may be killed at any moment
    worker     waits for a connection, uses it, puts the outcome down, whether or not anybody still waits
    lingering  a worker whose server is silent long behind the deadline: the socket is shut down under it

    ok      --three failures in a row-->   down: `run` raises at once, but for the one who probes (the poll)
    down    --a probe succeeds-->          ok; while it is down, a greenlet of this module probes, too
"""

import contextlib
import logging
import os
import pwd
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import gevent
import gevent.pool
import psycopg
from gevent.event import AsyncResult
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from parley.concurrency import Failure, outcome_of, result_of
from parley.knowledge.database import measurements
from parley.knowledge.database.address import DatabaseAddress
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.telemetry.redaction import Redactor

Result = TypeVar("Result")
Work = Callable[["psycopg.Connection[Any]"], Result]

FAILURES_UNTIL_DOWN = 3
"""Failures in a row behind which only probes are made."""
PROBE_SECONDS = 0.5
"""Pause in seconds between two questions whether a database that was down is there again."""
LINGER_SECONDS = 3.0
"""Time in seconds behind its deadline after which a silent server's connection is shut down."""
RECONNECT_SECONDS = 2
"""Time in seconds after which the pool tries no more by itself: its pauses double, and the next poll begins anew."""
CONNECT_SECONDS = 2
"""Longest time in seconds to connect to one host; libpq knows no less."""
AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Files of the system's certificate authorities: libpq's wheel does not know where they are."""
TOO_MANY = ("53300", "57P03", "53400")
"""SQL states of a server that has no place for a connection now."""
RIGHTS_ADVICE = "the rights of each role: docs/security.md"
EXTENSION_ADVICE = "an administrator runs CREATE EXTENSION vector in this database, once"
"""Advice to a command whose role lacks a right."""
UNSETTABLE = frozenset({"service", "require_auth"})
"""libpq's parameters that have a meaning whatever they are set to. Their variables can only make it refuse more."""
NEUTRAL = {"sslcertmode": "allow", "min_protocol_version": "3.0", "max_protocol_version": "3.0"}
"""Values of libpq's parameters for which an empty text is none, where libpq knows them."""


class DatabaseFailed(Exception):
    """The database gave no result in time. `reason` is one of a closed set; the message holds no secret."""

    def __init__(self, message: str, reason: str = "error") -> None:
        super().__init__(message)
        self.reason = reason


class DatabaseBusy(DatabaseFailed):
    """All connections are in use."""

    def __init__(self, message: str = "all connections to the database are in use") -> None:
        super().__init__(message, "busy")


def conninfo(address: DatabaseAddress, *, reads: bool = True) -> str:
    """Return all that libpq is told, so that no variable of the environment (PGHOST ...) adds to it.

    What only reads may read from a standby, unless the URL says otherwise.
    """
    unset = {}
    for option in Conninfo.get_defaults():
        name = option.keyword.decode()
        if option.envvar and name not in UNSETTABLE:
            unset[name] = NEUTRAL.get(name, (option.compiled or b"").decode())
    # A peer that vanished is noticed after 45 s of silence, or 2 s after something was sent.
    given: dict[str, Any] = {
        "application_name": "parley",
        "client_encoding": "utf8",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 2000,
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "target_session_attrs": "prefer-standby" if reads else "read-write",
        **address.parameters,
    }
    if given["sslmode"].startswith("verify-") and given.get("sslrootcert", "system") == "system":
        given["sslrootcert"] = system_authorities()
    return make_conninfo(**{**unset, **given})


def system_authorities() -> str:
    """Return the file of the certificate authorities that this machine trusts."""
    known = [ssl.get_default_verify_paths().cafile, *AUTHORITIES]
    return next((path for path in known if path and Path(path).is_file()), "system")


def reason_of(error: BaseException, redactor: Redactor) -> tuple[str, str]:
    """Return why the database failed: a word of a closed set, and the first line of the message without secrets."""
    # libpq's texts name the user, and some quote what they could not parse.
    message = redactor.redact(str(error).strip().partition("\n")[0])
    state = getattr(error, "sqlstate", None)
    if state in TOO_MANY:
        return "busy", message
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.ConnectionTimeout):
        return "timeout", message
    return ("refused" if isinstance(error, psycopg.OperationalError) else "error"), message


class Connections:
    """A few connections to one database, made in the background when the first is needed."""

    def __init__(self, address: DatabaseAddress, size: int) -> None:
        self.redactor = Redactor(address.private)
        self.state = "down"
        # The first failure tells that it is down.
        self._failures = FAILURES_UNTIL_DOWN
        self._told = False
        self._down_since = time.monotonic()
        self._connect_error: Exception | None = None
        # Twice as many as there are connections: some wait, and nobody waits behind them.
        self._workers = gevent.pool.Pool(2 * size)
        # The pool's own lines hold users and hosts, and one comes with every attempt.
        logging.getLogger("psycopg.pool").disabled = True
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            conninfo(address),
            connection_class=self._connection_class(),
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=1,
            max_size=size,
            max_lifetime=1800,
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
            name="parley",
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close(timeout=1)

    def run(
        self, op: str, work: Work[Result], deadline: float, *, probes: bool = False, queues: bool = False
    ) -> Result:
        """Return the result of work with a connection, or raise DatabaseFailed after `deadline` seconds.

        The caller may be interrupted at any time. While the database is down only one who `probes` asks it. Where all
        connections have others waiting for them, only one who `queues` waits, too.
        """
        if self.state == "down" and not probes:
            raise DatabaseFailed("the database is down", "refused")
        # Not earlier: connections belong to a worker, behind the fork.
        if self._pool.closed:
            self._pool.open(wait=False)
        started = time.monotonic()
        until = started + deadline
        while self._workers.full():
            # Whoever is woken may find the place taken again.
            left = until - time.monotonic()
            if not queues or left <= 0 or not self._workers.wait_available(left):
                self._count(op, "busy")
                raise DatabaseBusy
        deadline = until - time.monotonic()
        # Handed over as a value: an error would bear the caller's frames with it.
        result: AsyncResult[Result | Failure] = AsyncResult()
        is_connected = False

        def connected_work(connection: "psycopg.Connection[Any]") -> Result:
            nonlocal is_connected
            is_connected = True
            return work(connection)

        self._workers.spawn(self._work, connected_work, deadline, result)
        outcome: Result | Failure | None = result.wait(deadline)
        if outcome is None and not result.ready():
            # Whoever still waits for a connection is told why there is none.
            fault = None if is_connected else self._connect_error
            raise self._failed(op, self._translated(fault or DatabaseFailed("the database took too long", "timeout")))
        if isinstance(outcome, Failure):
            raise self._failed(op, self._translated(outcome.error))
        self._succeeded(op, time.monotonic() - started)
        return result_of(outcome)  # type: ignore[return-value] # it is None only if the work returned that

    def _work(self, work: Work[Result], deadline: float, result: "AsyncResult[Result | Failure]") -> None:
        """Do the work, in a greenlet that nothing interrupts."""
        result.set(outcome_of(self._with_connection, work, deadline))

    def _with_connection(self, work: Work[Result], deadline: float) -> Result:
        with self._pool.connection(timeout=deadline) as connection:
            # A greenlet that waits for a silent server can't be interrupted, but its socket can be ended.
            guard = gevent.spawn_later(deadline + LINGER_SECONDS, _shut_down, connection)
            try:
                return work(connection)
            finally:
                guard.kill(block=False)

    def _connection_class(self) -> "type[psycopg.Connection[Any]]":
        """Return psycopg's class, which keeps the reason of a failed attempt: the pool itself would log it."""
        connections = self

        class Reporting(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Any:
                try:
                    made = super().connect(*args, **kwargs)
                except Exception as error:
                    connections._connect_error = error.with_traceback(None)
                    raise
                connections._connect_error = None
                return made

        return Reporting

    def _translated(self, error: Exception) -> DatabaseFailed:
        if isinstance(error, DatabaseFailed):
            return error
        if isinstance(error, PoolTimeout):
            if self._connect_error is None:
                return DatabaseBusy()
            error = self._connect_error
        reason, message = reason_of(error, self.redactor)
        failed = DatabaseFailed(message, reason)
        failed.__cause__ = error
        return failed

    def _failed(self, op: str, failed: DatabaseFailed) -> DatabaseFailed:
        self._count(op, failed.reason)
        # A server that answers is there: an error in a statement, or a pool that is in use, is no outage.
        is_outage = failed.reason in ("timeout", "refused")
        self._failures += is_outage
        if is_outage and self._failures >= FAILURES_UNTIL_DOWN and not self._told:
            self.state, self._told, self._down_since = "down", True, time.monotonic()
            measurements.UP.set(0)
            log.warning("database_down", reason=failed.reason, fault=str(failed))
            gevent.spawn(self._probe)
        return failed

    def _probe(self) -> None:
        """Ask until the database is there again: its next use may be seconds away."""
        while self._told and not self._pool.closed:
            gevent.sleep(PROBE_SECONDS)
            with contextlib.suppress(DatabaseFailed):
                self.run("poll", lambda connection: connection.execute("SELECT 1"), PROBE_SECONDS * 2, probes=True)

    def _succeeded(self, op: str, seconds: float) -> None:
        metrics.series(measurements.SECONDS, op).observe(seconds)
        self._failures = 0
        if self.state == "ok":
            return
        measurements.UP.set(1)
        if self._told:
            log.info("database_up", after_s=round(time.monotonic() - self._down_since, 1))
        self.state, self._told = "ok", False

    def _count(self, op: str, reason: str) -> None:
        metrics.series(measurements.FAILURES, op, reason).inc()


def _shut_down(connection: "psycopg.Connection[Any]") -> None:
    """End a connection's socket, so that whoever waits for it fails by itself."""
    with contextlib.suppress(OSError, psycopg.Error):
        twin = socket.socket(fileno=os.dup(connection.fileno()))
        with twin:
            twin.shutdown(socket.SHUT_RDWR)


def connect(address: DatabaseAddress, *, reads: bool = False) -> "psycopg.Connection[Any]":
    """Return a connection for a command, by default to a server that can be written to. Raises psycopg.Error."""
    return psycopg.connect(conninfo(address, reads=reads), autocommit=True, prepare_threshold=None)


@contextlib.contextmanager
def translated(address: DatabaseAddress) -> Iterator[None]:
    """Raise DatabaseFailed, without secrets, in place of psycopg's own errors: for a command."""
    try:
        yield
    except psycopg.Error as error:
        reason, message = reason_of(error, Redactor(address.private))
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            message += f" ({EXTENSION_ADVICE if 'extension' in message else RIGHTS_ADVICE})"
        raise DatabaseFailed(message or type(error).__name__, reason) from None
