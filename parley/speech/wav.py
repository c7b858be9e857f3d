"""The header of a WAV file: repaired in memory before libsndfile sees it, and written for our own files.

| a writer's fault | libsndfile 1.2.2 by itself | here |
|---|---|---|
| data size 0, left by a writer that could not seek back | no sound | all bytes that follow are sound |
| odd chunk without its pad byte | refuses the file | found by the name of the next chunk |
| chunk sizes that lead nowhere | refuses the file | `fmt ` and `data` are searched for |
| the `fmt ` chunk behind the sound, or twice | refuses the file | found; the first one counts |
| 24 bits a sample in frames of 4 bytes, high or low | noise, or too quiet by 48 dB | read as 32 bits |
| a frame size that contradicts the sample size | noise | the byte rate decides between them, or it is refused |
| WAVE_FORMAT_EXTENSIBLE that is cut short, or has an odd GUID | refuses the file | read by its sub-format |
| RF64 and BW64 | BW64 is refused | read as RIFF, with the size in `ds64` |
| a second data chunk | refuses the file | ignored |

Formats: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF), EBU Tech 3306 (RF64).
"""

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MPEG_TAGS = (0x50, 0x55)
CONVERTIBLE_TAGS = {0x20: "Yamaha ADPCM", 0x45: "G.726", 0x161: "WMA", 0x2000: "AC-3"}
"""Codings that libsndfile does not read in a WAV file; a test converts each with ffmpeg, which fails at others."""
FORMS = (b"RIFF", b"RF64", b"BW64")
"""First bytes of the files that are read here; `WAVE` is at offset 8."""
UNKNOWN_SIZE = 0xFFFFFFFF
"""Size of a chunk whose true size stands in `ds64`, or is not known."""
MAX_CHUNKS = 1000
"""Limit on the chunks before the sound: a file of empty chunks must not keep the loader busy."""
MAX_FORMAT_BYTES = 4096
"""Limit on the content of a `fmt ` chunk, in bytes."""
SEARCHED_BYTES = 1 << 20
"""Bytes at the start of a file in which `fmt ` and `data` are searched for where the chunks lead nowhere."""
PROBED_BYTES = 4 << 20
"""Bytes of sound that are looked at to see at which end of 4 bytes the 24 bits of a sample stand."""
BUFFER_BYTES = 1 << 16
_NAMES = (
    b"data|fmt |LIST|fact|JUNK|junk|PAD |FLLR|PEAK|bext|iXML|cue |plst|smpl|inst|acid|ID3 |id3 |cart|chna|axml|ds64|"
    b"aXML|levl|link|_PMX|minf|elm1|regn|umid|DISP|afsp|LGWV|Cr8r|PrOr|AFAn|SyLp|ResU|strc|note|MD5 |dbmd|wavl|slnt"
)
CHUNK_NAMES = frozenset(_NAMES.split(b"|"))
"""Names by which the start of a chunk is told from sound and from a pad byte."""


class SoundError(ValueError):
    """A file that can't be played; the message says why. `is_convertible` is true if ffmpeg makes a good file of it."""

    def __init__(self, reason: str, *, is_convertible: bool = False) -> None:
        super().__init__(reason)
        self.is_convertible = is_convertible


@dataclass(frozen=True)
class Layout:
    """The content of a `fmt ` chunk, the offset of the sound, and its `size` in bytes: None for all that follows."""

    format_chunk: bytes
    offset: int
    size: int | None


class Window(io.RawIOBase):
    """Some bytes, and behind them a part of a file: what libsndfile is to read.

    `failure` is the error that ended reading, if any: libsndfile takes an error for the end of the file.
    """

    def __init__(self, file: BinaryIO, offset: int, *, size: int | None = None, before: bytes = b"") -> None:
        """Show `size` bytes of the file from `offset` on, all to its end if it is None or more. Raises OSError."""
        left = max(0, file.seek(0, os.SEEK_END) - offset)
        self._file = file
        self._data_offset = offset
        self._header = before
        self._size = len(before) + (left if size is None else min(size, left))
        self._position = 0
        self.failure: OSError | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, the current position or the end, and return the new position."""
        self._position = (0, self._position, self._size)[whence] + offset
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read from the correct header, and behind it from the file."""
        in_data = self._position - len(self._header)
        if in_data < 0:
            piece = self._header[self._position : self._position + len(buffer)]
        else:
            try:
                self._file.seek(self._data_offset + in_data)
                piece = self._file.read(max(0, min(len(buffer), self._size - self._position)))
            except OSError as exc:
                # No exception gets through libsndfile: cffi prints what a callback raises, and returns 0.
                self.failure = exc
                return 0
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def buffered(self) -> io.BufferedReader:
        """Return a reader without short reads before the end, as libsndfile demands."""
        return io.BufferedReader(self, BUFFER_BYTES)


class RepairedWav(Window):
    """A WAV file with a correct header in place of its own: one `fmt ` chunk, one `data` chunk of the true size.

    - `has_low_bits`: samples of 24 bits stand in the low bytes of 32, where decoders see them 48 dB too quiet
    - `holds_mpeg`: the file is no more than a wrapper of MPEG data, which is shown without a header
    - `is_convertible`: libsndfile does not know the coding, but ffmpeg does
    - `missing_part`: the part of the sound, from 0 to 1, that the header announces and the file does not hold
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        """Read the header at the offset `start` of `file`. Raises SoundError if there is no sound, and OSError."""
        layout = find_sound(file, start)
        format_chunk, is_24_in_32 = repaired_format(layout.format_chunk)
        tag = int.from_bytes(format_chunk[:2], "little")
        left = max(0, file.seek(0, os.SEEK_END) - layout.offset)
        size = left if layout.size is None else min(layout.size, left)
        self.missing_part = 1 - size / layout.size if layout.size else 0.0
        if tag not in (PCM, FLOAT, *MPEG_TAGS):
            # Of half a block of a compressed coding decoders make noise.
            size -= size % (int.from_bytes(format_chunk[12:14], "little") or 1)
        self.holds_mpeg = tag in MPEG_TAGS
        self.is_convertible = tag in CONVERTIBLE_TAGS
        self.has_low_bits = False
        if is_24_in_32:
            file.seek(layout.offset)
            self.has_low_bits = stand_low(file.read(min(size, PROBED_BYTES)))
        super().__init__(file, layout.offset, size=size, before=b"" if self.holds_mpeg else header(format_chunk, size))


def encode(pcm: bytes, rate: int) -> bytes:
    """Return a WAV file of PCM16 mono at `rate` Hz, with the canonical header of 44 bytes."""
    return pcm16_header(len(pcm), rate) + pcm


def pcm16_header(sound_bytes: int, rate: int) -> bytes:
    """Return the 44 bytes before so many bytes of PCM16 mono at `rate` Hz."""
    return header(pcm_format(PCM, 1, rate, 16), sound_bytes)


def header(format_chunk: bytes, sound_bytes: int) -> bytes:
    """Return the bytes before the sound. `format_chunk` is the content of the `fmt ` chunk."""
    chunks = struct.pack("<4s4sI", b"WAVE", b"fmt ", len(format_chunk)) + format_chunk + b"\0" * (len(format_chunk) % 2)
    chunks += struct.pack("<4sI", b"data", sound_bytes)
    return struct.pack("<4sI", b"RIFF", len(chunks) + sound_bytes) + chunks


def find_sound(file: BinaryIO, start: int) -> Layout:
    """Return where format and sound are in a file that begins at `start`. Raises SoundError if there is no sound."""
    format_chunk, long_size = b"", None
    sound: tuple[int, int | None] | None = None
    for name, offset, size in chunks_of(file, start + 12):
        if name == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt " and not format_chunk:
            format_chunk = file.read(min(size, MAX_FORMAT_BYTES))
        elif name == b"data" and sound is None:
            sound = (offset, _sound_bytes(file, size, long_size))
        if sound and (format_chunk or sound[1] is None):
            break
    if sound is None or not format_chunk:
        format_chunk, sound = _searched(file, start)
    return Layout(format_chunk, *sound)


def chunks_of(file: BinaryIO, offset: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the offset of the content and the size of each chunk; the file stands at the content."""
    for _ in range(MAX_CHUNKS):
        file.seek(offset)
        heading = file.read(8)
        if len(heading) < 8:
            return
        name, size = struct.unpack("<4sI", heading)
        yield name, offset + 8, size
        offset = behind_chunk(file, offset + 8, size)
    raise SoundError("no data chunk: there is no sound in it")


def _sound_bytes(file: BinaryIO, size: int, long_size: int | None) -> int | None:
    """Return the true size of the sound at which the file stands, None for all that follows."""
    if size == UNKNOWN_SIZE:
        return long_size or None
    # Left by a writer that could not seek back, unless a chunk follows: then there is no sound.
    return None if size == 0 and file.read(4) not in CHUNK_NAMES else size


def behind_chunk(file: BinaryIO, offset: int, size: int) -> int:
    """Return the offset of the chunk behind one of `size` bytes at `offset`, whether or not its pad byte is there."""
    offset += size
    if size % 2 == 0:
        return offset
    file.seek(offset)
    following = file.read(5)
    # A name that is known decides; else letters and digits are taken for a name.
    if following[1:] in CHUNK_NAMES or (following[:4] not in CHUNK_NAMES and not following[:4].isalnum()):
        return offset + 1
    return offset


def _searched(file: BinaryIO, start: int) -> tuple[bytes, tuple[int, int | None]]:
    """Return format and sound by their names alone. Raises SoundError if one is not there."""
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    begun = file.read(SEARCHED_BYTES)
    found = begun.find(b"fmt ", 12)
    format_chunk = begun[found + 8 : found + 8 + MAX_FORMAT_BYTES]
    sounds = {
        match.start(): int.from_bytes(begun[match.end() : match.end() + 4], "little")
        for match in re.finditer(b"data", begun[: len(begun) - 4])
        if match.start() >= (12 if found < 0 else found + 24)
    }
    if not sounds:
        raise SoundError("no data chunk: there is no sound in it")
    if found < 0:
        raise SoundError("no format before the sound: the fmt chunk has 0 bytes instead of 16")
    # The word may stand in a text, too, where no size follows.
    fitting = [at for at, size in sounds.items() if at + 8 + size <= end - start or size == UNKNOWN_SIZE]
    at = (fitting or list(sounds))[0]
    return format_chunk[: at - found - 8], (start + at + 8, sounds[at] if 0 < sounds[at] < UNKNOWN_SIZE else None)


def repaired_format(format_chunk: bytes) -> tuple[bytes, bool]:
    """Return the content of a `fmt ` chunk in a form that libsndfile reads right, and whether it has 24 bits in 32.

    Raises SoundError if it is absurd.
    """
    if len(format_chunk) < 16:
        raise SoundError(f"no format before the sound: the fmt chunk has {len(format_chunk)} bytes instead of 16")
    tag, channels, rate, byte_rate, frame_bytes, bits = struct.unpack_from("<HHIIHH", format_chunk)
    if not channels or not rate:
        raise SoundError(f"the header says {channels} channels at {rate} Hz")
    valid_bits = bits
    if tag == EXTENSIBLE:
        # The sub-format is a GUID that begins with a tag; the rest of it says nothing that is needed.
        tag = int.from_bytes(format_chunk[24:26], "little") if len(format_chunk) >= 26 else PCM
        valid_bits = int.from_bytes(format_chunk[18:20], "little") or bits
        format_chunk = struct.pack("<H", tag) + format_chunk[2:16]
    # Compressed formats have frames of their own, and libsndfile works out a frame size of 0 itself.
    if tag not in (PCM, FLOAT):
        return format_chunk, False
    due = channels * ((bits + 7) // 8)
    # 24 bits in a container of 32, named by the frame alone or by the sub-format, too.
    if tag == PCM and 16 < min(bits, valid_bits) <= 24 and (frame_bytes or byte_rate // rate) == 4 * channels:
        return pcm_format(tag, channels, rate, 32), True
    # Of three figures that must fit together one may be wrong.
    if frame_bytes not in (0, due) and byte_rate != rate * due:
        raise SoundError(
            f"the header says {frame_bytes} bytes a frame where {due} are due: export it again as 16-bit PCM"
        )
    return pcm_format(tag, channels, rate, bits), False


def pcm_format(tag: int, channels: int, rate: int, bits: int) -> bytes:
    """Return the content of a `fmt ` chunk for samples without compression. Raises SoundError for absurd figures."""
    frame_bytes = channels * ((bits + 7) // 8)
    try:
        return struct.pack("<HHIIHH", tag, channels, rate, rate * frame_bytes, frame_bytes, bits)
    except struct.error as exc:
        raise SoundError(f"the header says {channels} channels of {bits} bits at {rate} Hz") from exc


def stand_low(sound: bytes) -> bool:
    """Return True if samples of 24 bits stand in the low three of four bytes, against the standard."""
    # The standard aligns samples to the left of a wider container, so the low byte is 0 (ALSA's S24_LE does not).
    samples = np.frombuffer(sound[: len(sound) // 4 * 4], np.uint8).reshape(-1, 4)
    return bool(samples[:, 0].any() and np.isin(samples[:, 3], (0x00, 0xFF)).all())


def begun_layout(begun: bytes) -> Layout | None:
    """Return the layout of a file of which these bytes have come, or None if they do not reach its sound."""
    try:
        layout = find_sound(io.BytesIO(begun), 0)
    except SoundError:
        return None
    return layout if layout.offset + 4 <= len(begun) else None


def pcm16_form(format_chunk: bytes) -> tuple[int, int] | None:
    """Return rate and channels of samples of 16 bits, None for any other form."""
    try:
        repaired, _ = repaired_format(format_chunk)
    except SoundError:
        return None
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", repaired)
    return (rate, channels) if tag == PCM and bits == 16 else None
