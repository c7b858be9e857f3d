"""WAV files, read and written: a file in, sound out, and back. It knows no folder and no request.

A reader of our own, because Python 3.11's `wave` refuses WAVE_FORMAT_EXTENSIBLE, float and G.711, raises
EOFError without a word, and believes a header that lies about the length of the sound.
Format: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF).
"""

import io
import os
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from parley.speech import codecs
from parley.speech.codecs import Samples
from parley.speech.resampling import Resampler, to_int16

MAX_SECONDS = 600
# Ten minutes of 48 kHz stereo in 32-bit samples are 230 MB; a file is read in blocks, never whole.
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_CHUNKS = 1000
MAX_FORMAT_BYTES = 4096
BLOCK_BYTES = 1 << 18
RATES_HZ = range(1_000, 384_001)
MEND = "; mend it with: ffmpeg -i IN.wav -ac 1 -c:a pcm_s16le OUT.wav"

EXTENSIBLE = 0xFFFE
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
Opener = Callable[[], BinaryIO]


class WavError(ValueError):
    """The file can't be used as a recording; the text says what was found, and what mends it."""


@dataclass(frozen=True)
class Layout:
    """How the sound lies in the file: format tag, channels, Hz, bytes a frame, bits a sample."""

    tag: int
    channels: int
    rate: int
    block_bytes: int
    bits: int

    def __str__(self) -> str:
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{codecs.name_of(self.tag)} {self.bits} bits, {self.rate} Hz, {channels}"


@dataclass(frozen=True, eq=False)
class Sound:
    """The sound of a file, still in it: its layout, and how many frames there truly are."""

    layout: Layout
    frames: int
    _open: Opener
    _start: int

    @property
    def rate(self) -> int:
        """Frames a second, in Hz."""
        return self.layout.rate

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.frames / self.rate

    def blocks(self) -> Iterator[Samples]:
        """The channels averaged into one, float32 at ±1, in blocks of at most a quarter of a mebibyte of file.

        Raises WavError where the file can't be read any more.
        """
        layout = self.layout
        decode = _decoder(layout)
        a_block = max(1, BLOCK_BYTES // layout.block_bytes)
        try:
            with self._open() as file:
                file.seek(self._start)
                for begun in range(0, self.frames, a_block):
                    frames = file.read(min(a_block, self.frames - begun) * layout.block_bytes)
                    whole = len(frames) - len(frames) % layout.block_bytes
                    yield codecs.mix(frames[:whole], layout.channels, layout.bits, decode)
        except OSError as exc:
            raise WavError(f"can't be read: {exc.strerror}") from exc

    @property
    def samples(self) -> Samples:
        """All blocks in one."""
        return np.concatenate(list(self.blocks()))


def read(path: Path) -> Sound:
    """The sound of a WAV file. Raises WavError where there is none that we can play, and nothing else."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise WavError("not a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise WavError(f"{found.st_size} bytes are more than the {MAX_FILE_BYTES} that are read")
        return _scan(lambda: path.open("rb"))
    except OSError as exc:
        raise WavError(f"can't be read: {exc.strerror}") from exc


def parse(content: bytes) -> Sound:
    """The sound in the bytes of a WAV file: PCM of 8, 16, 24 or 32 bits, float, mu-law or A-law.

    Several channels are averaged into one. The length of the sound is that of the bytes that are there,
    whatever the header says. Raises WavError, and nothing else.
    """
    return _scan(lambda: io.BytesIO(content))


def to_pcm16(sound: Sound, rate: int) -> bytes:
    """The sound as signed 16-bit little-endian mono at `rate` Hz; what is too loud is clipped. Raises WavError."""
    resampler = Resampler(sound.rate, rate)
    pieces = [to_int16(resampler.more(block)) for block in sound.blocks()]
    return b"".join([*pieces, to_int16(resampler.rest())])


def encode(pcm: bytes, rate: int) -> bytes:
    """A whole WAV file with the canonical 44-byte header, from PCM16 mono at `rate` Hz."""
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, codecs.PCM, 1, rate, 2 * rate, 2, 16)
    head = b"WAVE" + layout + struct.pack("<4sI", b"data", len(pcm))
    return b"".join([struct.pack("<4sI", b"RIFF", len(head) + len(pcm)), head, pcm])


def _scan(opener: Opener) -> Sound:
    """Read the headers, pass over the rest."""
    with opener() as file:
        _check_start(file.read(12))
        head, start, size = _find_chunks(file)
    layout = _parse_format(head)
    _decoder(layout)
    frames = size // layout.block_bytes
    if not frames:
        raise WavError("holds no sound (0 samples)")
    if frames > MAX_SECONDS * layout.rate:
        seconds = frames / layout.rate
        raise WavError(f"{seconds:.0f} s of sound are more than the {MAX_SECONDS} s that are played")
    return Sound(layout, frames, opener, start)


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


def _find_chunks(file: BinaryIO) -> tuple[bytes, int, int]:
    """The `fmt ` chunk, and where the sound starts and how many bytes it has; other chunks are passed over."""
    end = file.seek(0, os.SEEK_END)
    head: bytes | None = None
    at = 12
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        if len(heading := file.read(8)) < 8:
            break
        name, size = struct.unpack("<4sI", heading)
        if name == b"data":
            if head is None:
                raise WavError("no fmt chunk before the sound: the format is unknown")
            return head, at + 8, _sound_bytes(file.read(4), size, end - at - 8)
        if name == b"fmt ":
            head = file.read(min(size, MAX_FORMAT_BYTES))
        at += 8 + size + size % 2
    raise WavError("no data chunk: there is no sound in it")


def _sound_bytes(begins: bytes, size: int, there: int) -> int:
    """How many bytes of sound there are, where the header says `size` and the file has `there` left."""
    if size:
        return min(size, there)
    # A writer that could not seek back leaves 0 (or 0xFFFFFFFF): then the sound is all that follows.
    return 0 if begins in AFTER_SOUND else there


def _parse_format(head: bytes) -> Layout:
    """The fields of the `fmt ` chunk; an EXTENSIBLE one is told by the tag of its sub-format."""
    if len(head) < 16:
        raise WavError(f"the fmt chunk has {len(head)} bytes instead of 16")
    tag, channels, rate, _, block_bytes, bits = struct.unpack_from("<HHIIHH", head)
    if tag == EXTENSIBLE:
        if head[26:40] != SUBFORMAT_TAIL:
            raise WavError(f"WAVE_FORMAT_EXTENSIBLE with an unknown sub-format{MEND}")
        (tag,) = struct.unpack_from("<H", head, 24)
    return Layout(tag, channels, rate, block_bytes, bits)


def _decoder(layout: Layout) -> codecs.Decoder:
    """The decoder for this layout. Raises WavError where there is none or the fields make no sense."""
    decode = codecs.DECODERS.get((layout.tag, layout.bits))
    if decode is None:
        raise WavError(f"format {codecs.name_of(layout.tag)} with {layout.bits} bits is not supported{MEND}")
    if layout.channels == 0:
        raise WavError("the header says 0 channels")
    if layout.rate not in RATES_HZ:
        raise WavError(f"the header says a rate of {layout.rate} Hz")
    expected = layout.channels * layout.bits // 8
    if layout.block_bytes != expected:
        # Samples padded to a wider container would be heard as noise.
        raise WavError(f"the header says {layout.block_bytes} bytes a frame where {expected} are due{MEND}")
    return decode
