"""`MAX_STREAMS_PER_KEY` over all workers that share a Redis; while it is away, this worker's share.

A place in Redis is a lease: a turn takes it for LEASE_MS, its worker renews it, and gives it back at the turn's end. So
what a worker that died has held is free again after a lease, and nothing is ever locked for longer.

    take --> held --renewed by the beat--> held --give--> free
                  --its worker dies------> expires

A renewal changes places that are there and makes none (XX), or one that is on its way would revive a place that has
just been given back. Only where Redis may have forgotten all of them does a renewal make them anew.
"""

import contextlib
import itertools
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from parley.errors import LimitsUnavailable
from parley.shared.link import NOW_MS, Link, Script, Unanswered, replies_to, reply_to
from parley.shared.local import NoRate, Place, Rate, While, no_more_places
from parley.shared.rates import BEGIN, SharedRate

if TYPE_CHECKING:
    from redis import Redis

LEASE_MS = 15_000
"""Milliseconds after which a place that is not renewed is free."""
RENEW_SECONDS = 5.0
"""Seconds between two renewals: two may fail before a place is lost."""
RENEWED_AT_ONCE = 200
"""Most places in one renewal; more would keep others waiting at the server."""
GIVE_SECONDS = 1.0
"""Longest time in seconds to give places back; no caller waits for it."""
PAUSES = (0.004, 0.02, 0.06)
"""Seconds before a place is asked for again. A caller who barges in leaves one worker and comes to another."""

NO_PLACE = -1
"""Result of TAKE where all places are taken."""
TAKE = Script(
    BEGIN
    + NOW_MS
    + """
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return -1 end
    if KEYS[2] then
        local wait = begin(KEYS[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
        if wait > 0 then return wait end
    end
    redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return 0
    """
)
"""Take a place if one of so many is free, and if a second key, that of a rate, lets a turn begin.

Return 0, NO_PLACE, or the milliseconds until the rate lets one begin. A turn that gets no place is not counted.
"""
RENEW = Script(
    NOW_MS
    + """
    for i = 3, #ARGV do
        if ARGV[2] == 'XX' then
            redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[i])
        else
            redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
        end
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    """
)
"""Renew places for a lease from now on, and remove those that nobody renewed."""


class SharedPlaces:
    """Places of each holder over all workers that share a Redis. `name_of` and `without` are those of `SharedRate`.

    The rate is asked together with the places.
    """

    def __init__(
        self, link: Link, limit: int, name_of: Callable[[str], str], without: str, rate: SharedRate | None = None
    ) -> None:
        self._link = link
        link.fall_back = without
        self._limit = limit
        self._shared_rate = rate
        self.rate: Rate = rate or NoRate()
        self._name_of = name_of
        self._without = without
        self._number = 0
        # By key: the places of turns that run, and of those that are just being asked for.
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._renewed = 0.0
        self._given: deque[Place] = deque()
        self._is_given = Event()
        # Places that Redis could not be told of, with the moment, the oldest first.
        self._untold: deque[tuple[float, Place]] = deque()
        link.duties.append(self._renew)
        self._giver: gevent.Greenlet | None = None

    @property
    def most(self) -> int | None:
        """Most turns of a holder in this worker, now."""
        if self._link.is_up or self._without == "refuse":
            return self._limit
        return self._link.share_of(self._limit) if self._without == "share" else None

    def take(self, holder: str, running: int, while_waiting: While = contextlib.nullcontext) -> Place:
        """Return a place for one of the holder's `running` turns in this worker, itself included, that may begin.

        Raises RateLimited, LimitsUnavailable.
        """
        key = f"{self._link.prefix}:{{{self._name_of(holder)}}}:streams"
        self._number += 1
        place = Place(key, f"{self._link.worker}:{self._number}")
        self._held[key].add(place.slot)
        try:
            self._take(place, holder, running, while_waiting)
        except BaseException:
            # Interrupted or refused, perhaps behind an answer that nobody received.
            self.give(place)
            raise
        return place

    def give(self, place: Place) -> None:
        """Give a place back, in the background."""
        slots = self._held[place.key]
        slots.discard(place.slot)
        if not slots:
            del self._held[place.key]
        self._given.append(place)
        if self._giver is None:
            self._giver = gevent.spawn(self._give_for_ever)
        self._is_given.set()

    def _take(self, place: Place, holder: str, running: int, while_waiting: While) -> None:
        """Take a place and count the turn with the rate: by Redis, else by this worker."""
        rate = self._shared_rate
        try:
            result = self._result(place, holder, while_waiting)
        except Unanswered:
            self._take_without(running)
            if rate:
                rate.take_without(holder)
            return
        self._link.count_limit("shared")
        if result == NO_PLACE:
            raise no_more_places(self._limit)
        if rate:
            rate.taken(holder, result)

    def _result(self, place: Place, holder: str, while_waiting: While) -> int:
        """Return the result of TAKE, asked for again after each pause while there is no place. Raises Unanswered."""
        op, rate = "place", self._shared_rate
        keys: tuple[str, ...] = (place.key,)
        arguments: tuple[str | int, ...] = (self._limit, LEASE_MS, place.slot)
        if rate:
            # perf: saves 130 us of CPU and a round trip a turn (with both limits): one question for both.
            op, keys, arguments = "admit", (place.key, rate.key(holder)), (*arguments, *rate.arguments)
        result = NO_PLACE
        for attempt, pause in enumerate((*PAUSES, None)):
            try:
                result = int(self._link.ask(op, lambda client: TAKE.run(client, keys, *arguments)))
            except Unanswered:
                if not attempt:
                    raise
                # What Redis has said stands, though the turn's budget is spent on it.
                break
            # Without a place nothing was counted, so that it may be asked for again.
            if result != NO_PLACE or pause is None:
                break
            with while_waiting():
                gevent.sleep(pause)
        return result

    def _take_without(self, running: int) -> None:
        """Count a turn while Redis is away. The place is made known to Redis when it is back."""
        if self._without == "refuse":
            raise LimitsUnavailable.in_a_second()
        self._link.count_limit(self._without)
        if self._without == "share" and running > self._link.share_of(self._limit):
            raise no_more_places(self._limit)

    def _renew(self, client: "Redis", is_forgotten: bool) -> None:
        """Renew all places if it is time; those that Redis has forgotten are made anew."""
        self._give_untold(client)
        now = time.monotonic()
        # A worker that was stopped for longer than a lease has lost its places to others' clean-up.
        is_forgotten = is_forgotten or now - self._renewed > LEASE_MS / 1000
        is_due = is_forgotten or now - self._renewed >= RENEW_SECONDS
        # Each key once at least, for the places of workers that have died.
        places = [(key, slot) for key, slots in self._held.items() for slot in (slots if is_due else ("",))]
        for first in range(0, len(places), RENEWED_AT_ONCE):
            some: defaultdict[str, list[str]] = defaultdict(list)
            for key, slot in places[first : first + RENEWED_AT_ONCE]:
                # What was given back meanwhile is not made anew.
                some[key] += [slot] if slot in self._held.get(key, ()) else []
            mode = "" if is_forgotten else "XX"
            # Together: a worker whose callers have a thousand keys has not the time for as many round trips.
            for reply in RENEW.run_each(client, [(key, (LEASE_MS, mode, *slots)) for key, slots in some.items()]):
                # A key of another type is that key's fault alone.
                if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                    raise reply
        if is_due:
            self._renewed = now

    def _give_for_ever(self) -> None:
        while True:
            self._is_given.wait()
            self._is_given.clear()
            by_key: defaultdict[str, list[str]] = defaultdict(list)
            while self._given:
                place = self._given.popleft()
                by_key[place.key].append(place.slot)
            for key, slots in by_key.items():
                self._remove(key, slots)

    def _remove(self, key: str, slots: list[str]) -> None:
        """Remove places from Redis; the beat removes those that could not be."""
        try:
            self._link.ask("give", lambda client: reply_to(client, "ZREM", key, *slots), GIVE_SECONDS)
        except Unanswered:
            now = time.monotonic()
            self._untold += [(now, Place(key, slot)) for slot in slots]
            # Later they expire by themselves, or Redis has not been there for so long.
            while self._untold[0][0] < now - LEASE_MS / 1000:
                self._untold.popleft()

    def _give_untold(self, client: "Redis") -> None:
        """Remove the places of turns that have ended while Redis was away: their callers would be refused for a lease.

        Raises what the library raises.
        """
        while self._untold:
            some = list(itertools.islice(self._untold, RENEWED_AT_ONCE))
            replies_to(client, [("ZREM", place.key, place.slot) for _, place in some])
            # Only now, since a beat may be cut short. Meanwhile old ones may have left at the start.
            told = set(some)
            while self._untold and self._untold[0] in told:
                self._untold.popleft()
