"""The header of a WAV file, mended in memory before libsndfile sees it; and the header of a WAV file that we write.

| a writer's fault | libsndfile 1.2.2 by itself | here |
|---|---|---|
| data size 0, left by a writer that could not seek back | no sound | all bytes that follow are sound |
| odd chunk without its pad byte | refuses the file | found by the name of the next chunk |
| 24 bits a sample in frames of 4 bytes | noise | read as 32 bits |
| a frame size that contradicts the sample size | noise | refused |
| a second data chunk | refuses the file | not heard |

Format: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF).
"""

import io
import os
import struct
from typing import BinaryIO

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MAX_CHUNKS = 1000
MAX_FORMAT_BYTES = 4096
BUFFER_BYTES = 1 << 16
_NAMES = b"data|fmt |LIST|fact|JUNK|junk|PAD |FLLR|PEAK|bext|iXML|cue |plst|smpl|inst|acid|ID3 |id3 |cart|chna|axml"
CHUNK_NAMES = frozenset(_NAMES.split(b"|"))
"""Names that tell the start of a chunk from sound, and from a pad byte."""


class SoundError(ValueError):
    """A file can't be used as a recording; the text says why. `is_convertible`: ffmpeg makes a good file of it."""

    def __init__(self, reason: str, *, is_convertible: bool = False) -> None:
        super().__init__(reason)
        self.is_convertible = is_convertible


class MendedWav(io.RawIOBase):
    """A WAV file read behind a clean header: one `fmt ` chunk, one `data` chunk of the true size.

    `failure` is the error that ended reading, if one did: libsndfile takes it for the end of the file.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        """`start` is the offset of "RIFF" in `file`. Raises SoundError where there is no sound, and OSError."""
        layout, self._sound_at, size = _find_sound(file, start)
        self._file = file
        self._header = _header(_mended_layout(layout), size)
        self._size = len(self._header) + size
        self._at = 0
        self.failure: OSError | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, the present position or the end."""
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read from the clean header, and beyond it from the file."""
        behind = self._at - len(self._header)
        if behind < 0:
            piece = self._header[self._at : self._at + len(buffer)]
        else:
            try:
                self._file.seek(self._sound_at + behind)
                piece = self._file.read(max(0, min(len(buffer), self._size - self._at)))
            except OSError as exc:
                self.failure = exc
                return 0
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def buffered(self) -> io.BufferedReader:
        """Return a reader that never gives less than is asked for before the end, as libsndfile demands."""
        return io.BufferedReader(self, BUFFER_BYTES)


def encode(pcm: bytes, rate: int) -> bytes:
    """Return a WAV file of PCM16 mono at `rate` Hz, with the canonical header of 44 bytes."""
    return _header(struct.pack("<HHIIHH", PCM, 1, rate, 2 * rate, 2, 16), len(pcm)) + pcm


def _header(layout: bytes, sound_bytes: int) -> bytes:
    """Return all that stands before the sound; `layout` is the content of the `fmt ` chunk."""
    chunks = struct.pack("<4s4sI", b"WAVE", b"fmt ", len(layout)) + layout + b"\0" * (len(layout) % 2)
    chunks += struct.pack("<4sI", b"data", sound_bytes)
    return struct.pack("<4sI", b"RIFF", len(chunks) + sound_bytes) + chunks


def _find_sound(file: BinaryIO, start: int) -> tuple[bytes, int, int]:
    """Return the content of the `fmt ` chunk, the offset of the sound and its size in bytes."""
    end = file.seek(0, os.SEEK_END)
    layout = b""
    at = start + 12
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        heading = file.read(8)
        if len(heading) < 8:
            break
        name, size = struct.unpack("<4sI", heading)
        at += 8
        if name == b"data":
            # A writer that could not seek back leaves 0 (or 0xFFFFFFFF): then the sound is all that follows.
            if size == 0 and file.read(4) not in CHUNK_NAMES:
                size = end - at
            return layout, at, min(size, end - at)
        if name == b"fmt ":
            layout = file.read(min(size, MAX_FORMAT_BYTES))
        at += size
        if size % 2:
            # The pad byte is due, but not every writer knows.
            file.seek(at)
            at += file.read(4) not in CHUNK_NAMES
    raise SoundError("no data chunk: there is no sound in it")


def _mended_layout(layout: bytes) -> bytes:
    """Return the content of a `fmt ` chunk as libsndfile reads it right. Raises SoundError where it makes no sense."""
    if len(layout) < 16:
        raise SoundError(f"no format before the sound: the fmt chunk has {len(layout)} bytes instead of 16")
    tag, channels, rate, byte_rate, frame_bytes, bits = struct.unpack_from("<HHIIHH", layout)
    if not channels or not rate:
        raise SoundError(f"the header says {channels} channels at {rate} Hz")
    due = channels * ((bits + 7) // 8)
    if tag not in (PCM, FLOAT, EXTENSIBLE) or frame_bytes in (0, due):
        return layout
    if tag != FLOAT and 16 < bits <= 24 and frame_bytes == 4 * channels:
        # The standard sets samples to the left in a wider container, so that they are 32 bits with the last ones 0.
        return struct.pack("<HHIIHH", tag, channels, rate, byte_rate, frame_bytes, 32) + layout[16:]
    raise SoundError(f"the header says {frame_bytes} bytes a frame where {due} are due: export it anew as 16-bit PCM")
