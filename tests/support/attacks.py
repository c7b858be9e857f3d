"""Attacks beside callers who talk on: what those callers get, and that nobody hurt them."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import strangers
from strangers import Beside
from talkers import KEY, serving

LOCKED = MappingProxyType({"API_KEYS": KEY})
MOST_GAP = 0.5
"""Seconds of silence inside a call beside strangers; an idle machine has some milliseconds."""
MOST_WAIT = 1.5
"""Seconds for a health check or a new call beside strangers."""


def attacked(kinds: Sequence[str], count: int, settings: Mapping[str, str] = LOCKED, seconds: float = 2.0) -> Beside:
    """Return what eight callers get beside so many strangers."""

    async def run() -> Beside:
        async with serving(settings) as (server, house):
            found = await strangers.beside(server, house, kinds, count, seconds, callers=8, words=40)
            assert "Traceback" not in await asyncio.to_thread(server.output)
            return found

    return asyncio.run(run())


def check_unhurt(found: Beside) -> None:
    """Check that every call was whole and flowed, that health answered, and that no worker was lost."""
    assert (found.workers_lost, found.faults) == (0, [])
    assert found.calls > 8
    longest = {"gap": max(found.gaps), "health": max(found.health), "new call": max(found.new_calls)}
    assert longest["gap"] <= MOST_GAP and max(longest.values()) <= MOST_WAIT, longest
