"""Sound leaves at the pace of speech: cutting it into chunks, and holding each until it is due.

What was sent ahead is thrown away when the caller interrupts, so we never run far ahead. Nothing here knows
what the sound is or who hears it.
"""

import time
from collections.abc import Callable, Iterable, Iterator

SAMPLE_BYTES = 2
YIELD_EVERY = 32


def chunk_bytes(rate: int, chunk_ms: int) -> int:
    """The size of a chunk in bytes: 16000 Hz and 40 ms give 1280.

    A whole number of samples, at least one; where the length does not divide evenly (22050 Hz, 25 ms) it is
    the next shorter one, and `duration_ms` tells its true length.
    """
    return max(1, rate * chunk_ms // 1000) * SAMPLE_BYTES


def duration_ms(pcm_bytes: int, rate: int) -> float:
    """How long that many bytes of PCM16 mono last at `rate` Hz, in milliseconds."""
    return pcm_bytes / SAMPLE_BYTES * 1000 / rate


def chunks(pcm: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """The sound in pieces of `chunk_bytes`; the last may be shorter, each is a whole number of samples.

    Joined they are `pcm` again (half a sample at its end is dropped). Raises ValueError for a size that is
    not a positive even number.
    """
    if chunk_bytes <= 0 or chunk_bytes % SAMPLE_BYTES:
        raise ValueError(f"a chunk of {chunk_bytes} bytes is not a whole number of 16-bit samples")
    whole = len(pcm) - len(pcm) % SAMPLE_BYTES
    return (pcm[start : min(start + chunk_bytes, whole)] for start in range(0, whole, chunk_bytes))


def paced(
    chunks: Iterable[bytes],
    chunk_ms: float,
    lead_ms: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[bytes]:
    """The chunks, each no earlier than its due time: never more than `lead_ms` of sound ahead of the clock.

    The first chunks make a burst of `lead_ms`; the very first never waits. Due times count from the start by
    `clock` (seconds), so a late chunk delays none after it. `chunk_ms` is a chunk's true length: take it from
    `duration_ms`.
    """
    lead_ms = max(lead_ms, chunk_ms)
    start = clock()
    for count, chunk in enumerate(chunks, 1):
        wait = start + (count * chunk_ms - lead_ms) / 1000 - clock()
        if wait > 0:
            sleep(wait)
        elif count % YIELD_EVERY == 0:
            # A long lead, or catching up after a stall, must not keep the other streams from running.
            sleep(0)
        yield chunk
