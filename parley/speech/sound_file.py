"""Sound files (WAV, AIFF, CAF, AU, FLAC, Ogg with Vorbis or Opus, MP3) to PCM16 mono, decoded by libsndfile.

Nothing here knows a folder or a request. Faults in the header of a WAV file are repaired in `wav.py`.
"""

import functools
import io
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from parley.speech import wav
from parley.speech.pcm import Mixer, Resampler, Samples, to_int16
from parley.speech.wav import SEARCHED_BYTES, RepairedWav, SoundError

if TYPE_CHECKING:
    import soundfile

__all__ = ["SUFFIXES", "Sound", "SoundError", "decode", "read"]

COMMON_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
SUFFIXES = (
    *COMMON_SUFFIXES,
    *(".aiff", ".aif", ".aifc", ".caf", ".w64", ".rf64", ".bwf", ".au", ".snd", ".oga", ".mp2"),
    # Refused, with the command that converts them.
    *(".m4a", ".mp4", ".aac", ".wma", ".webm"),
)
"""Endings of sound files. Of several files with one name the first in this list is played."""
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
KINDS = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"RIFX": "RIFX",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"riff": "Wave64",
    b".snd": "AU",
}
OGG_CODINGS = (b"\x7fFLAC", b"Speex ")
"""Names of codings in Ogg, in the first page, that libsndfile does not read."""
OGG_HEAD_BYTES = 64
_FORM = re.compile(rb"(?:RIFF|RF64|BW64)....WAVE", re.DOTALL)
STRAY_BYTES = 64
"""Bytes in front of a WAV file that are passed over."""
FOREIGN_STARTS = {
    b"\x30\x26\xb2\x75": "a WMA file",
    b"\x1a\x45\xdf\xa3": "a WebM file",
    b"ADIF": "an AAC file",
    b"wvpk": "a WavPack file",
    b"TTA1": "a TTA file",
    b"Crea": "a Creative Voice file",
    b"#!AM": "an AMR file",
}


@dataclass(frozen=True)
class Sound:
    """The sound of a file, and the file's own `format`, `channels`, `source_rate` (Hz) and `seconds`.

    `pcm` is signed 16-bit little-endian mono at the requested rate. `is_pcm16` is true if the file has such samples.
    `missing_seconds` are announced by the file's header, but not in the file. `weights` are those of the channels where
    they are not averaged.
    """

    format: str
    channels: int
    source_rate: int
    seconds: float
    is_pcm16: bool
    pcm: bytes
    missing_seconds: float = 0.0
    weights: tuple[float, ...] | None = None

    def __str__(self) -> str:
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{self.format}, {self.source_rate} Hz, {channels}"


def read(path: Path, rate: int) -> Sound:
    """Return the sound of a file as PCM16 mono at `rate` Hz.

    Channels are averaged, silent ones left out; samples beyond full scale are clipped.

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
            return decode(file, rate)
    except OSError as exc:
        raise SoundError(f"can't be read: {exc.strerror}") from exc


def decode(
    file: BinaryIO,
    rate: int,
    *,
    most_seconds: int | None = None,
    pause: Callable[[], object] = lambda: None,
    weights: Sequence[float] | None = None,
) -> Sound:
    """Return the sound of an open file, or of bytes in memory, as `read` does; `pause` is called after each block.

    `most_seconds` limits the sound, to `MAX_SECONDS` if it is not given. With `weights` the channels are mixed so;
    without them they are averaged, and a file whose channels need other weights is decoded a second time.

    Raises SoundError, and OSError where the file can't be read.
    """
    kind, start = recognise(file)
    repaired = RepairedWav(file, start) if kind == "WAV" else None
    window = repaired or (wav.Window(file, start) if start else None)
    file.seek(0)
    # libsndfile reads a descriptor itself, in half the time.
    source = window.buffered() if window else file.fileno() if isinstance(file, io.FileIO) else file
    if repaired and repaired.holds_mpeg:
        kind = "MP3"
    reader, failure = _library()
    try:
        with reader(source, closefd=False) as opened:
            mixer = Mixer(opened.channels, weights)
            sound = _decoded(
                kind,
                opened,
                rate,
                most_seconds or MAX_SECONDS,
                pause,
                mixer,
                low_bits=bool(repaired and repaired.has_low_bits),
            )
    except failure as exc:
        # Of any MP3 data that it can't read libsndfile says "File does not exist".
        reason = "" if kind == "MP3" else f": {exc.error_string}".rstrip(".")
        reason = ": the file is damaged or incomplete" if "malformed" in reason else reason
        file.seek(start)
        begun = file.read(OGG_HEAD_BYTES)
        if kind == "CAF" and begun[8:12] == b"desc":
            # The name of the coding stands behind the rate.
            kind = f"CAF ({begun[28:32].decode('latin-1').strip()})"
        # ffmpeg saves the intact part of some damaged files, and knows more codings. Of other damage it makes noise.
        is_convertible = kind[:3] in ("FLA", "CAF", "Wav") or any(coding in begun for coding in OGG_CODINGS)
        is_convertible = is_convertible or bool(repaired and repaired.is_convertible)
        raise SoundError(f"{kind} data that can't be decoded{reason}", is_convertible=is_convertible) from exc
    if window and window.failure:
        raise window.failure
    if better := mixer.better_weights():
        return decode(file, rate, most_seconds=most_seconds, pause=pause, weights=better)
    missing = repaired.missing_part if repaired else missing_part(file, start)
    seconds = sound.missing_seconds or sound.seconds * missing / (1 - missing or 1)
    return replace(sound, missing_seconds=seconds, weights=tuple(weights) if weights else None)


def missing_part(file: BinaryIO, start: int) -> float:
    """Return the part of a file, from 0 to 1, that its header announces and that is not there."""
    file.seek(start)
    head = file.read(24)
    if head[:4] in (b"FORM", b"RIFX"):
        announced = int.from_bytes(head[4:8], "big") + 8
    elif head[:4] == b"riff":
        announced = int.from_bytes(head[16:24], "little")
    elif head[:4] == b".snd" and head[8:12] != b"\xff\xff\xff\xff":
        announced = int.from_bytes(head[4:8], "big") + int.from_bytes(head[8:12], "big")
    else:
        return 0.0
    there = file.seek(0, os.SEEK_END) - start
    # Writers that could not seek back leave sizes that mean nothing.
    return 1 - there / announced if there < announced < 1 << 40 and announced != 0xFFFFFFFF + 8 else 0.0


def recognise(file: BinaryIO) -> tuple[str, int]:
    """Return the kind of a file and the offset of its sound behind ID3v2 tags. Raises SoundError for other kinds."""
    start = behind_tags(file)
    file.seek(start)
    head = file.read(12)
    if kind := _kind_of(head):
        return kind, start
    # An ID3 tag stands before MP3 data as a rule.
    if start:
        return "MP3", start
    foreign = FOREIGN_STARTS.get(head[:4])
    if head[4:8] == b"ftyp":
        foreign = "an MP4 file"
    elif head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        foreign = "an AAC file"
    if foreign:
        raise SoundError(f"{foreign}, which is not played", is_convertible=True)
    if len(head) < 12:
        raise SoundError(f"not a sound file: {len(head)} bytes")
    raise SoundError(f"not a sound file: begins with {head[:4]!r}")


def behind_tags(file: BinaryIO) -> int:
    """Return the offset behind all ID3v2 tags at the start of a file.

    Source: https://id3.org/id3v2.4.0-structure, 3.1.
    """
    start = 0
    file.seek(0)
    while len(tag := file.read(10)) == 10 and tag.startswith(b"ID3"):
        footer_bytes = 10 if tag[5] & 0x10 else 0
        content_bytes = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
        start += 10 + content_bytes + footer_bytes
        file.seek(start)
    file.seek(start)
    if not _kind_of(file.read(12)):
        # Padding that the tag does not count, a size that was not written in sevens of bits, or a line break.
        file.seek(0)
        if found := _FORM.search(file.read(SEARCHED_BYTES if start else STRAY_BYTES)):
            start = found.start()
    return start


def _kind_of(head: bytes) -> str | None:
    """Return the kind of a file that begins with these twelve bytes, or None."""
    if head[:4] in wav.FORMS and head[8:] == b"WAVE":
        return "WAV"
    # A frame of layer III, or of layer II, which broadcasters use. Nobody uses layer I, and UTF-16 text looks like it.
    is_mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 in (2, 4)
    return "MP3" if is_mpeg else KINDS.get(head[:4])


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


def _decoded(
    kind: str,
    file: "soundfile.SoundFile",
    rate: int,
    most_seconds: int,
    pause: Callable[[], object],
    mixer: Mixer,
    *,
    low_bits: bool,
) -> Sound:
    """Return the sound of an open sound file, decoded block by block. Raises SoundError, and libsndfile's own error."""
    if file.samplerate not in RATES_HZ:
        raise SoundError(f"the header says a rate of {file.samplerate} Hz")
    most = most_seconds * file.samplerate
    if most < file.frames < LENGTH_UNKNOWN:
        seconds = round(file.frames / file.samplerate)
        raise SoundError(f"{seconds} s of sound are more than the {most_seconds} s that are played")
    resampler = Resampler(file.samplerate, rate)
    pieces, frames = [], 0
    block_frames = max(1, BLOCK_BYTES // (4 * file.channels))
    while len(block := file.read(block_frames, dtype="float32", always_2d=True)):
        frames += len(block)
        if frames > most:
            raise SoundError(f"there is more sound than the {most_seconds} s that are played")
        pieces.append(to_int16(resampler.resample(mixer.mixed(raised(block) if low_bits else block))))
        pause()
    if not frames:
        raise SoundError("holds no sound (0 samples)")
    pcm = b"".join([*pieces, to_int16(resampler.flush())])
    name = f"{kind}, {file.subtype_info}"
    # The header of an MP3 file knows the number of its frames, too.
    missing = file.frames - frames if file.frames < LENGTH_UNKNOWN else 0
    return Sound(
        name,
        file.channels,
        file.samplerate,
        frames / file.samplerate,
        file.subtype == "PCM_16",
        pcm,
        missing / file.samplerate if missing > file.samplerate // 10 else 0.0,
    )


def raised(samples: Samples) -> Samples:
    """Return samples of 24 bits that were read as the low bytes of 32, with or without their sign, at full level."""
    wrapped: Samples = np.remainder(samples * np.float32(256) + np.float32(1), np.float32(2)) - np.float32(1)
    return wrapped
