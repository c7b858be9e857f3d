"""Admission: checks keys, and limits how many turns run at once and how often a caller may begin one.

A request becomes a turn in two steps: `Keyring.check` names its caller, `Admission.admit` gives it a slot until
`Admission.release`. The limits of a key are in `parley/shared/`.
"""

import contextlib
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

from gevent.event import Event

from parley.errors import InvalidApiKey, ServerOverloaded
from parley.shared.local import LocalPlaces, Place, Places, While, no_more_places

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
LASTING_CHARACTERS = 16
"""Hexadecimal digits by which a key is known outside of this process: too few to check a guess of a key with."""
Compare = Callable[[bytes, bytes], bool]


class Keyring:
    """The API keys. Without any the server is open: everybody is let in."""

    def __init__(self, keys: Iterable[str] | None, compare: Compare = hmac.compare_digest) -> None:
        self._compare = compare
        numbered = [(f"key-{number}", key) for number, key in enumerate(keys or (), start=1)]
        self._digests = {name: _digest(key) for name, key in numbered}
        # Of another digest than the one that is compared: these leave the process.
        self._lasting = {name: _digest(f"parley:{key}").hex()[:LASTING_CHARACTERS] for name, key in numbered}

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

    def lasting_name(self, holder: str | None) -> str:
        """Return a name of a holder that other machines know, and that stays if keys are added before its own."""
        return self._lasting.get(holder or ANYBODY, ANYBODY)

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
    """The slots of one worker: at most `limit` turns, of which each holder of a key has as many as it has `places`.

    The places also limit how many turns a holder may begin in a stretch of time. They may be shared by several workers.
    Not safe for threads: a gevent worker has one.

    A caller who barges in ends one call and begins the next in the same moment, so a call that finds no slot waits a
    little for one: up to FREED_SECONDS while a turn is ending, else NEWS_SECONDS. `release` gives the slot to the call
    that has waited longest of those that may take it, so no call waits while a slot is free.

        call --> slot free ------------------------------> running --> release
             --> waiting --> slot granted by a release --> running --> release
                         --> time is up ----------------> refused (ServerOverloaded, RateLimited)

    A place that other workers know of is asked for behind the slot: what this worker can refuse costs no question.
    """

    def __init__(self, limit: int, places: Places | None = None) -> None:
        self.limit = limit
        self._places = places or LocalPlaces()
        self._taken: dict[Turn, Place] = {}
        self._by_holder: Counter[str] = Counter()
        self._waiting: dict[Turn, tuple[str, Event]] = {}
        self.running: dict[Turn, str] = {}

    def admit(
        self,
        turn: "Turn",
        holder: str = ANYBODY,
        while_waiting: While = contextlib.nullcontext,
    ) -> None:
        """Give a turn a slot, after a short wait if need be. Raises ServerOverloaded, RateLimited, LimitsUnavailable.

        `while_waiting` gives a context for the time of a wait, which any exception may interrupt.
        """
        if self._has_slot(holder):
            self._take_slot(turn, holder)
        else:
            with while_waiting():
                self._wait_for_slot(turn, holder)
        try:
            # Behind the slot, so that a call that is refused for want of one does not count.
            place = self._places.take(holder, self._by_holder[holder], while_waiting)
        except BaseException:
            self.release(turn)
            raise
        if place:
            self._taken[turn] = place

    def count(self, holder: str) -> None:
        """Count something that a holder begins without a slot. Raises RateLimited."""
        self._places.rate.take(holder)

    def release(self, turn: "Turn") -> None:
        """Free the slot of an admitted turn, for the first waiting call that may take it."""
        holder = self.running.pop(turn)
        self._by_holder[holder] -= 1
        if place := self._taken.pop(turn, None):
            self._places.give(place)
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
        most = self._places.most
        return not self._is_full() and (most is None or self._by_holder[holder] < most)

    def _is_full(self) -> bool:
        return len(self.running) >= self.limit

    def _refuse(self, holder: str) -> NoReturn:
        """Raise ServerOverloaded or RateLimited, by the cap that is in the way."""
        if self._is_full():
            raise ServerOverloaded("the server carries as many conversations as it can", headers={"retry-after": "1"})
        raise no_more_places(self._places.most or 0)
