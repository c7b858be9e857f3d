"""Sound files (WAV, FLAC, Ogg with Vorbis or Opus, MP3) to PCM16 mono, decoded by libsndfile.

Nothing here knows a folder or a request. What is wrong with a WAV file's header is mended in `wav.py`.
"""

import functools
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from parley.speech.pcm import Resampler, Samples, to_int16
from parley.speech.wav import MendedWav, SoundError

if TYPE_CHECKING:
    import soundfile

__all__ = ["SUFFIXES", "Sound", "SoundError", "read"]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
"""Of the files that are recordings. Where one name has several, the first of this list is played: lossless first."""
MAX_SECONDS = 600
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Ten minutes of 48 kHz stereo in 32-bit samples are 230 MB."""
BLOCK_BYTES = 1 << 18
"""Of decoded samples at a time: a file is never whole in memory."""
RATES_HZ = range(1_000, 384_001)
LENGTH_UNKNOWN = 1 << 62
"""From so many frames on libsndfile does not know the length: a FLAC file from a writer that could not seek back."""
KINDS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"RIFX": "RIFX"}
# libsndfile would read some of these, too: the fewer of its parsers can be reached, the better. ffmpeg was seen to
# convert each of them; a RIFX file it turns into noise.
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
    """The sound of a file. `format`, `channels`, `source_rate` (Hz) and `seconds` describe the file.

    `pcm` is signed 16-bit little-endian mono at the rate that was asked for. `is_pcm16`: the file has such samples.
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
    """Return the sound of a file as PCM16 mono at `rate` Hz: channels averaged, too loud samples clipped.

    Raises SoundError where there is none that can be played, and nothing else.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise SoundError("not a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise SoundError(f"{found.st_size} bytes are more than the {MAX_FILE_BYTES} that are read")
        # Unbuffered: libsndfile reads the descriptor itself, from where it stands.
        with path.open("rb", buffering=0) as file:
            kind, start = _recognise(file)
            if kind != "WAV":
                file.seek(0)
                return _decode(kind, file.fileno(), rate)
            mended = MendedWav(file, start)
            sound = _decode(kind, mended.buffered(), rate)
            if mended.failure:
                raise mended.failure
            return sound
    except OSError as exc:
        raise SoundError(f"can't be read: {exc.strerror}") from exc


def _recognise(file: BinaryIO) -> tuple[str, int]:
    """Return the kind of a file and the offset of its start behind an ID3 tag. Raises SoundError for other kinds."""
    tag = file.read(10)
    start = _tag_bytes(tag)
    file.seek(start)
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return "WAV", start
    if head[:4] in KINDS:
        return KINDS[head[:4]], start
    # An MPEG frame of layer III, the only one of these that is in use.
    if start or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2):
        return "MP3", start
    foreign = "an MP4 file" if head[4:8] == b"ftyp" else FOREIGN_STARTS.get(head[:4])
    if foreign:
        raise SoundError(f"{foreign}, which is not played", is_convertible=True)
    if len(head) < 12:
        raise SoundError(f"not a sound file: {len(head)} bytes")
    raise SoundError(f"not a sound file: begins with {head[:4]!r}")


def _tag_bytes(head: bytes) -> int:
    """Return the size of the ID3v2 tag that a file begins with (https://id3.org/id3v2.4.0-structure, 3.1), else 0."""
    if len(head) < 10 or not head.startswith(b"ID3"):
        return 0
    has_footer = head[5] & 0x10
    size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if has_footer else 0)


@functools.cache
def _library() -> tuple[type["soundfile.SoundFile"], type["soundfile.LibsndfileError"]]:
    """Return a reader of libsndfile's and its error; imported when the first recording is read (11 ms, 1 MiB)."""
    try:
        import soundfile
    except (ImportError, OSError) as exc:
        raise SoundError(f"libsndfile can't be loaded: {exc}") from exc

    class ForwardReader(soundfile.SoundFile):  # type: ignore[misc]
        """A file that is read once from start to end."""

        def seekable(self) -> bool:
            # Else SoundFile.read seeks after each block to where it stands already. That resets the MP3 decoder, which
            # is heard at each border; and the length of a streamed FLAC file is not known.
            return False

    return ForwardReader, soundfile.LibsndfileError


def _decode(kind: str, source: "BinaryIO | int", rate: int) -> Sound:
    """Decode block by block. Raises SoundError."""
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
                pieces.append(to_int16(resampler.more(_mono(block))))
            if not frames:
                raise SoundError("holds no sound (0 samples)")
            pcm = b"".join([*pieces, to_int16(resampler.rest())])
            is_pcm16 = file.subtype == "PCM_16"
            name = f"{kind}, {file.subtype_info}"
            return Sound(name, file.channels, file.samplerate, frames / file.samplerate, is_pcm16, pcm)
    except failure as exc:
        # Of MP3 data it says "File does not exist".
        reason = "" if kind == "MP3" else f": {exc.error_string}".rstrip(".")
        # ffmpeg saves what is whole of a damaged FLAC file, and reads FLAC in Ogg. Of other damage it makes noise.
        is_convertible = kind in ("FLAC", "Ogg")
        raise SoundError(f"{kind} data that can't be decoded{reason}", is_convertible=is_convertible) from exc


def _mono(block: Samples) -> Samples:
    """Return the mean of the channels; what is no number is silence, what is beyond full scale is clipped."""
    np.nan_to_num(block, copy=False, nan=0.0)
    np.clip(block, -1.0, 1.0, out=block)
    total = np.zeros(len(block), np.float32)
    # One after the other: `mean` adds in another order where there are eight channels and more.
    for channel in range(block.shape[1]):
        total += block[:, channel]
    return total / np.float32(block.shape[1])
