"""When the sound of a stream arrived, and for how long this machine itself was held up meanwhile."""

import base64
import binascii
import threading
import time
from dataclasses import dataclass

from parley.checking.calling import Exchange

SAME_BURST_MS = 5
"""Milliseconds within which pieces count as one burst."""
BYTES_PER_MS = 32
"""Bytes of a millisecond of sound at 16 kHz, where no word tells the length."""


@dataclass
class Sound:
    """The sound of a stream: when each chunk of it came, its bytes, its words and its text."""

    moments: list[float]
    size: int
    words: list[dict[str, float | str]]
    transcript: str
    is_whole: bool

    @classmethod
    def by(cls, got: Exchange) -> "Sound":
        """Return the sound in the events of an answer."""
        found = cls([], 0, [], "", True)
        for event in got.events:
            for choice in event.json().get("choices") or ():
                audio = (choice.get("delta") or {}).get("audio") or {}
                found.transcript += audio.get("transcript") or ""
                found.words += audio.get("words") or []
                if data := audio.get("data"):
                    found.add(event.ms, data)
        return found

    def add(self, ms: float, data: str) -> None:
        """Add a chunk."""
        try:
            pcm = base64.b64decode(data, validate=True)
        except binascii.Error:
            self.is_whole = False
            return
        self.is_whole = self.is_whole and len(pcm) % 2 == 0 and not pcm.startswith(b"RIFF")
        self.moments.append(ms)
        self.size += len(pcm)

    @property
    def length_ms(self) -> float:
        """The length of the sound."""
        ends = [float(word.get("end_ts", 0)) for word in self.words]
        return max(ends, default=self.size / BYTES_PER_MS)

    @property
    def chunk_ms(self) -> float:
        """The length of a chunk."""
        return self.length_ms / max(1, len(self.moments))

    @property
    def ahead(self) -> int:
        """Number of chunks that came at once with the first, by intent: the lead."""
        return sum(ms - self.moments[0] <= SAME_BURST_MS for ms in self.moments)

    @property
    def bursts(self) -> int:
        """Number of times that something came after a pause."""
        gaps = [later - earlier for earlier, later in zip(self.moments, self.moments[1:], strict=False)]
        return 1 + sum(gap > SAME_BURST_MS for gap in gaps) if self.moments else 0

    @property
    def gap_ms(self) -> float:
        """The longest pause between two chunks."""
        return max(
            (later - earlier for earlier, later in zip(self.moments, self.moments[1:], strict=False)), default=0.0
        )


class OwnStalls:
    """Measures for how long this machine itself was held up, which would look like a gap in what it receives."""

    def __init__(self) -> None:
        self.longest_ms = self.total_ms = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "OwnStalls":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.perf_counter()
        while not self._ended.wait(SAME_BURST_MS / 1000):
            now = time.perf_counter()
            held_up = (now - before) * 1000 - SAME_BURST_MS
            self.longest_ms = max(self.longest_ms, held_up)
            # Shorter ones join no two chunks.
            self.total_ms += held_up if held_up > SAME_BURST_MS else 0.0
            before = now
