"""Vectors that came with a base's passages, used in place of the cache's until all of them have been read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from parley.knowledge.postings import Floats
from parley.knowledge.vector_cache import Vectors

STEP = 64
"""Items between two steps of quick work on each of them, some 200 us."""

Item = TypeVar("Item")


def in_steps(items: Iterable[Item], breathe: Callable[[], None]) -> Iterator[Item]:
    """Yield the items, and call `breathe` now and then, so that the event loop can run meanwhile."""
    for number, item in enumerate(items):
        if number % STEP == 0:
            breathe()
        yield item


class StoredVectors:
    """The vectors of a load by content key, as functions that read them; `encoder` is the name of their maker."""

    def __init__(self, encoder: str, read: Mapping[bytes, Callable[[], Floats | None]]) -> None:
        self.encoder = encoder
        self._read = dict(read)
        self._behind: Vectors | None = None
        self._breathe: Callable[[], None] = lambda: None

    def in_front_of(self, cache: Vectors, breathe: Callable[[], None]) -> "StoredVectors":
        """Return these vectors, with the others of a cache behind them."""
        self._behind, self._breathe = cache, breathe
        return self

    def holds(self, keys: Iterable[bytes]) -> bool:
        """Return True if there are vectors of all these keys."""
        # Making the keys of a large base takes long.
        return all(key in self._read for key in in_steps(keys, self._breathe))

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors of those keys that came with the passages, or that the cache has."""
        self._breathe()
        found = {key: rows for key in keys if key in self._read and (rows := self._read[key]()) is not None}
        others = [key for key in keys if key not in found]
        return {**self._behind.get(others), **found} if self._behind and others else found

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Store vectors in the cache."""
        if self._behind:
            self._behind.put(vectors)

    def close(self) -> None:
        """Let go of the vectors: the index has copied them."""
        # One by one: with each goes a row, and all of a large base at once would hold up the event loop.
        for key in in_steps(list(self._read), self._breathe):
            del self._read[key]
        if self._behind:
            self._behind.close()
