"""Limits that a worker counts by itself: those of a server without `REDIS_URL`.

    NoRate, LocalRate    how often each holder of a key may begin a turn (`RATE_LIMIT`)
    LocalPlaces          how many turns of each holder may run at a time (`MAX_STREAMS_PER_KEY`)

`Rate` and `Places` are what `Admission` needs of them, and of those that all workers share.
"""

import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from parley.errors import RateLimited

UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds in each unit of `RATE_LIMIT`."""
SLICES = 256
"""Slices of the stretch of a rate limit: a turn counts for at most 1/256 of the stretch too long."""
While = Callable[[], AbstractContextManager[object]]
"""A context for the time of a wait, which any exception may interrupt."""


class Rate(Protocol):
    """A limit on the turns that each holder begins in a stretch of time."""

    def take(self, holder: str) -> None:
        """Count a turn. Raises RateLimited, whose headers tell when the next one may begin, and LimitsUnavailable."""
        ...


class NoRate:
    """The limit of a server that has none."""

    def take(self, holder: str) -> None:
        """Do nothing."""


class LocalRate:
    """Limit such as "60/minute" on the turns that each holder begins in any stretch of time.

    Turns are counted in slices of the stretch, so that neither memory nor time grows with the limit. A slice expires as
    a whole, with its last turn: never more than the limit begin in a stretch, and a turn counts for at most a slice
    too long. `clock` is a monotonic one: with the time of day, a correction of the clock would lock a key.
    """

    def __init__(self, rate: str, clock: Callable[[], float] = time.monotonic) -> None:
        amount, self._unit = rate.split("/")
        self.amount = int(amount)
        self.seconds = UNITS[self._unit]
        self._clock = clock
        # By holder, of whom there are few: the slices with turns, the oldest first, and the sum of their turns.
        self._slices: dict[str, deque[_Slice]] = {}
        self._sums: Counter[str] = Counter()

    def take(self, holder: str) -> None:
        """Count a turn. Raises RateLimited, whose headers tell when the next one may begin."""
        self.take_share(holder, self.amount)

    def take_share(self, holder: str, amount: int) -> None:
        """Count a turn of which only so many may begin here. Raises RateLimited."""
        now = self._clock()
        slices = self._current(holder, now)
        if self._sums[holder] >= amount:
            raise self.refusal(max(1, math.ceil(slices[0].last + self.seconds - now)))
        self._add(holder, slices, now)

    def note(self, holder: str) -> None:
        """Count a turn that has been admitted, whatever the limit."""
        now = self._clock()
        self._add(holder, self._current(holder, now), now)

    def refusal(self, seconds: int) -> RateLimited:
        """Return the error of a turn that may begin in so many seconds."""
        return RateLimited(
            f"this key may begin {self.amount} conversations per {self._unit}",
            headers={
                "retry-after": str(seconds),
                "x-ratelimit-limit": str(self.amount),
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(seconds),
            },
        )

    def _current(self, holder: str, now: float) -> "deque[_Slice]":
        """Return a holder's slices without those that have expired."""
        slices = self._slices.setdefault(holder, deque())
        while slices and slices[0].last <= now - self.seconds:
            self._sums[holder] -= slices.popleft().turns
        return slices

    def _add(self, holder: str, slices: "deque[_Slice]", now: float) -> None:
        if not slices or now - slices[-1].first >= self.seconds / SLICES:
            slices.append(_Slice(now))
        slices[-1].last = now
        slices[-1].turns += 1
        self._sums[holder] += 1


class _Slice:
    """Turns that began within one slice of time: when the first and the last began, and their number."""

    __slots__ = ("first", "last", "turns")

    def __init__(self, now: float) -> None:
        self.first = self.last = now
        self.turns = 0


class Place:
    """A place that all workers know of, from the moment in which it is asked for."""

    __slots__ = ("key", "slot")

    def __init__(self, key: str, slot: str) -> None:
        self.key = key
        self.slot = slot


class Places(Protocol):
    """A limit on the turns of each holder that run at a time, and on those that begin: a place is for a turn that may.

    `rate` is for what begins without a place.
    """

    rate: Rate

    @property
    def most(self) -> int | None:
        """Most turns of a holder in this worker, now; None for any number."""
        ...

    def take(self, holder: str, running: int, while_waiting: While = contextlib.nullcontext) -> Place | None:
        """Return a place for one of the holder's `running` turns in this worker, itself included; None needs no giving.

        The rate counts the turn, but not one that gets no place. Raises RateLimited and LimitsUnavailable.
        """
        ...

    def give(self, place: Place) -> None:
        """Give a place back."""
        ...


class LocalPlaces:
    """Places of each holder in this worker, whose turns `Admission` counts; without a limit any number."""

    def __init__(self, limit: int | None = None, rate: Rate | None = None) -> None:
        self.most = limit
        self.rate = rate or NoRate()

    def take(self, holder: str, running: int, while_waiting: While = contextlib.nullcontext) -> None:
        """Count a turn with the rate; nobody is asked for a place. Raises RateLimited and LimitsUnavailable."""
        self.rate.take(holder)

    def give(self, place: Place) -> None:
        """Do nothing."""


def no_more_places(limit: int) -> RateLimited:
    """Return the error of a turn for which its holder has no place."""
    return RateLimited(f"this key may hold {limit} conversations at a time", headers={"retry-after": "1"})
