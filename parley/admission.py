"""Admission: checks keys, and limits how many turns run at once and how often a caller may begin one.

A request becomes a turn in two steps: `Keyring.check` names its caller, `Admission.admit` gives it a slot until
`Admission.release`.
"""

import contextlib
import hashlib
import hmac
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn

from gevent.event import Event

from parley.errors import InvalidApiKey, RateLimited, ServerOverloaded

if TYPE_CHECKING:
    from parley.turn import Turn

ANYBODY = "anybody"
"""Name of every caller while no key is set: all share its limits."""
NEWS_SECONDS = 0.004
"""Shortest wait for a slot, in seconds: a client that has left may be noticed one pass of the event loop later."""
FREED_SECONDS = 0.15
"""Longest wait for a slot, in seconds, while a turn is ending whose slot the call could take."""
MAX_WAITING = 128
"""Most calls that wait for a slot at the same time; one more is refused at once."""
UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds in each unit of `RATE_LIMIT`."""
SLICES = 256
"""Slices of the stretch of a rate limit: a turn counts for at most 1/256 of the stretch too long."""
Compare = Callable[[bytes, bytes], bool]


class Keyring:
    """The API keys. Without any the server is open: everybody is let in."""

    def __init__(self, keys: Iterable[str] | None, compare: Compare = hmac.compare_digest) -> None:
        self._compare = compare
        self._digests = {f"key-{number}": _digest(key) for number, key in enumerate(keys or (), start=1)}

    @property
    def is_open(self) -> bool:
        """True if no key is needed."""
        return not self._digests

    def holder(self, presented: Iterable[str]) -> str | None:
        """Return the name of the key that was presented (key-1, key-2, ...), or None for a stranger.

        Digests of bytes are compared, each with each: neither the time taken nor an odd character reveals a key.
        """
        digests = [_digest(key) for key in presented]
        matching = [
            # A list inside of any(): it compares all of them, whichever matches.
            name
            for name, ours in self._digests.items()
            if any([self._compare(ours, theirs) for theirs in digests])
        ]
        return ANYBODY if self.is_open else next(iter(matching), None)

    def check(self, presented: Iterable[str]) -> str:
        """Return the name of the key that was presented. Raises InvalidApiKey unless it is one of ours."""
        holder = self.holder(presented)
        if holder is None:
            raise InvalidApiKey(
                "a valid API key is needed: Authorization: Bearer KEY, or x-api-key: KEY",
                headers={"www-authenticate": "Bearer"},
            )
        return holder


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class Admission:
    """The slots of one worker: at most `limit` turns, and `per_key` for each holder of a key.

    `rate` limits how many turns a holder may begin in a stretch of time, such as "60/minute". Everything is counted in
    this worker alone. Not safe for threads: a gevent worker has one.

    A caller who barges in ends one call and begins the next in the same moment, so a call that finds no slot waits a
    little for one: up to FREED_SECONDS while a turn is ending, else NEWS_SECONDS. `release` gives the slot to the call
    that has waited longest of those that may take it, so no call waits while a slot is free.

        call --> slot free ------------------------------> running --> release
             --> waiting --> slot granted by a release --> running --> release
                         --> time is up ----------------> refused (ServerOverloaded, RateLimited)
    """

    def __init__(self, limit: int, per_key: int | None = None, rate: str | None = None) -> None:
        self.limit = limit
        self._per_key = per_key
        self._rate = RateLimit(rate) if rate else None
        self._by_holder: Counter[str] = Counter()
        self._waiting: dict[Turn, tuple[str, Event]] = {}
        self.running: dict[Turn, str] = {}

    def admit(
        self,
        turn: "Turn",
        holder: str = ANYBODY,
        while_waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        """Give a turn a slot, after a short wait if need be. Raises ServerOverloaded or RateLimited.

        `while_waiting` gives a context for the time of a wait, which any exception may interrupt.
        """
        if self._has_slot(holder):
            self._take_slot(turn, holder)
        else:
            with while_waiting():
                self._wait_for_slot(turn, holder)
        if self._rate:
            # Last, so that a call that is refused for want of a slot does not count.
            try:
                self._rate.check(holder)
            except BaseException:
                self.release(turn)
                raise

    def count(self, holder: str) -> None:
        """Count something that a holder begins without a slot. Raises RateLimited."""
        if self._rate:
            self._rate.check(holder)

    def release(self, turn: "Turn") -> None:
        """Free the slot of an admitted turn, for the first waiting call that may take it."""
        holder = self.running.pop(turn)
        self._by_holder[holder] -= 1
        for waiting, (its_holder, granted) in self._waiting.items():
            if self._has_slot(its_holder):
                # Taken here, not by the greenlet that wakes: a new call could come between.
                del self._waiting[waiting]
                self._take_slot(waiting, its_holder)
                granted.set()
                return

    def _take_slot(self, turn: "Turn", holder: str) -> None:
        self.running[turn] = holder
        self._by_holder[holder] += 1

    def _wait_for_slot(self, turn: "Turn", holder: str) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._refuse(holder)
        granted = Event()
        self._waiting[turn] = holder, granted
        try:
            # A caller who barges in has left the call before just now: one pass of the loop later it is seen.
            # The second wait is for one pass of the event loop: timers are served before the sockets of their pass.
            if not (granted.wait(NEWS_SECONDS) or granted.wait(0)):
                full = self._is_full()
                # A slot that this holder could take: any of a full worker, else one of its own.
                if any(other.is_ending for other, its_holder in self.running.items() if full or its_holder == holder):
                    granted.wait(FREED_SECONDS - NEWS_SECONDS)
        except BaseException:
            # Interrupted, perhaps just after a release has granted the slot.
            if turn in self.running:
                self.release(turn)
            raise
        finally:
            self._waiting.pop(turn, None)
        if turn not in self.running:
            self._refuse(holder)

    def _has_slot(self, holder: str) -> bool:
        return not self._is_full() and (self._per_key is None or self._by_holder[holder] < self._per_key)

    def _is_full(self) -> bool:
        return len(self.running) >= self.limit

    def _refuse(self, holder: str) -> NoReturn:
        """Raise ServerOverloaded or RateLimited, by the cap that is in the way."""
        if self._is_full():
            raise ServerOverloaded("the server carries as many conversations as it can", headers={"retry-after": "1"})
        raise RateLimited(f"this key may hold {self._per_key} conversations at a time", headers={"retry-after": "1"})


class RateLimit:
    """Limit on the turns that each holder begins in any stretch of time, such as "60/minute".

    Turns are counted in slices of the stretch, so that neither memory nor time grows with the limit. A slice expires as
    a whole, with its last turn: never more than the limit begin in a stretch, and a turn counts for at most a slice
    too long. `clock` is a monotonic one: with the time of day, a correction of the clock would lock a key.
    """

    def __init__(self, rate: str, clock: Callable[[], float] = time.monotonic) -> None:
        amount, self._unit = rate.split("/")
        self._amount = int(amount)
        self._seconds = UNITS[self._unit]
        self._clock = clock
        # By holder, of whom there are few: the slices with turns, the oldest first, and the sum of their turns.
        self._slices: dict[str, deque[_Slice]] = {}
        self._sums: Counter[str] = Counter()

    def check(self, holder: str) -> None:
        """Count a turn. Raises RateLimited, whose headers tell when the next one may begin."""
        now = self._clock()
        slices = self._slices.setdefault(holder, deque())
        while slices and slices[0].last <= now - self._seconds:
            self._sums[holder] -= slices.popleft().turns
        if self._sums[holder] >= self._amount:
            raise self._refusal(max(1, math.ceil(slices[0].last + self._seconds - now)))
        if not slices or now - slices[-1].first >= self._seconds / SLICES:
            slices.append(_Slice(now))
        slices[-1].last = now
        slices[-1].turns += 1
        self._sums[holder] += 1

    def _refusal(self, seconds: int) -> RateLimited:
        """Return the error of a turn that may begin in so many seconds."""
        return RateLimited(
            f"this key may begin {self._amount} conversations per {self._unit}",
            headers={
                "retry-after": str(seconds),
                "x-ratelimit-limit": str(self._amount),
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(seconds),
            },
        )


class _Slice:
    """Turns that began within one slice of time: when the first and the last began, and their number."""

    __slots__ = ("first", "last", "turns")

    def __init__(self, now: float) -> None:
        self.first = self.last = now
        self.turns = 0
