"""Sound from one rate to another, piece by piece without a seam, and float samples as PCM16."""

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]


class Resampler:
    """One sound on its way from `rate_in` to `rate_out` Hz, mono float32.

    The filter keeps its state from piece to piece, so that no border between them is heard; the same for a sound in
    one piece. libsoxr's "HQ": nothing above -100 dB beside the sound. What goes in comes out a few milliseconds late.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._stream = None if rate_in == rate_out else soxr.ResampleStream(rate_in, rate_out, 1, "float32", "HQ")

    def more(self, samples: Samples) -> Samples:
        """What can be said of the sound so far, after these further samples."""
        return self._stream.resample_chunk(samples) if self._stream else samples

    def rest(self) -> Samples:
        """The end of the sound, once."""
        nothing = np.zeros(0, np.float32)
        return self._stream.resample_chunk(nothing, last=True) if self._stream else nothing


def to_int16(samples: Samples) -> bytes:
    """Float samples, full scale at ±1, as signed 16-bit little-endian; what is too loud is clipped."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


def from_int16(pcm: bytes) -> Samples:
    """Signed 16-bit little-endian as float samples, full scale at ±1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
