"""Who is let in, how many at once, and how often."""

import contextlib
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn

from gevent.event import Event
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from parley.errors import InvalidApiKey, RateLimited, ServerOverloaded

if TYPE_CHECKING:
    from parley.turn import Turn

ANYBODY = "anybody"
"""The caller where no key is asked for: all share its limits."""
NEWS_SECONDS = 0.004
"""How long a call waits at least: that a client has left may be noticed a pass of the event loop later."""
FREED_SECONDS = 0.15
"""How long a call waits at most, which it does where a turn is ending whose place it could take."""
MOST_WAITING = 128
"""Calls that wait for a place at the same time; one more is refused at once."""
Compare = Callable[[bytes, bytes], bool]


class Keyring:
    """The keys that open the door; without any it stands open."""

    def __init__(self, keys: Iterable[str] | None, compare: Compare = hmac.compare_digest) -> None:
        self._compare = compare
        self._digests = {f"key-{number}": _digest(key) for number, key in enumerate(keys or (), start=1)}

    @property
    def is_open(self) -> bool:
        """Whether everybody may come in."""
        return not self._digests

    def holder(self, presented: Iterable[str]) -> str | None:
        """A name for whoever presents one of our keys (key-1, key-2, ...); None for a stranger.

        Digests of bytes are compared, each with each, so that neither time nor an odd character tells anything.
        """
        digests = [_digest(key) for key in presented]
        matching = [
            name for name, ours in self._digests.items() if any([self._compare(ours, theirs) for theirs in digests])
        ]
        return ANYBODY if self.is_open else next(iter(matching), None)

    def check(self, presented: Iterable[str]) -> str:
        """The holder's name. Raises InvalidApiKey unless a presented key is one of ours."""
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
    """The turns that one worker runs: at most `limit`, and `per_key` for each holder of a key.

    `rate` bounds how many a holder may begin in a stretch of time, such as "60/minute". All of this is counted in
    this worker alone. Not for threads: a gevent worker has one.

    A caller who barges in cuts one call and begins the next in the same moment, so a call that finds no place waits
    a little for one: up to FREED_SECONDS where a turn is ending, else NEWS_SECONDS. `release` gives the place to the
    call that has waited longest of those that may take it, so nobody waits where there is a place.
    """

    def __init__(self, limit: int, per_key: int | None = None, rate: str | None = None) -> None:
        self.limit = limit
        self._per_key = per_key
        self._rate = _Rate(parse(rate)) if rate else None
        self._by_holder: Counter[str] = Counter()
        self._waiting: dict[Turn, tuple[str, Event]] = {}
        self.running: dict[Turn, str] = {}

    def admit(
        self, turn: "Turn", holder: str = ANYBODY, while_waiting: AbstractContextManager[object] | None = None
    ) -> None:
        """Let a turn in, after a short wait if need be. Raises ServerOverloaded or RateLimited.

        `while_waiting` is entered for the time of a wait, which any exception may interrupt.
        """
        if self._has_place(holder):
            self._take_place(turn, holder)
        else:
            with while_waiting or contextlib.nullcontext():
                self._wait_for_place(turn, holder)
        if self._rate:
            try:
                self._rate.check(holder)
            except BaseException:
                self.release(turn)
                raise

    def release(self, turn: "Turn") -> None:
        """Give an admitted turn's place back, or to the first in line who may take it."""
        holder = self.running.pop(turn)
        self._by_holder[holder] -= 1
        for waiting, (its_holder, granted) in self._waiting.items():
            if self._has_place(its_holder):
                del self._waiting[waiting]
                self._take_place(waiting, its_holder)
                granted.set()
                return

    def _take_place(self, turn: "Turn", holder: str) -> None:
        self.running[turn] = holder
        self._by_holder[holder] += 1

    def _wait_for_place(self, turn: "Turn", holder: str) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._refuse(holder)
        granted = Event()
        self._waiting[turn] = holder, granted
        try:
            # The second wait is for one pass of the event loop: timers are served before the sockets of their pass.
            if not (granted.wait(NEWS_SECONDS) or granted.wait(0)) and self._frees_place(holder):
                granted.wait(FREED_SECONDS - NEWS_SECONDS)
        except BaseException:
            if turn in self.running:
                self.release(turn)
            raise
        finally:
            self._waiting.pop(turn, None)
        if turn not in self.running:
            self._refuse(holder)

    def _frees_place(self, holder: str) -> bool:
        """Return whether a turn is ending whose place this holder could take."""
        full = self._is_full()
        return any(turn.is_ending for turn, its_holder in self.running.items() if full or its_holder == holder)

    def _has_place(self, holder: str) -> bool:
        return not self._is_full() and (self._per_key is None or self._by_holder[holder] < self._per_key)

    def _is_full(self) -> bool:
        return len(self.running) >= self.limit

    def _refuse(self, holder: str) -> NoReturn:
        """Raise ServerOverloaded or RateLimited, by the cap that is in the way."""
        if self._is_full():
            raise ServerOverloaded("the server carries as many conversations as it can", headers={"retry-after": "1"})
        raise RateLimited(f"this key may hold {self._per_key} conversations at a time", headers={"retry-after": "1"})


class _Rate:
    """So many turns in a moving window, for each holder; the holders are few, so the memory is bounded."""

    def __init__(self, item: RateLimitItem) -> None:
        self._item = item
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, holder: str) -> None:
        """Count a turn. Raises RateLimited, with headers that tell when the next may begin."""
        if self._limiter.hit(self._item, holder):
            return
        window = self._limiter.get_window_stats(self._item, holder)
        seconds = max(1, round(window.reset_time - time.time() + 0.5))
        raise RateLimited(
            f"this key may begin {self._item} conversations",
            headers={
                "retry-after": str(seconds),
                "x-ratelimit-limit": str(self._item.amount),
                "x-ratelimit-remaining": str(window.remaining),
                "x-ratelimit-reset": str(seconds),
            },
        )
