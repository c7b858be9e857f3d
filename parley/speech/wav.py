"""The header of a WAV file: repaired in memory before libsndfile sees it, and written for our own files.

| a writer's fault | libsndfile 1.2.2 by itself | here |
|---|---|---|
| data size 0, left by a writer that could not seek back | no sound | all bytes that follow are sound |
| odd chunk without its pad byte | refuses the file | found by the name of the next chunk |
| 24 bits a sample in frames of 4 bytes | noise | read as 32 bits |
| a frame size that contradicts the sample size | noise | refused |
| a second data chunk | refuses the file | ignored |

Format: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF).
"""

import io
import os
import struct
from typing import BinaryIO

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MAX_CHUNKS = 1000
"""Limit on the chunks before the sound: a file of empty chunks must not keep the loader busy."""
MAX_FORMAT_BYTES = 4096
"""Limit on the content of a `fmt ` chunk, in bytes."""
BUFFER_BYTES = 1 << 16
_NAMES = b"data|fmt |LIST|fact|JUNK|junk|PAD |FLLR|PEAK|bext|iXML|cue |plst|smpl|inst|acid|ID3 |id3 |cart|chna|axml"
CHUNK_NAMES = frozenset(_NAMES.split(b"|"))
"""Names by which the start of a chunk is told from sound and from a pad byte."""


class SoundError(ValueError):
    """A file that can't be played; the message says why. `is_convertible` is true if ffmpeg makes a good file of it."""

    def __init__(self, reason: str, *, is_convertible: bool = False) -> None:
        super().__init__(reason)
        self.is_convertible = is_convertible


class RepairedWav(io.RawIOBase):
    """A WAV file with a correct header in place of its own: one `fmt ` chunk, one `data` chunk of the true size.

    `failure` is the error that ended reading, if any: libsndfile takes an error for the end of the file.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        """Read the header at the offset `start` of `file`. Raises SoundError if there is no sound, and OSError."""
        format_chunk, self._data_offset, size = _find_data(file, start)
        self._file = file
        self._header = _header(_repaired_format(format_chunk), size)
        self._size = len(self._header) + size
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


def encode(pcm: bytes, rate: int) -> bytes:
    """Return a WAV file of PCM16 mono at `rate` Hz, with the canonical header of 44 bytes."""
    return _header(struct.pack("<HHIIHH", PCM, 1, rate, 2 * rate, 2, 16), len(pcm)) + pcm


def _header(format_chunk: bytes, sound_bytes: int) -> bytes:
    """Return the bytes before the sound. `format_chunk` is the content of the `fmt ` chunk."""
    chunks = struct.pack("<4s4sI", b"WAVE", b"fmt ", len(format_chunk)) + format_chunk + b"\0" * (len(format_chunk) % 2)
    chunks += struct.pack("<4sI", b"data", sound_bytes)
    return struct.pack("<4sI", b"RIFF", len(chunks) + sound_bytes) + chunks


def _find_data(file: BinaryIO, start: int) -> tuple[bytes, int, int]:
    """Return the content of the `fmt ` chunk, the offset of the sound and its size in bytes."""
    end = file.seek(0, os.SEEK_END)
    format_chunk = b""
    offset = start + 12
    for _ in range(MAX_CHUNKS):
        file.seek(offset)
        heading = file.read(8)
        if len(heading) < 8:
            break
        name, size = struct.unpack("<4sI", heading)
        offset += 8
        if name == b"data":
            # A writer that could not seek back leaves 0 (or 0xFFFFFFFF): then all that follows is sound.
            if size == 0 and file.read(4) not in CHUNK_NAMES:
                size = end - offset
            return format_chunk, offset, min(size, end - offset)
        if name == b"fmt ":
            format_chunk = file.read(min(size, MAX_FORMAT_BYTES))
        offset += size
        if size % 2:
            # A pad byte is due, but some writers leave it out.
            file.seek(offset)
            offset += file.read(4) not in CHUNK_NAMES
    raise SoundError("no data chunk: there is no sound in it")


def _repaired_format(format_chunk: bytes) -> bytes:
    """Return the content of a `fmt ` chunk in a form that libsndfile reads right. Raises SoundError if it is absurd."""
    if len(format_chunk) < 16:
        raise SoundError(f"no format before the sound: the fmt chunk has {len(format_chunk)} bytes instead of 16")
    tag, channels, rate, byte_rate, frame_bytes, bits = struct.unpack_from("<HHIIHH", format_chunk)
    if not channels or not rate:
        raise SoundError(f"the header says {channels} channels at {rate} Hz")
    due = channels * ((bits + 7) // 8)
    # Compressed formats have frames of their own, and libsndfile works out a frame size of 0 itself.
    if tag not in (PCM, FLOAT, EXTENSIBLE) or frame_bytes in (0, due):
        return format_chunk
    if tag != FLOAT and 16 < bits <= 24 and frame_bytes == 4 * channels:
        # The standard aligns samples to the left of a wider container: they are 32-bit samples whose last bits are 0.
        return struct.pack("<HHIIHH", tag, channels, rate, byte_rate, frame_bytes, 32) + format_chunk[16:]
    raise SoundError(f"the header says {frame_bytes} bytes a frame where {due} are due: export it again as 16-bit PCM")
