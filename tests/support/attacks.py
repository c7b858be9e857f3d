"""Attacks beside callers who talk on: what those callers get, and that nobody hurt them."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import strangers
from running_server import RunningServer
from strangers import Beside
from talkers import KEY, House, serving

LOCKED = MappingProxyType({"API_KEYS": KEY})
MOST_GAP = 1.5
"""Seconds of silence inside a call beside strangers; an idle machine has some milliseconds."""
MOST_WAIT = 3.0
"""Seconds for a health check or a new call beside strangers."""


class Attacks:
    """`attacked(kinds, count)` returns what eight callers get beside so many strangers.

    Attacks on servers of the same settings share one, with the upstream behind it: an attack must leave nothing behind
    that hurts the callers of the next.
    """

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._stack = contextlib.AsyncExitStack()
        self._servers: dict[frozenset[tuple[str, str]], tuple[RunningServer, House]] = {}

    def __call__(
        self, kinds: Sequence[str], count: int, settings: Mapping[str, str] = LOCKED, seconds: float = 2.0
    ) -> Beside:
        return self._runner.run(self._attack(kinds, count, settings, seconds))

    async def _attack(self, kinds: Sequence[str], count: int, settings: Mapping[str, str], seconds: float) -> Beside:
        key = frozenset(settings.items())
        if key not in self._servers:
            self._servers[key] = await self._stack.enter_async_context(serving(settings))
        server, house = self._servers[key]
        found = await strangers.beside(server, house, kinds, count, seconds, callers=8, words=40)
        assert "Traceback" not in await asyncio.to_thread(server.output)
        return found

    def close(self) -> None:
        """Stop the servers."""
        self._runner.run(self._stack.aclose())


@contextlib.contextmanager
def shared_attacks() -> Iterator[Attacks]:
    """Yield the attacks, for the length of a `with` block."""
    with asyncio.Runner() as runner:
        attacks = Attacks(runner)
        try:
            yield attacks
        finally:
            attacks.close()


def check_unhurt(found: Beside) -> None:
    """Check that every call was whole and flowed, that health answered, and that no worker was lost."""
    assert (found.workers_lost, found.faults) == (0, [])
    assert found.calls > 8
    longest = {"gap": max(found.gaps), "health": max(found.health), "new call": max(found.new_calls)}
    assert longest["gap"] <= MOST_GAP and max(longest.values()) <= MOST_WAIT, longest
