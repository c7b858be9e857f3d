"""The line of the bases that are to be loaded one after the other: who is next, and who waits for which.

    awaited      somebody waits for the base                       first, in the order in which they were asked for
    renewed      held, and published anew                          taking turns with the awaited ones
    abandoned    all who have waited for it have given up          behind both
    failed       its load has failed, and its pause is over        last

Whoever asks for thousands of bases and waits for none costs no more loads than there is room for: of those that are
abandoned, and of those that have failed, only as many stay in the line as would fit into the memory.
"""

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from gevent.event import Event

from parley.knowledge.bases import Base

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses in seconds after loads of a base that failed, one after another; the last is repeated."""


@dataclass
class Demand:
    """A base that is asked for: how many wait for it, and what was loaded, if anything, once it is `settled`."""

    waiting: int = 0
    settled: Event = field(default_factory=Event)
    base: Base | None = None


@dataclass(frozen=True)
class Failure:
    """The last of several failed loads of a base, and the time before which it is not tried again."""

    fault: str
    pauses: int
    retry_at: float


class LoadQueue:
    """The line. `size` returns the passages of a base, `limit` is how many fit into the memory."""

    def __init__(self, size: Callable[[str], int], limit: int) -> None:
        self._size = size
        self._limit = limit
        self._demands: dict[str, Demand] = {}
        self._renewed: dict[str, None] = {}
        self._renew_at = 0.0
        self._was_renewed = False
        self._failures: dict[str, Failure] = {}
        self._changed = Event()

    @property
    def is_empty(self) -> bool:
        """True if no base is asked for, and none is to be renewed."""
        return not (self._demands or self._renewed)

    def want(self, name: str) -> Demand:
        """Put a base into the line, unless it is there; return its demand, which all who ask for it share."""
        self.wake()
        return self._demands.setdefault(name, Demand())

    def renew(self, names: Iterable[str], spread: float) -> None:
        """Put bases into the line that are held and have changed, after a random pause of at most `spread` seconds."""
        if new := [name for name in names if name not in self._renewed]:
            self._renew_at = time.monotonic() + random.uniform(0, spread)
            self._renewed |= dict.fromkeys(new)
            self.wake()

    def next(self, now: float) -> str | None:
        """Return the base to load now, which stays in the line until `leave`; None if there is none."""
        abandoned = [name for name, demand in self._demands.items() if not demand.waiting]
        for name in self._without_room(abandoned):
            del self._demands[name]
        awaited = next((name for name, demand in self._demands.items() if demand.waiting), None)
        renewed = next(iter(self._renewed), None) if now >= self._renew_at else None
        self._was_renewed = renewed is not None and (awaited is None or not self._was_renewed)
        if self._was_renewed:
            return renewed
        if awaited is not None:
            return awaited
        # Not by `or`: the name of the base without one is false.
        failed = [name for name, failure in self._failures.items() if failure.retry_at <= now]
        return next(iter([*self._demands, *failed]), None)

    def wait(self, until: float) -> None:
        """Return when a base is wanted or falls due, at a call of `wake`, or at a time of the monotonic clock."""
        later = [failure.retry_at for failure in self._failures.values()]
        later += [self._renew_at] if self._renewed else []
        until = min([until, *later])
        self._changed.wait(None if until == math.inf else max(0.0, until - time.monotonic()))
        self._changed.clear()

    def wake(self) -> None:
        """End the wait that goes on, or else the next one."""
        self._changed.set()

    def leave(self, name: str, base: Base | None) -> None:
        """Take a base out of the line, and hand it to all who wait; None if it was not loaded."""
        self._renewed.pop(name, None)
        if base is not None:
            self._failures.pop(name, None)
        if (demand := self._demands.pop(name, None)) is not None:
            demand.base = base
            demand.settled.set()

    def fail(self, name: str, fault: str) -> bool:
        """Note that a base did not load; it is tried again after a pause. Return True if the fault is a new one."""
        known = self._failures.pop(name, None)
        pauses = known.pauses + 1 if known else 0
        retry_at = time.monotonic() + RETRY_SECONDS[min(pauses, len(RETRY_SECONDS) - 1)]
        self._failures[name] = Failure(fault, pauses, retry_at)
        return known is None or known.fault != fault

    def excess(self) -> list[str]:
        """Return the bases that failed first, and would not be held if all of them were loaded; they are forgotten."""
        names = self._without_room(list(self._failures))
        self.forget(names)
        return names

    def fault(self, name: str) -> str:
        """Return why the last load of a base failed, or an empty text."""
        failure = self._failures.get(name)
        return failure.fault if failure else ""

    def is_pausing(self, name: str) -> bool:
        """Return True while a base that failed is not tried again."""
        failure = self._failures.get(name)
        return failure is not None and time.monotonic() < failure.retry_at

    def end_pauses(self) -> None:
        """Have what failed tried again at once: its source was away, and is back."""
        self._failures = {name: replace(failure, retry_at=0.0) for name, failure in self._failures.items()}
        self.wake()

    def forget(self, names: Iterable[str]) -> None:
        """Know nothing of the failures and renewals of bases any more: they are gone, or others by now."""
        for name in names:
            self._failures.pop(name, None)
            self._renewed.pop(name, None)

    def _without_room(self, names: list[str]) -> list[str]:
        """Return the first of the names, as many as must go for the others to fit into the memory together."""
        passages = sum(map(self._size, names))
        gone = []
        for name in names:
            if passages <= self._limit:
                break
            passages -= self._size(name)
            gone.append(name)
        return gone
