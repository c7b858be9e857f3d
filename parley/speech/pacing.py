"""Sound leaves at the pace of speech: cutting it into chunks, and holding each until it is due.

What was sent ahead is thrown away when the caller interrupts, so we never run far ahead. Nothing here knows
what the sound is or who hears it.
"""

import time
from collections.abc import Callable, Iterator

SAMPLE_BYTES = 2
MOST_TOGETHER = 32


def chunk_bytes(rate: int, chunk_ms: int) -> int:
    """The size of a chunk in bytes: 16000 Hz and 40 ms give 1280.

    A whole number of samples, at least one; where the length does not divide evenly (22050 Hz, 25 ms) it is
    the next shorter one, and `duration_ms` tells its true length.
    """
    return max(1, rate * chunk_ms // 1000) * SAMPLE_BYTES


def duration_ms(pcm_bytes: int, rate: int) -> float:
    """How long that many bytes of PCM16 mono last at `rate` Hz, in milliseconds."""
    return pcm_bytes / SAMPLE_BYTES * 1000 / rate


class Pace:
    """One answer's sound on its way to one listener: PCM16 mono at `rate` Hz in, chunks out, each when it is due.

    The first chunks make a burst of `lead_ms`; the very first never waits. Due times count from the first chunk by
    `clock` (seconds), so a late chunk delays none after it. Only where the listener has run dry, because the sound
    was not there or could not be sent, is it counted anew from there: nobody hears the time that was lost, and what
    is sent stays at most `lead_ms` ahead of what is heard.
    """

    def __init__(
        self,
        rate: int,
        chunk_ms: int,
        lead_ms: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._size = chunk_bytes(rate, chunk_ms)
        # A chunk is a whole number of samples, so its true length may differ a little from the setting's.
        self._lead = max(lead_ms, duration_ms(self._size, rate)) / 1000
        self._bytes_per_second = rate * SAMPLE_BYTES
        self._clock = clock
        self._sleep = sleep
        self._held = b""
        self._sent_bytes = 0
        self._start: float | None = None

    def chunks(self, pcm: bytes) -> Iterator[list[bytes]]:
        """The whole chunks that `pcm` completes, each when it is due; what is left over waits for more.

        Those that are due at once come together, so that the network can't part them: the first of a burst is
        being heard already.
        """
        sound = self._held + pcm
        whole = len(sound) - len(sound) % self._size
        self._held = sound[whole:]
        together: list[bytes] = []
        for start in range(0, whole, self._size):
            chunk = sound[start : start + self._size]
            if len(together) == MOST_TOGETHER or (together and self._wait_for(chunk) > 0):
                yield together
                together = []
            self._await(chunk)
            together.append(chunk)
        if together:
            yield together

    def rest(self) -> list[bytes]:
        """What is left over, as a last shorter chunk when it is due (half a sample at its end is dropped)."""
        last, self._held = self._held[: len(self._held) // SAMPLE_BYTES * SAMPLE_BYTES], b""
        if not last:
            return []
        self._await(last)
        return [last]

    def _await(self, chunk: bytes) -> None:
        """Wait until the chunk is due, and count it as sent."""
        now, heard_from = self._clock(), self._sent_bytes / self._bytes_per_second
        if self._start is None or now > self._start + heard_from + len(chunk) / self._bytes_per_second:
            self._start = now - heard_from
        wait = self._wait_for(chunk)
        self._sent_bytes += len(chunk)
        if wait > 0:
            self._sleep(wait)

    def _wait_for(self, chunk: bytes) -> float:
        """Seconds until the chunk is due; none or fewer where it is due already, as the first one is."""
        now = self._clock()
        start = now if self._start is None else self._start
        return start + (self._sent_bytes + len(chunk)) / self._bytes_per_second - self._lead - now
