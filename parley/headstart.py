"""An answer that begins to work before anybody listens to it."""

from collections.abc import Generator

import gevent

from parley.errors import Capped, ParleyError


class HeadStart:
    """Runs the first step of a generator aside; iterates over all of it afterwards.

    Must be closed: that ends the step, if it still runs, and the generator.
    """

    def __init__(self, events: Generator[list[bytes], None, None]) -> None:
        self._events = events
        self._first = gevent.spawn(self._step)

    def ready_within(self, seconds: float) -> bool:
        """Wait for the first step at most so long; say whether it has been taken, or has failed."""
        self._first.join(seconds)
        return bool(self._first.ready())

    def __iter__(self) -> Generator[list[bytes], None, None]:
        first = self._first.get()
        if isinstance(first, ParleyError | Capped):
            raise first
        if first is not None:
            yield first
            yield from self._events

    def close(self) -> None:
        """Stop, whatever it is doing."""
        self._first.kill()
        self._events.close()

    def _step(self) -> list[bytes] | ParleyError | Capped | None:
        # An error is carried over, not raised: a greenlet that dies of one is reported on standard error.
        try:
            return next(self._events, None)
        except (ParleyError, Capped) as error:
            return error
