"""Samples: from one rate to another piece by piece, from several channels to one, from floats to PCM16 and back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]
SILENT = 0.01
"""Peak of a silent channel, as a part of that of the loudest one: 40 dB below it."""
SURROUND = {6: (0.5, 0.5, 1.0, 0.0, 0.25, 0.25), 8: (0.5, 0.5, 1.0, 0.0, 0.25, 0.25, 0.25, 0.25)}
"""Weights of left, right, centre, bass and the surrounds of 5.1 and 7.1: speech is in the centre (ITU-R BS.775)."""


class Resampler:
    """Converts one sound from `rate_in` to `rate_out` Hz, mono float32.

    The filter keeps its state from piece to piece: pieces converted apart would click at every border. Quality is
    libsoxr's "HQ", with nothing above -100 dB beside the sound. The output lags a few milliseconds behind the input.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._stream = None if rate_in == rate_out else soxr.ResampleStream(rate_in, rate_out, 1, "float32", "HQ")

    def resample(self, samples: Samples) -> Samples:
        """Return the output that is complete after these further samples."""
        return self._stream.resample_chunk(samples) if self._stream else samples

    def flush(self) -> Samples:
        """Return the end of the sound, which the filter has held back. Call once."""
        nothing = np.zeros(0, np.float32)
        return self._stream.resample_chunk(nothing, last=True) if self._stream else nothing


def to_mono(frames: Samples) -> Samples:
    """Return the mean of the channels of `frames`, an array of frames by channels that is changed in place.

    Samples beyond full scale are clipped, those that are not numbers become silence.
    """
    np.nan_to_num(frames, copy=False, nan=0.0)
    np.clip(frames, -1.0, 1.0, out=frames)
    total = np.zeros(len(frames), np.float32)
    # `mean` would add in another order from eight channels on, and so round otherwise.
    for channel in range(frames.shape[1]):
        total += frames[:, channel]
    return total / np.float32(frames.shape[1])


class Mixer:
    """Makes one channel of several; then `better_weights` tells whether other weights would be heard better.

    Without weights the channels are averaged. A silent channel would make the others too quiet by half.
    """

    def __init__(self, channels: int, weights: Sequence[float] | None = None) -> None:
        self._weights = weights
        self._channels = channels
        self._peaks = np.zeros(channels, np.float32)

    def mixed(self, frames: Samples) -> Samples:
        """Return the mono sound of `frames`, an array of frames by channels that is changed in place."""
        if self._weights is None:
            mono = to_mono(frames)
        else:
            np.nan_to_num(frames, copy=False, nan=0.0)
            np.clip(frames, -1.0, 1.0, out=frames)
            mono = frames @ np.asarray(self._weights, np.float32)
        if self._channels > 1 and len(frames):
            np.maximum(self._peaks, np.abs(frames).max(axis=0), out=self._peaks)
        return mono

    def better_weights(self) -> Sequence[float] | None:
        """Return the weights to mix anew with, or None if the sound is right as it is."""
        live = self._peaks > SILENT * self._peaks.max(initial=0)
        layout = SURROUND.get(self._channels)
        if self._weights is not None or self._channels == 1 or not live.any() or (live.all() and layout is None):
            return None
        weights = np.where(live, layout or (1 / self._channels,) * self._channels, 0)
        if not weights.any():
            # Only the bass channel is live.
            weights = live.astype(float)
        # As loud as the loudest channel at most: neither quieter by the silent ones, nor beyond full scale.
        divisor = float(weights @ self._peaks) / float(self._peaks.max())
        return [float(weight) / divisor for weight in weights]


def to_int16(samples: Samples) -> bytes:
    """Return float samples, full scale at ±1, as signed 16-bit little-endian; samples beyond full scale are clipped."""
    # 32768 and not 32767, so that samples from 16-bit files come out bit for bit.
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


def from_int16(pcm: bytes) -> Samples:
    """Return signed 16-bit little-endian samples as floats, full scale at ±1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


class RateConverter:
    """Converts PCM16 that comes in pieces, cut anywhere, to mono at another rate, without a seam between pieces."""

    def __init__(self, rate_in: int, rate_out: int, channels: int = 1) -> None:
        self._resampler = Resampler(rate_in, rate_out)
        self._channels = channels
        self._frame_bytes = 2 * channels
        self._part = b""

    def convert(self, pcm: bytes) -> bytes:
        """Return the sound that is complete with these bytes; part of a frame at their end waits for its rest."""
        pcm = self._part + pcm
        whole = len(pcm) - len(pcm) % self._frame_bytes
        self._part = pcm[whole:]
        samples = from_int16(pcm[:whole])
        mono = samples if self._channels == 1 else to_mono(samples.reshape(-1, self._channels))
        return to_int16(self._resampler.resample(mono))

    def flush(self) -> bytes:
        """Return the end of the sound, once."""
        return to_int16(self._resampler.flush())
