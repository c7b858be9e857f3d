"""The sample formats of WAV files: the bytes of frames to one channel of float32 samples, full scale at ±1.

Sources: RFC 2361 (format tags), ITU-T G.711 (mu-law and A-law).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Column = npt.NDArray[np.uint8]
Decoder = Callable[[Column], Samples]

PCM, FLOAT, A_LAW, MU_LAW = 1, 3, 6, 7
TAG_NAMES = {
    PCM: "PCM",
    FLOAT: "float",
    A_LAW: "A-law",
    MU_LAW: "mu-law",
    2: "Microsoft ADPCM",
    0x11: "IMA ADPCM",
    0x31: "GSM 6.10",
    0x50: "MPEG",
    0x55: "MP3",
}


def name_of(tag: int) -> str:
    """What a format tag is called; unknown ones by their number."""
    return TAG_NAMES.get(tag, f"{tag:#06x}")


def mix(frames: bytes, channels: int, bits: int, decode: Decoder) -> Samples:
    """The mean of the channels of whole frames."""
    columns = np.frombuffer(frames, np.uint8).reshape(-1, channels, bits // 8)
    total = np.zeros(len(columns), np.float32)
    for channel in range(channels):
        total += decode(np.ascontiguousarray(columns[:, channel]))
    return total / np.float32(channels)


def _integers(kind: str) -> Decoder:
    """A decoder for signed integers, full scale at ±1."""
    full_scale = np.float32(-float(np.iinfo(kind).min))

    def decode(column: Column) -> Samples:
        samples: Samples = column.view(kind)[:, 0].astype(np.float32)
        samples /= full_scale
        return samples

    return decode


def _pcm8(column: Column) -> Samples:
    """8-bit PCM alone is unsigned, silence at 128."""
    return (column[:, 0].astype(np.float32) - np.float32(128)) / np.float32(128)


def _pcm24(column: Column) -> Samples:
    """24 bits are the upper three bytes of 32."""
    wide = np.zeros((len(column), 4), np.uint8)
    wide[:, 1:] = column
    return _integers("<i4")(wide)


def _floats(kind: str) -> Decoder:
    """A decoder for floating point; what is no number is silence, what is beyond ±1 is clipped."""

    def decode(column: Column) -> Samples:
        wide = np.nan_to_num(column.view(kind)[:, 0], nan=0.0)
        samples: Samples = np.clip(wide, -1.0, 1.0).astype(np.float32)
        return samples

    return decode


def _mu_law(column: Column) -> Samples:
    """ITU-T G.711 mu-law: inverted sign, 3-bit exponent and 4-bit mantissa; 14 bits of scale."""
    code = ~column[:, 0]
    size = (((code & 15).astype(np.int32) << 3) + 132 << ((code >> 4) & 7)) - 132
    return np.where(code & 128, -size, size).astype(np.float32) / np.float32(32768)


def _a_law(column: Column) -> Samples:
    """ITU-T G.711 A-law: every other bit inverted; the lowest segment has no hidden bit; 13 bits of scale."""
    code = column[:, 0] ^ 0x55
    exponent = ((code >> 4) & 7).astype(np.int32)
    mantissa = ((code & 15).astype(np.int32) << 4) + 8
    size = np.where(exponent == 0, mantissa, mantissa + 256 << np.maximum(exponent - 1, 0))
    return np.where(code & 128, size, -size).astype(np.float32) / np.float32(32768)


DECODERS: dict[tuple[int, int], Decoder] = {
    (PCM, 8): _pcm8,
    (PCM, 16): _integers("<i2"),
    (PCM, 24): _pcm24,
    (PCM, 32): _integers("<i4"),
    (FLOAT, 32): _floats("<f4"),
    (FLOAT, 64): _floats("<f8"),
    (MU_LAW, 8): _mu_law,
    (A_LAW, 8): _a_law,
}
