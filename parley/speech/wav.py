"""WAV files, read and written: bytes in, samples out, and back. It knows no folder and no request.

A reader of our own, because Python 3.11's `wave` refuses WAVE_FORMAT_EXTENSIBLE, float and G.711, raises
EOFError without a word, and believes a header that lies about the length of the sound.
Format: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF), RFC 2361 (format
tags), ITU-T G.711 (mu-law and A-law).
"""

import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

MAX_SECONDS = 600
# Ten minutes of 48 kHz stereo 16-bit are 115 MB.
MAX_FILE_BYTES = 128 * 1024 * 1024
MAX_CHUNKS = 1000
RATES_HZ = range(1_000, 384_001)
MEND = "; mend it with: ffmpeg -i IN.wav -ac 1 -c:a pcm_s16le OUT.wav"

Samples = npt.NDArray[np.float32]
Column = npt.NDArray[np.uint8]

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
TAG_NAMES = {2: "Microsoft ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x50: "MPEG", 0x55: "MP3"}
# What follows the two bytes of the format tag in an EXTENSIBLE sub-format, where it is one of the plain tags.
SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
FOREIGN_STARTS = {
    b"RIFX": "a big-endian RIFX file",
    b"RF64": "an RF64 file",
    b"BW64": "a BW64 file",
    b"OggS": "an Ogg file",
    b"fLaC": "a FLAC file",
    b"ID3": "MP3 data",
    b"FORM": "an AIFF file",
}
AFTER_SOUND = frozenset({b"LIST", b"fact", b"cue ", b"smpl", b"bext", b"id3 ", b"ID3 "})


class WavError(ValueError):
    """The file can't be used as a recording; the text says what was found, and what mends it."""


@dataclass(frozen=True, eq=False)
class Sound:
    """One channel of sound: float32 samples, full scale at ±1, and their rate in Hz."""

    samples: Samples
    rate: int


@dataclass(frozen=True)
class _Format:
    tag: int
    channels: int
    rate: int
    block_bytes: int
    bits: int


def read(path: Path) -> Sound:
    """The sound of a WAV file. Raises WavError where there is none that we can play, and nothing else."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise WavError("not a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise WavError(f"{found.st_size} bytes are more than the {MAX_FILE_BYTES} that are read")
        with path.open("rb") as file:
            return parse(file.read(found.st_size))
    except OSError as exc:
        raise WavError(f"can't be read: {exc.strerror}") from exc


def parse(content: bytes) -> Sound:
    """The sound in the bytes of a WAV file: PCM of 8, 16, 24 or 32 bits, float, mu-law or A-law.

    Several channels are averaged into one. The length of the sound is that of the bytes that are there,
    whatever the header says. Raises WavError, and nothing else.
    """
    _check_start(content)
    head, sound = _find_chunks(memoryview(content))
    layout = _parse_format(head)
    decode = _check_format(layout)
    frames = len(sound) // layout.block_bytes
    if not frames:
        raise WavError("holds no sound (0 samples)")
    if frames > MAX_SECONDS * layout.rate:
        seconds = frames / layout.rate
        raise WavError(f"{seconds:.0f} s of sound are more than the {MAX_SECONDS} s that are played")
    return Sound(_mix(sound[: frames * layout.block_bytes], layout, decode), layout.rate)


def to_pcm16(sound: Sound, rate: int) -> bytes:
    """The sound as signed 16-bit little-endian mono at `rate` Hz; what is too loud is clipped."""
    samples = sound.samples
    if sound.rate != rate:
        samples = soxr.resample(samples, sound.rate, rate, quality="HQ")
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


def encode(pcm: bytes, rate: int) -> bytes:
    """A whole WAV file with the canonical 44-byte header, from PCM16 mono at `rate` Hz."""
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _check_start(content: bytes) -> None:
    """Refuse what is not a RIFF file of the type WAVE, by the name of what it is."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return
    for start, kind in FOREIGN_STARTS.items():
        if content.startswith(start):
            raise WavError(f"{kind}, not a RIFF WAV file{MEND}")
    if len(content) > 1 and content[0] == 0xFF and content[1] & 0xE6 == 0xE2:
        raise WavError(f"MP3 data, not a RIFF WAV file{MEND}")
    if len(content) < 12:
        raise WavError(f"not a WAV file: {len(content)} bytes")
    raise WavError(f"not a RIFF WAV file: begins with {content[:4]!r}{MEND}")


def _find_chunks(content: memoryview) -> tuple[memoryview, memoryview]:
    """The contents of the `fmt ` and `data` chunks; any other before them (LIST, fact ...) is passed over."""
    head: memoryview | None = None
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(content):
            break
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"data":
            if head is None:
                raise WavError("no fmt chunk before the sound: the format is unknown")
            return head, _sound_bytes(content[at + 8 :], size)
        if name == b"fmt ":
            head = content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    raise WavError("no data chunk: there is no sound in it")


def _sound_bytes(rest: memoryview, size: int) -> memoryview:
    """The bytes of sound, `rest` being what follows the header of the data chunk."""
    if size:
        return rest[:size]
    # A writer that could not seek back leaves 0 (or 0xFFFFFFFF): then the sound is all that follows.
    return rest[:0] if bytes(rest[:4]) in AFTER_SOUND else rest


def _parse_format(head: memoryview) -> _Format:
    """The fields of the `fmt ` chunk; an EXTENSIBLE one is told by the tag of its sub-format."""
    if len(head) < 16:
        raise WavError(f"the fmt chunk has {len(head)} bytes instead of 16")
    tag, channels, rate, _, block_bytes, bits = struct.unpack_from("<HHIIHH", head)
    if tag == EXTENSIBLE:
        if bytes(head[26:40]) != SUBFORMAT_TAIL:
            raise WavError(f"WAVE_FORMAT_EXTENSIBLE with an unknown sub-format{MEND}")
        (tag,) = struct.unpack_from("<H", head, 24)
    return _Format(tag, channels, rate, block_bytes, bits)


def _check_format(layout: _Format) -> Callable[[Column], Samples]:
    """The decoder for this format. Raises WavError where there is none or the fields make no sense."""
    decode = DECODERS.get((layout.tag, layout.bits))
    if decode is None:
        name = {PCM: "PCM", FLOAT: "float"}.get(layout.tag) or TAG_NAMES.get(layout.tag, f"{layout.tag:#06x}")
        raise WavError(f"format {name} with {layout.bits} bits is not supported{MEND}")
    if layout.channels == 0:
        raise WavError("the header says 0 channels")
    if layout.rate not in RATES_HZ:
        raise WavError(f"the header says a rate of {layout.rate} Hz")
    expected = layout.channels * layout.bits // 8
    if layout.block_bytes != expected:
        # Samples padded to a wider container would be heard as noise.
        raise WavError(f"the header says {layout.block_bytes} bytes a frame where {expected} are due{MEND}")
    return decode


def _mix(sound: memoryview, layout: _Format, decode: Callable[[Column], Samples]) -> Samples:
    """The mean of the channels, one at a time: a large file takes little memory beside itself."""
    frames = np.frombuffer(sound, np.uint8).reshape(-1, layout.channels, layout.bits // 8)
    total = np.zeros(len(frames), np.float32)
    for channel in range(layout.channels):
        total += decode(np.ascontiguousarray(frames[:, channel]))
    return total / np.float32(layout.channels)


def _integers(kind: str) -> Callable[[Column], Samples]:
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


def _floats(kind: str) -> Callable[[Column], Samples]:
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


DECODERS: dict[tuple[int, int], Callable[[Column], Samples]] = {
    (PCM, 8): _pcm8,
    (PCM, 16): _integers("<i2"),
    (PCM, 24): _pcm24,
    (PCM, 32): _integers("<i4"),
    (FLOAT, 32): _floats("<f4"),
    (FLOAT, 64): _floats("<f8"),
    (MU_LAW, 8): _mu_law,
    (A_LAW, 8): _a_law,
}
