"""WAV files written byte by byte, right and wrong. Nothing here knows Parley."""

import io
import math
import struct
import wave

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


def tone(rate: int, seconds: float = 0.4, hz: float = 1000.0, level: float = 0.5) -> Floats:
    """A tone, full scale at ±1."""
    return np.asarray(level * np.sin(2 * math.pi * hz * np.arange(int(rate * seconds)) / rate))


def head(tag: int, channels: int, rate: int, bits: int, *, block: int | None = None, extra: bytes = b"") -> bytes:
    """A `fmt ` chunk."""
    block = channels * bits // 8 if block is None else block
    body = struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block, bits) + extra
    return chunk(b"fmt ", body)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """A chunk; `size` lies about its length."""
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    """A file of these chunks."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav(
    samples: Floats, rate: int, tag: int = PCM, bits: int = 16, channels: int = 1, extensible: bool = False
) -> bytes:
    """A file of this sound in each channel."""
    stored = np.repeat(samples, channels)
    named = head(tag, channels, rate, bits)
    if extensible:
        extra = struct.pack("<HHIH", 22, bits, 0, tag) + SUBFORMAT_TAIL
        named = head(EXTENSIBLE, channels, rate, bits, extra=extra)
    return riff(named, chunk(b"data", ENCODERS[tag, bits](stored)))


def pcm_in(content: bytes, rate: int = 16_000) -> bytes:
    """The sound of a 16-bit mono file of this rate, read by the standard library."""
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate)
        return file.readframes(file.getnframes())


def _pcm24(samples: Floats) -> bytes:
    wide = np.rint(samples * 0x7FFFFF).astype("<i4")
    return wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _mu_law(samples: Floats) -> bytes:
    size = np.minimum(np.abs(np.rint(samples * 32767)).astype(int), 32635) + 132
    exponent = np.floor(np.log2(size)).astype(int) - 7
    code = (samples < 0) * 128 | exponent << 4 | (size >> (exponent + 3)) & 15
    return (~code & 255).astype(np.uint8).tobytes()


def _a_law(samples: Floats) -> bytes:
    size = np.minimum(np.abs(np.rint(samples * 32767)).astype(int), 32767)
    exponent = np.maximum(np.floor(np.log2(np.maximum(size, 1))).astype(int) - 7, 0)
    mantissa = np.where(exponent > 0, size >> (exponent + 3), size >> 4) & 15
    code = (samples >= 0) * 128 | exponent << 4 | mantissa
    return (code ^ 0x55).astype(np.uint8).tobytes()


ENCODERS = {
    (PCM, 8): lambda samples: (np.rint(samples * 127) + 128).astype(np.uint8).tobytes(),
    (PCM, 16): lambda samples: np.rint(samples * 32767).astype("<i2").tobytes(),
    (PCM, 24): _pcm24,
    (PCM, 32): lambda samples: np.rint(samples * 0x7FFFFFFF).astype("<i4").tobytes(),
    (FLOAT, 32): lambda samples: samples.astype("<f4").tobytes(),
    (FLOAT, 64): lambda samples: samples.astype("<f8").tobytes(),
    (MU_LAW, 8): _mu_law,
    (A_LAW, 8): _a_law,
}
