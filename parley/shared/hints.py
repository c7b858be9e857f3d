"""Hints between workers: what others know of an upstream, read and told by the beat, never for a caller.

    limited    the upstream has answered 429 and named a time: one account is limited for all who use it
    sick       the breaker of a worker has opened; heeded once two workers, and half of all, say so: those with a
               broken network move nobody else

    nothing ──others say so──► heeded ──the time is over, or the upstream has answered this worker──► nothing

A hint lets other upstreams go first, for at most a minute, and whatever stands in Redis can do no more than that. Only
the clock of Redis counts. While it is away nothing new is learned, and what is heeded ends by its own time.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from parley.shared.link import NOW_MS, Link, Script
from parley.telemetry.logs import log

if TYPE_CHECKING:
    from redis import Redis

MOST_MS = 60_000
"""Longest time of a hint, in milliseconds."""
LEAST_VOTES = 2
"""Fewest workers that must find an upstream sick."""

EXCHANGE = Script(
    NOW_MS
    + """
    local most, limited, sick = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local told = 0
    if limited > 0 then
        told = now + limited
        redis.call('SET', KEYS[1], string.format('%.0f', told), 'PX', limited)
    end
    -- Not `call`: a key of another type is no reason to count Redis as down.
    if sick > 0 then
        redis.pcall('ZADD', KEYS[2], now + sick, ARGV[4])
        redis.pcall('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
        redis.pcall('PEXPIRE', KEYS[2], most)
    end
    -- The start alone: it may be of any length.
    local text = redis.pcall('GETRANGE', KEYS[1], 0, 31)
    local limited_until = type(text) == 'string' and tonumber(text) or 0
    -- Nobody says more than a minute; and what is no number is in no range.
    if not (limited_until > now and limited_until <= now + most) then limited_until = now end
    local function vote(number)
        local since = string.format('(%.0f', math.max(now, tonumber(ARGV[6])))
        local found = redis.pcall('ZREVRANGEBYSCORE', KEYS[2], now + most, since, 'WITHSCORES', 'LIMIT', number - 1, 1)
        return tonumber(found[2]) or now
    end
    local sick_until = vote(tonumber(ARGV[5]))
    local last_vote = sick_until > now and vote(1) or now
    return {told, limited_until, limited_until - now, last_vote, sick_until - now}
    """
)
"""Tell for how many milliseconds an upstream is limited, and sick for a worker (0: nothing new); return what is said.

These are the end of what was told; the end of the limit, and what is left of it; the last end of a vote, and what is
left until there are too few votes. Votes that end by ARGV[6] do not count.
"""


class Account(Protocol):
    """An upstream's place at its API."""

    name: str
    model: str

    @property
    def account(self) -> str:
        """A name of it that all workers know, from which no key can be told; empty if others must not know of it."""
        ...

    @property
    def limits_are_callers(self) -> bool:
        """True if a limit that is reached is one caller's."""
        ...


class Health(Protocol):
    """An upstream as this worker knows it. Moments are those of the monotonic clock."""

    limited_until: float

    @property
    def upstream(self) -> Account:
        """The upstream itself."""
        ...

    @property
    def sick_until(self) -> float:
        """The moment until which this worker's own failures keep it away."""
        ...

    @property
    def hint(self) -> Any:
        """Any value while a hint is heeded; None as soon as the upstream has answered in spite of it."""
        ...

    @property
    def hinted(self) -> str:
        """The reason of the hint that counts now; empty if there is none."""
        ...

    def heed(self, reason: str, seconds: float) -> None:
        """Let other upstreams go first for so many seconds from now on."""
        ...

    def disregard(self) -> None:
        """End the hint."""
        ...


class Hints:
    """The hints of one worker on its upstreams, exchanged in each beat of the link."""

    def __init__(self, link: Link, upstreams: Sequence[Health]) -> None:
        self._link = link
        self._known = [
            Known(health, f"{link.prefix}:{{{name}}}")
            for health, name in zip(upstreams, names_of([health.upstream for health in upstreams]), strict=True)
            if name
        ]
        # One upstream alone is asked in any case; others may still learn from what it says here.
        self._reads = len(upstreams) > 1
        if self._known:
            link.duties.append(self._exchange)

    def details(self) -> dict[str, Any]:
        """Return what /ready tells of the upstreams that others are asked before: the reason by name."""
        hinted = {known.health.upstream.name: known.health.hinted for known in self._known}
        avoided = {name: reason for name, reason in hinted.items() if reason}
        return {"upstreams_avoided": avoided} if avoided else {}

    def _exchange(self, client: "Redis", is_forgotten: bool) -> None:
        """Tell what Redis does not know yet, and heed what others say."""
        for known in self._known:
            known.note_answer()
            limited_ms, sick_ms = news = known.news(is_forgotten)
            if not (self._reads or any(news)):
                continue
            facts, was_heeded = known.facts, known.health.hint
            votes = max(LEAST_VOTES, math.ceil(self._link.workers / 2))
            try:
                found = EXCHANGE.run(
                    client, known.keys, MOST_MS, limited_ms, sick_ms, self._link.worker, votes, known.votes_over
                )
            except Exception as error:  # noqa: BLE001 - as in `Link.beat`; the limits must not suffer for a hint
                self._link.note_failure("hints", error)
                continue
            known.told = facts
            # An answer that has come meanwhile has ended what was heeded; the next beat sees to it.
            is_answered = was_heeded is not None and known.health.hint is None
            if self._reads and not is_answered:
                known.learn(*map(int, found))


class Known:
    """One upstream: what of it has been told, what is heeded, and what is over. `start` is that of its keys' names."""

    def __init__(self, health: Health, start: str) -> None:
        self.health = health
        self.keys = [f"{start}:limited", f"{start}:sick"]
        # The ends of what Redis has been told, by this worker's clock.
        self.told = (0.0, 0.0)
        # By the clock of Redis: the ends of what was read last, and of what is not heeded (any more).
        self.limit, self.last_vote = 0, 0
        self.limit_over, self.votes_over = 0, 0
        self._is_heeded = False

    @property
    def facts(self) -> tuple[float, float]:
        """The moments until which the upstream is limited and sick, as this worker has found out."""
        limited = 0.0 if self.health.upstream.limits_are_callers else self.health.limited_until
        return limited, self.health.sick_until

    def news(self, is_forgotten: bool) -> tuple[int, int]:
        """Return for how many milliseconds it is limited and sick, 0 where Redis knows; it may know nothing more."""
        now = time.monotonic()
        limited_ms, sick_ms = (
            min(max(0, round((fact - now) * 1000)), MOST_MS) if is_forgotten or fact != told else 0
            for fact, told in zip(self.facts, self.told, strict=True)
        )
        return limited_ms, sick_ms

    def note_answer(self) -> None:
        """Do not heed again what the upstream itself has refuted by an answer."""
        if self._is_heeded and self.health.hint is None:
            self.limit_over, self.votes_over = self.limit, self.last_vote
            self._end("answered")

    def learn(self, told: int, limit: int, limit_ms: int, last_vote: int, votes_ms: int) -> None:
        """Heed what `EXCHANGE` returned, but for what is over."""
        # This worker's own word is no hint: its breaker knows.
        self.limit_over = told or self.limit_over
        self.limit, self.last_vote = limit, last_vote
        left = {"limited": 0 if limit == self.limit_over else limit_ms, "sick": votes_ms}
        reason = max(left, key=lambda name: left[name])
        seconds = min(left[reason], MOST_MS) / 1000
        if seconds > 0:
            self.health.heed(reason, seconds)
            if not self._is_heeded:
                self._is_heeded = True
                log.warning("upstream_avoided", upstream=self.health.upstream.name, reason=reason, seconds=seconds)
        elif self._is_heeded:
            self.health.disregard()
            self._end("over")

    def _end(self, reason: str) -> None:
        self._is_heeded = False
        log.info("upstream_resumed", upstream=self.health.upstream.name, reason=reason)


def names_of(upstreams: Sequence[Account]) -> list[str]:
    """Return the names under which workers speak of upstreams; empty for those of which they do not.

    Most APIs limit each model by itself, so a further model of the same account gets a name of its own.
    """
    names, models = [], dict[str, str]()
    for upstream in upstreams:
        name = upstream.account
        if name and models.setdefault(name, upstream.model) != upstream.model:
            name = hashlib.sha256(f"{name}\0{upstream.model}".encode()).hexdigest()[:16]
        names.append(name)
    return names
