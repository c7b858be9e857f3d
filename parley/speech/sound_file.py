"""Sound files (WAV, FLAC, Ogg with Vorbis or Opus, MP3) to PCM16 mono, decoded by libsndfile.

Nothing here knows a folder or a request. Faults in the header of a WAV file are repaired in `wav.py`.
"""

import functools
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from parley.speech.pcm import Resampler, to_int16, to_mono
from parley.speech.wav import RepairedWav, SoundError

if TYPE_CHECKING:
    import soundfile

__all__ = ["SUFFIXES", "Sound", "SoundError", "read"]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
"""Endings of sound files. Of several files with one name the first in this list is played: lossless first."""
MAX_SECONDS = 600
"""Limit on the length of a sound, in seconds."""
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Limit on the size of a file, in bytes: ten minutes of 48 kHz stereo in 32-bit samples are 230 MB."""
BLOCK_BYTES = 1 << 18
"""Size of a block of decoded samples, in bytes: a file is never in memory as a whole."""
# A header with another rate is damaged.
RATES_HZ = range(1_000, 384_001)
LENGTH_UNKNOWN = 1 << 62
"""Number of frames from which libsndfile does not know the length: the writer of a FLAC file could not seek back."""
KINDS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"RIFX": "RIFX"}
# libsndfile would read some of these, too: the fewer of its parsers a hostile file can reach, the better. ffmpeg
# converts each of them; RIFX is not here, because ffmpeg makes noise of it.
FOREIGN_STARTS = {
    b"RF64": "an RF64 file",
    b"BW64": "a BW64 file",
    b"FORM": "an AIFF file",
    b"caff": "a CAF file",
    b"riff": "a Wave64 file",
    b"\x30\x26\xb2\x75": "a WMA file",
    b"\x1a\x45\xdf\xa3": "a WebM file",
}


@dataclass(frozen=True)
class Sound:
    """The sound of a file, and the file's own `format`, `channels`, `source_rate` (Hz) and `seconds`.

    `pcm` is signed 16-bit little-endian mono at the requested rate. `is_pcm16` is true if the file has such samples.
    """

    format: str
    channels: int
    source_rate: int
    seconds: float
    is_pcm16: bool
    pcm: bytes

    def __str__(self) -> str:
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{self.format}, {self.source_rate} Hz, {channels}"


def read(path: Path, rate: int) -> Sound:
    """Return the sound of a file as PCM16 mono at `rate` Hz: channels averaged, samples beyond full scale clipped.

    Raises SoundError if there is no sound that can be played, and no other error.
    """
    try:
        # Before it is opened: opening a named pipe waits for a writer.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SoundError("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise SoundError(f"{status.st_size} bytes are more than the {MAX_FILE_BYTES} that are read")
        # Unbuffered: libsndfile reads the descriptor itself, from where it stands.
        with path.open("rb", buffering=0) as file:
            kind, start = _recognise(file)
            if kind != "WAV":
                file.seek(0)
                return _decode(kind, file.fileno(), rate)
            repaired = RepairedWav(file, start)
            sound = _decode(kind, repaired.buffered(), rate)
            if repaired.failure:
                raise repaired.failure
            return sound
    except OSError as exc:
        raise SoundError(f"can't be read: {exc.strerror}") from exc


def _recognise(file: BinaryIO) -> tuple[str, int]:
    """Return the kind of a file and the offset of its sound behind an ID3v2 tag. Raises SoundError for other kinds.

    Tags: https://id3.org/id3v2.4.0-structure, 3.1.
    """
    tag = file.read(10)
    start = 0
    if len(tag) == 10 and tag.startswith(b"ID3"):
        footer_bytes = 10 if tag[5] & 0x10 else 0
        content_bytes = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        start = 10 + content_bytes + footer_bytes
    file.seek(start)
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return "WAV", start
    if head[:4] in KINDS:
        return KINDS[head[:4]], start
    # A frame of MPEG layer III, the only layer that is in use. An ID3 tag stands before MP3 data alone.
    if start or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2):
        return "MP3", start
    foreign = "an MP4 file" if head[4:8] == b"ftyp" else FOREIGN_STARTS.get(head[:4])
    if foreign:
        raise SoundError(f"{foreign}, which is not played", is_convertible=True)
    if len(head) < 12:
        raise SoundError(f"not a sound file: {len(head)} bytes")
    raise SoundError(f"not a sound file: begins with {head[:4]!r}")


@functools.cache
def _library() -> tuple[type["soundfile.SoundFile"], type["soundfile.LibsndfileError"]]:
    """Return a reader of libsndfile's and its error. Raises SoundError if the library is missing."""
    # perf: saves 11 ms and 1 MiB (start without recordings)
    try:
        import soundfile
    except (ImportError, OSError) as exc:
        raise SoundError(f"libsndfile can't be loaded: {exc}") from exc

    class ForwardReader(soundfile.SoundFile):  # type: ignore[misc]
        """A file that is read once from start to end."""

        def seekable(self) -> bool:
            # Otherwise SoundFile.read seeks after each block to the position that it has already. That resets the MP3
            # decoder, which is heard at each border; and the length of a streamed FLAC file is not known.
            return False

    return ForwardReader, soundfile.LibsndfileError


def _decode(kind: str, source: "BinaryIO | int", rate: int) -> Sound:
    """Return the sound of an open file or a file descriptor, decoded block by block. Raises SoundError."""
    reader, failure = _library()
    try:
        with reader(source, closefd=False) as file:
            if file.samplerate not in RATES_HZ:
                raise SoundError(f"the header says a rate of {file.samplerate} Hz")
            most = MAX_SECONDS * file.samplerate
            if most < file.frames < LENGTH_UNKNOWN:
                seconds = round(file.frames / file.samplerate)
                raise SoundError(f"{seconds} s of sound are more than the {MAX_SECONDS} s that are played")
            resampler = Resampler(file.samplerate, rate)
            pieces, frames = [], 0
            block_frames = max(1, BLOCK_BYTES // (4 * file.channels))
            while len(block := file.read(block_frames, dtype="float32", always_2d=True)):
                frames += len(block)
                if frames > most:
                    raise SoundError(f"there is more sound than the {MAX_SECONDS} s that are played")
                pieces.append(to_int16(resampler.resample(to_mono(block))))
            if not frames:
                raise SoundError("holds no sound (0 samples)")
            pcm = b"".join([*pieces, to_int16(resampler.flush())])
            is_pcm16 = file.subtype == "PCM_16"
            name = f"{kind}, {file.subtype_info}"
            return Sound(name, file.channels, file.samplerate, frames / file.samplerate, is_pcm16, pcm)
    except failure as exc:
        # Of any MP3 data that it can't read libsndfile says "File does not exist".
        reason = "" if kind == "MP3" else f": {exc.error_string}".rstrip(".")
        # ffmpeg saves the intact part of a damaged FLAC file, and reads FLAC in Ogg. Of other damage it makes noise.
        is_convertible = kind in ("FLAC", "Ogg")
        raise SoundError(f"{kind} data that can't be decoded{reason}", is_convertible=is_convertible) from exc
