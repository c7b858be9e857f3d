"""The pace of playback: sound is cut into chunks, and each chunk is held until it is due.

A platform throws away what was sent ahead when the caller interrupts, so sound never leaves far ahead of the listener.
Nothing here knows the listener or the source of the sound.
"""

import time
from collections.abc import Callable, Iterator

SAMPLE_BYTES = 2
MAX_BATCH_CHUNKS = 32
"""Limit on the chunks that leave in one batch."""


def chunk_bytes(rate: int, chunk_ms: int, multiple: int = SAMPLE_BYTES) -> int:
    """Return the size of a chunk in bytes: 16000 Hz and 40 ms give 1280, or 1278 as a multiple of 6.

    A chunk is a whole number of samples, at least one. Where the length does not divide evenly (22050 Hz, 25 ms) the
    size is rounded down, and `duration_ms` gives the true length.
    """
    return max(1, rate * chunk_ms // 1000 * SAMPLE_BYTES // multiple) * multiple


def duration_ms(pcm_bytes: int, rate: int) -> float:
    """Return how long that many bytes of PCM16 mono last at `rate` Hz, in milliseconds."""
    return pcm_bytes / SAMPLE_BYTES * 1000 / rate


class Pace:
    """The schedule of one answer's sound: PCM16 mono at `rate` Hz in, chunks out, each when it is due.

    The first chunks make a burst of `lead_ms`; the very first never waits. Due times count from the first chunk by
    `clock` (seconds), so that a late chunk delays none after it. Only where the listener has run out of sound, because
    none was there or none could be sent, does the count start anew: what is sent stays at most `lead_ms` ahead of
    what is heard. The size of a chunk is a multiple of `multiple` bytes, except the last one's.
    """

    def __init__(
        self,
        rate: int,
        chunk_ms: int,
        lead_ms: float,
        *,
        multiple: int = SAMPLE_BYTES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._size = chunk_bytes(rate, chunk_ms, multiple)
        # A chunk is a whole number of samples, so that its true length may differ a little from the setting's.
        self._lead = max(lead_ms, duration_ms(self._size, rate)) / 1000
        self._bytes_per_second = rate * SAMPLE_BYTES
        self._clock = clock
        self._sleep = sleep
        self._held = b""
        self._sent_bytes = 0
        self._start: float | None = None

    def chunks(self, pcm: bytes) -> Iterator[list[bytes]]:
        """Yield batches of the chunks that `pcm` completes, each when it is due; the remainder waits for more sound.

        Chunks that are due at once come in one batch, so that the network can't part them: while the first of a burst
        is heard, the others must have arrived.
        """
        sound = self._held + pcm
        complete = len(sound) - len(sound) % self._size
        self._held = sound[complete:]
        batch: list[bytes] = []
        for start in range(0, complete, self._size):
            chunk = sound[start : start + self._size]
            if len(batch) == MAX_BATCH_CHUNKS or (batch and self._seconds_until_due(chunk) > 0):
                yield batch
                batch = []
            self._wait_until_due(chunk)
            batch.append(chunk)
        if batch:
            yield batch

    def flush(self) -> list[bytes]:
        """Return the remainder as a last shorter chunk when it is due; half a sample at its end is dropped."""
        # Upstreams may end within a sample, which no decoder could play.
        last, self._held = self._held[: len(self._held) // SAMPLE_BYTES * SAMPLE_BYTES], b""
        if not last:
            return []
        self._wait_until_due(last)
        return [last]

    def _wait_until_due(self, chunk: bytes) -> None:
        """Wait until the chunk is due, and count it as sent."""
        now, heard_until = self._clock(), self._sent_bytes / self._bytes_per_second
        # The listener has run out: nobody hears the lost time, so the schedule starts anew from here.
        if self._start is None or now > self._start + heard_until + len(chunk) / self._bytes_per_second:
            self._start = now - heard_until
        wait = self._seconds_until_due(chunk)
        self._sent_bytes += len(chunk)
        if wait > 0:
            self._sleep(wait)

    def _seconds_until_due(self, chunk: bytes) -> float:
        """Return the seconds until the chunk is due; zero or less where it is due already, as the first one is."""
        now = self._clock()
        start = now if self._start is None else self._start
        return start + (self._sent_bytes + len(chunk)) / self._bytes_per_second - self._lead - now
