"""The one way to Redis: every question has a deadline of ours, and one greenlet alone decides whether Redis is there.

                   a beat that takes at most half of the timeout
    ┌──────┐ ─────────────────────────────────────────────────────► ┌────┐
    │ down │                                                        │ ok │
    └──────┘ ◄───────────────────────────────────────────────────── └────┘
              3 failures in a row, a refused connection, a failed beat

While down no caller asks: `ask` raises at once, and each worker counts by itself. The beat asks each second, twice a
second while Redis is down, and may take longer than a caller: it also lets a client of a cluster find out which nodes
have taken over, which no caller's deadline leaves time for. Its answer is the number of workers, by which a
limit is divided while each counts for itself.

All that one turn asks before its first word shares one budget, `timeout` seconds, kept in its record.
"""

import contextlib
import contextvars
import hashlib
import math
import random
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import gevent
from gevent.lock import BoundedSemaphore

from parley.shared import measurements, urls
from parley.telemetry.logs import log
from parley.telemetry.metrics import series
from parley.turn_record import TurnRecord

if TYPE_CHECKING:
    from redis import Redis

FAILURES = 3
"""Questions in a row without an answer after which Redis counts as down."""
CONNECTIONS = 4
"""Questions that a worker asks at the same time. More would gain nothing: Redis answers one after the other."""
BEAT_SECONDS = 1.0
"""Seconds between two beats."""
DOWN_BEAT_SECONDS = 0.5
"""Seconds between two beats while Redis is down."""
BEAT_DEADLINE = 1.0
"""Longest time of a beat, in seconds."""
CLUSTER_DEADLINE = 2.0
"""Longest time of a beat of a cluster, in seconds: its client may ask several nodes which of them has taken over."""
FORGOTTEN_MS = 5_000
"""Milliseconds without a beat after which a worker is no longer counted."""
OPTIONAL = ("memory", "vectors")
"""Questions that no limit depends on."""
MOST_WORKERS = 100_000
"""Most workers that are believed in, whatever Redis says."""

Result = TypeVar("Result")

_NO_GATE = contextlib.nullcontext()
_turn: contextvars.ContextVar[TurnRecord | None] = contextvars.ContextVar("parley_turn_of_redis", default=None)


class Unanswered(Exception):
    """Redis gave no answer that helps; `reason` is down, timeout, refused, busy or error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def reply_to(client: "Redis", *command: str | float | bytes) -> Any:
    """Return the reply to a command as it comes. Raises what the library raises."""
    pool = getattr(client, "connection_pool", None)
    # A cluster has a pool for each node, and its client knows which.
    if pool is None:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]
    # perf: saves 30 us of CPU a turn (with limits): not through the client's retries and observers.
    connection = pool.get_connection()
    try:
        # Either closes the connection where it fails or is interrupted: no reply is left for the next question.
        connection.send_command(*command)
        return connection.read_response()
    finally:
        pool.release(connection)


def replies_to(client: "Redis", commands: Sequence[tuple[str | float | bytes, ...]]) -> list[Any]:
    """Return the replies to several commands that are sent together; a refusal stands among them."""
    batch = client.pipeline(transaction=False)
    for command in commands:
        batch.execute_command(*command)  # type: ignore[no-untyped-call]
    replies: list[Any] = batch.execute(raise_on_error=False)
    return replies


class Script:
    """A Lua script: asked for by its digest, and sent in full to a server that does not know it."""

    def __init__(self, text: str) -> None:
        self._text = text
        # The name that Redis gives it, no secret.
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: "Redis", keys: str | Sequence[str], *arguments: str | float | bytes) -> Any:
        """Return the result for a key, or for several with one {hash tag}: a cluster finds its node by them.

        The script may use no others.
        """
        from redis.exceptions import NoScriptError

        keys = (keys,) if isinstance(keys, str) else keys
        # Not SCRIPT LOAD, which some services forbid.
        try:
            return reply_to(client, "EVALSHA", self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return reply_to(client, "EVAL", self._text, len(keys), *keys, *arguments)

    def run_each(self, client: "Redis", calls: Sequence[tuple[str, Sequence[str | float | bytes]]]) -> list[Any]:
        """Return the result for each key with its arguments, or the refusal: all of them in one round trip."""
        from redis.exceptions import NoScriptError

        results = replies_to(client, [("EVALSHA", self._digest, 1, key, *arguments) for key, arguments in calls])
        unknown = [at for at, result in enumerate(results) if isinstance(result, NoScriptError)]
        if unknown:
            texts = [("EVAL", self._text, 1, calls[at][0], *calls[at][1]) for at in unknown]
            for at, result in zip(unknown, replies_to(client, texts), strict=True):
                results[at] = result
        return results


NOW_MS = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
"""Start of a script that needs the time, in milliseconds: that of the server, the one clock that all workers share."""

REGISTER = Script(
    NOW_MS
    + """
    -- First what a server without memory refuses: behind another write it would let it pass, and refuse the limits'.
    local is_new = redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
    redis.call('PEXPIRE', KEYS[1], 60000)
    return {redis.call('ZCARD', KEYS[1]), is_new}
    """
)
"""Count a worker; return the number of those counted lately, and 1 if this one was not among them."""

Duty = Callable[["Redis", bool], None]
"""Work of each beat. True as the second argument: Redis may have forgotten everything since the last one."""


class Link:
    """The connections of one worker to Redis. `timeout` is in seconds, `prefix` the start of the name of each key.

    A command is not counted among the workers: no call comes to it.
    """

    def __init__(self, address: urls.RedisAddress, *, timeout: float, prefix: str, counted: bool = True) -> None:
        self.address = address
        self.prefix = prefix
        # A name that no other worker has, on any machine.
        self.worker = secrets.token_hex(6)
        self.timeout = timeout
        self._is_counted = counted
        self.state = "down"
        self.workers = 1
        self.duties: list[Duty] = []
        # What the limits do while Redis is down, for the log; empty without limits.
        self.fall_back = ""
        self._deadline = CLUSTER_DEADLINE if address.form == "cluster" else BEAT_DEADLINE
        self._client: Redis | None = None
        self._gate = BoundedSemaphore(CONNECTIONS)
        # One is for callers, whatever else hangs: what they ask finds out soonest that Redis has stopped.
        self._background = BoundedSemaphore(CONNECTIONS - 1)
        self._failures = 0
        self._was_up = False
        self._is_told = self._is_error_told = False
        self._down_since = time.monotonic()

    @property
    def is_up(self) -> bool:
        """True while callers may ask."""
        return self.state == "ok"

    def start(self) -> None:
        """Try Redis once, which may take a beat's time, and go on in a greenlet of its own."""
        self.beat()
        gevent.spawn(self._beat_for_ever)

    def ask(self, op: str, work: Callable[["Redis"], Result], seconds: float | None = None) -> Result:
        """Return the result of the work, done within what is left of the turn's budget, or within `seconds`.

        Raises Unanswered.
        """
        client = self._client
        if not self.is_up or client is None:
            raise Unanswered("down")
        record = _turn.get() if seconds is None else None
        spent = record.redis_ms or 0.0 if record else 0.0
        left = self.timeout - spent / 1000 if seconds is None else seconds
        if left <= 0:
            raise Unanswered("timeout")
        started, is_waiting = time.monotonic(), True
        # The library's own limits are not enough: it may connect, ask for nodes and answer within each of them.
        timeout = gevent.Timeout(left)
        try:
            with timeout, _NO_GATE if seconds is None else self._background, self._gate:
                is_waiting = False
                result = work(client)
        except gevent.Timeout as reached:
            if reached is not timeout:
                raise
            self._failed(
                op,
                "busy" if is_waiting else "timeout",
                f"no answer within {round(left * 1000)} ms",
                # The rest of a turn's budget is too short for a Redis that is just fast enough to count as there.
                is_outage=not is_waiting and left >= self.timeout / 2,
            )
        except Exception as error:  # noqa: BLE001 - the boundary to a library whose errors have no common root
            words = f"{type(error).__name__}: {error}"
            self._failed(op, _reason(error), words, is_outage=not _concerns_op_alone(op, words))
        finally:
            elapsed = time.monotonic() - started
            series(measurements.SECONDS, op).observe(elapsed)
            if record:
                record.redis_ms = round(spent + elapsed * 1000, 1)
        self._failures = 0
        return result

    @staticmethod
    def begin_turn(record: TurnRecord) -> None:
        """Begin the budget of a turn, for the greenlet that calls this and those that it starts."""
        record.redis_ms = 0.0
        _turn.set(record)

    def share_of(self, limit: int) -> int:
        """Return this worker's part of a limit: the limit divided by the workers that were seen last."""
        return max(1, math.ceil(limit / self.workers))

    def count_limit(self, by: str) -> None:
        """Count a decision on a limit, made by all workers (`shared`) or by this one (`share`, `open`)."""
        series(measurements.LIMITS, by).inc()
        record = _turn.get()
        if record:
            record.limits = "local" if by != "shared" else record.limits or "shared"

    def details(self) -> dict[str, Any]:
        """Return what /ready tells of Redis."""
        return {"redis": self.state, "workers": self.workers}

    def beat(self) -> None:
        """Ask once whether Redis is there, and do the duties."""
        timeout = gevent.Timeout(self._deadline)
        try:
            if self._client is None:
                urls.load_client()
            with timeout:
                self._beat()
        except gevent.Timeout as reached:
            if reached is not timeout:
                raise
            self._go_down(f"no answer within {self._deadline:g} s", "beat", "timeout")
        except Exception as error:  # noqa: BLE001 - as in `ask`; the beat must go on whatever fails
            self._go_down(f"{type(error).__name__}: {error}", "beat", _reason(error))

    def _beat(self) -> None:
        client = self._client
        if client is None:
            client = self._client = urls.connect(self.address, self._deadline)
        if not self.is_up:
            _open_connections(client)
        started = time.monotonic()
        workers, is_new = 1, 0
        if self._is_counted:
            workers, is_new = REGISTER.run(client, f"{self.prefix}:workers", self.worker, FORGOTTEN_MS)
        else:
            client.ping()
        took = time.monotonic() - started
        series(measurements.SECONDS, "beat").observe(took)
        self.workers = min(max(1, int(workers)), MOST_WORKERS)
        measurements.WORKERS.set(self.workers)
        for duty in self.duties:
            duty(client, not self.is_up or bool(is_new))
        # A Redis that is too slow for callers would otherwise go up and down for ever.
        if self.is_up or took <= self.timeout / 2:
            self._go_up()
        else:
            self._tell_down(f"an answer takes {round(took * 1000)} ms")

    def _beat_for_ever(self) -> None:
        # Workers that started together must not ask together.
        gevent.sleep(random.random() * BEAT_SECONDS)
        while True:
            self.beat()
            gevent.sleep(BEAT_SECONDS if self.is_up else DOWN_BEAT_SECONDS * random.uniform(0.8, 1.2))

    def note_failure(self, op: str, error: Exception) -> None:
        """Count the failure of a duty that is no reason to do without Redis, and log the first of them."""
        series(measurements.FAILURES, op, _reason(error)).inc()
        self._tell_error(op, f"{type(error).__name__}: {error}")

    def _tell_error(self, op: str, words: str) -> None:
        if not self._is_error_told:
            self._is_error_told = True
            log.warning("redis_error", op=op, reason=words)

    def _failed(self, op: str, reason: str, words: str, *, is_outage: bool) -> NoReturn:
        series(measurements.FAILURES, op, reason).inc()
        if is_outage:
            self._failures += 1
            if reason == "refused" or self._failures >= FAILURES:
                self._go_down(words)
        elif reason == "error":
            self._tell_error(op, words)
        raise Unanswered(reason)

    def _go_up(self) -> None:
        measurements.UP.set(1)
        self._failures = 0
        if self.is_up:
            return
        self.state = "ok"
        if self._was_up or self._is_told:
            log.info("redis_up", after_s=round(time.monotonic() - self._down_since, 1), workers=self.workers)
        self._was_up, self._is_told = True, False

    def _go_down(self, words: str, op: str = "", reason: str = "") -> None:
        if op:
            series(measurements.FAILURES, op, reason).inc()
        measurements.UP.set(0)
        if self.is_up:
            self.state, self._down_since = "down", time.monotonic()
            self._is_told = self._is_error_told = False
        if self._client is not None:
            urls.disconnect(self.address, self._client, is_replaced="ReadOnlyError" in words)
        self._tell_down(words)

    def _tell_down(self, words: str) -> None:
        """Log once that Redis is down, and what the limits do meanwhile."""
        if self._is_told:
            return
        self._is_told = True
        if not self._was_up:
            hint = "limits count per worker until Redis answers"
            log.warning("redis_down", reason=words, hint=hint if self.fall_back else None)
            return
        log.warning("redis_down", reason=words)
        if self.fall_back:
            log.warning("limits_local", without_redis=self.fall_back, workers=self.workers)


def _reason(error: BaseException) -> str:
    """Return the label of a failure in the metrics."""
    from redis.exceptions import AuthenticationError, BusyLoadingError
    from redis.exceptions import TimeoutError as TooLate

    if isinstance(error, TooLate | TimeoutError):
        return "timeout"
    # Nothing listens, or nobody is let in: there is no sense in two more tries.
    if isinstance(error, ConnectionRefusedError | FileNotFoundError | AuthenticationError | BusyLoadingError):
        return "refused"
    # The library wraps what the operating system says.
    inner = error.__cause__ or error.__context__
    return _reason(inner) if isinstance(inner, OSError) else "error"


def _concerns_op_alone(op: str, words: str) -> bool:
    """Return true for a refusal that says nothing of the server: the limits go on."""
    # One key of another type; or rights that a server without such keys does not need.
    return "WRONGTYPE" in words or (op in OPTIONAL and bool(re.search(r"NoPermissionError|ACL failure", words)))


def _open_connections(client: "Redis") -> None:
    """Open the connections that callers will use, none of whom has time to wait for one."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:  # a cluster has a pool for each node
        client.ping()
        return
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.callback(pool.release, pool.get_connection())
