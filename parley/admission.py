"""Who is let in, how many at once, and how often."""

import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from parley.errors import InvalidApiKey, RateLimited, ServerOverloaded

if TYPE_CHECKING:
    from parley.turn import Turn

ANYBODY = "anybody"
"""The caller where no key is asked for: all share its limits."""
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
    """

    def __init__(self, limit: int, per_key: int | None = None, rate: str | None = None) -> None:
        self.limit = limit
        self._per_key = per_key
        self._rate = _Rate(parse(rate)) if rate else None
        self._by_holder: Counter[str] = Counter()
        self.running: dict[Turn, str] = {}

    def admit(self, turn: "Turn", holder: str = ANYBODY) -> None:
        """Let a turn in. Raises ServerOverloaded or RateLimited: nobody queues in a phone call."""
        if len(self.running) >= self.limit:
            raise ServerOverloaded("the server carries as many conversations as it can", headers={"retry-after": "1"})
        if self._per_key is not None and self._by_holder[holder] >= self._per_key:
            raise RateLimited(
                f"this key may hold {self._per_key} conversations at a time", headers={"retry-after": "1"}
            )
        if self._rate:
            self._rate.check(holder)
        self.running[turn] = holder
        self._by_holder[holder] += 1

    def release(self, turn: "Turn") -> None:
        """Give an admitted turn's slot back."""
        holder = self.running.pop(turn)
        self._by_holder[holder] -= 1


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
