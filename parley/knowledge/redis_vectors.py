"""A cache of passages' vectors in Redis, so that no machine encodes what another one has encoded.

    PREFIX:v:CONTENT_KEY    the number of dimensions in two bytes, then rows of 16-bit floats; gone 30 days after it was
                            last read

Vectors of questions never come here: they can be turned back into words. A failure costs time, never an answer: `get`
then finds nothing, and `put` stores nothing. Values that are not vectors are told once, and replaced.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gevent.lock import BoundedSemaphore

from parley.concurrency import checkpoint
from parley.knowledge.postings import Floats
from parley.shared.link import Link, Unanswered
from parley.telemetry.logs import log

SECONDS = 2.0
"""Longest time of a question in seconds; no caller waits for it."""
KEPT_SECONDS = 30 * 86_400
"""Seconds after which vectors that nobody has read are gone."""
AT_ONCE = 16
"""Most values in one question; more would keep callers' questions waiting at the server."""
MAX_BYTES = 1 << 20
"""Largest value in bytes. A passage takes 1 to 40 KB, by its length and the encoder."""
SIZE_BYTES = 2
"""Bytes of the number of dimensions in front of the rows."""


class RedisVectors:
    """Rows of vectors by content key, in the Redis behind a link. The calling greenlet waits, not the event loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        # One question at a time, so that the other connections are free for callers, however many bases are filled.
        self._asking = BoundedSemaphore(1)
        self._is_told = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors of those keys that Redis holds, and keep them for another while."""
        found = {}
        for some in _portions(keys):
            for key, data in self._read(some).items():
                # Several hundred kilobytes are converted in steps.
                checkpoint(background=True)
                rows = decode(data)
                if rows is not None:
                    found[key] = rows
                elif not self._is_told:
                    self._is_told = True
                    log.warning("embeddings_cache_dropped", reason="values in Redis are not vectors")
        return found

    def put(self, vectors: Mapping[bytes, Floats]) -> None:
        """Store the vectors, unless Redis is away."""
        for some in _portions(list(vectors)):
            values = {key: data for key in some if (data := encode(vectors[key]))}

            def commands(batch: Any, values: Mapping[bytes, bytes] = values) -> None:
                for key, data in values.items():
                    batch.set(self._name(key), data, ex=KEPT_SECONDS)

            self._ask(commands)

    def close(self) -> None:
        """Do nothing: the connections are the worker's."""

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes | Exception]:
        """Return the values of those keys that have one, or the refusal to read it; cut behind the largest size."""

        def commands(batch: Any) -> None:
            for key in keys:
                batch.getrange(self._name(key), 0, MAX_BYTES)
                batch.expire(self._name(key), KEPT_SECONDS)

        answers = self._ask(commands)
        return {key: value for key, value in zip(keys, answers[::2], strict=False) if value}

    def _name(self, key: bytes) -> str:
        return f"{self._link.prefix}:v:{key.hex()}"

    def _ask(self, commands: Callable[[Any], object]) -> list[Any]:
        """Return the answers to some commands, none if Redis is away."""

        def work(client: Any) -> list[Any]:
            batch = client.pipeline(transaction=False)
            commands(batch)
            answers: list[Any] = batch.execute(raise_on_error=False)
            for answer in answers:
                # A value of another type is that value's fault alone.
                if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
                    raise answer
            return answers

        try:
            with self._asking:
                return self._link.ask("vectors", work, SECONDS)
        except Unanswered:
            return []


def encode(rows: Floats) -> bytes | None:
    """Return rows of vectors as a value; None for rows that are too many, or not finite as 16-bit floats."""
    with np.errstate(over="ignore"):
        values = rows.astype("<f2")
    size: int = rows.shape[1]
    if size >= 1 << 8 * SIZE_BYTES or SIZE_BYTES + values.nbytes > MAX_BYTES or not np.isfinite(values).all():
        return None
    return size.to_bytes(SIZE_BYTES, "little") + values.tobytes()


def decode(data: bytes | Exception) -> Floats | None:
    """Return the rows of a value; None for anything that `encode` does not return."""
    if isinstance(data, Exception) or len(data) > MAX_BYTES:
        return None
    size = int.from_bytes(data[:SIZE_BYTES], "little")
    if not size or len(data) <= SIZE_BYTES or (len(data) - SIZE_BYTES) % (2 * size):
        return None
    rows = np.frombuffer(data, "<f2", offset=SIZE_BYTES).reshape(-1, size).astype(np.float32)
    return rows if np.isfinite(rows).all() else None


def _portions(keys: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [keys[first : first + AT_ONCE] for first in range(0, len(keys), AT_ONCE)]
