"""A fake of an API's speech synthesis: the scripts with which a `FakeUpstream` answers `POST /audio/speech`.

with FakeUpstream() as api:
    api.script = says(tone(0.5))
"""

from collections.abc import Iterable

import numpy as np
from fake_upstream import END, Call, Script, Step, head, http_chunk

RATE = 24_000
PCM_HEAD = {"content-type": "audio/pcm", "transfer-encoding": "chunked"}


def tone(seconds: float) -> bytes:
    """PCM16 at 24 kHz, loud all the time."""
    return (9000 * np.sin(np.arange(round(seconds * RATE)) / 8)).round().astype("<i2").tobytes()


def says(pcm: bytes, *, pieces: int = 4, interval: float = 0.0) -> list[Step]:
    """The sound in so many pieces, cut without regard to samples, `interval` seconds apart."""
    size = max(1, len(pcm) // pieces) | 1
    cut = [pcm[start : start + size] for start in range(0, len(pcm), size)]
    return [*begins(cut[0]), *(step for piece in cut[1:] for step in (interval, http_chunk(piece))), END]


def begins(pcm: bytes) -> list[Step]:
    """The beginning of a sound, and no end."""
    return [head(200, PCM_HEAD), http_chunk(pcm)]


def by_text(scripts: dict[str, Script], otherwise: Script) -> Script:
    """A script for each text that is to be said."""

    def script(call: Call) -> Iterable[Step]:
        chosen = scripts.get(call.json["input"], otherwise)
        return chosen(call) if callable(chosen) else chosen

    return script
