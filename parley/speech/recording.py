"""One recording: its sound in NAME.wav (or .flac, .ogg, .opus, .mp3), its words in NAME.txt.

Where it was made, NAME.words.json has the words in time.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from parley.speech import pacing, placeholder, sound_file, word_estimation, word_timing
from parley.speech.sound_file import Sound, SoundError
from parley.speech.utterance import Utterance
from parley.speech.word_timing import Word

NAME_PATTERN = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}")
MAX_TEXT_BYTES = 64 * 1024
MAX_WORDS_BYTES = 4 * 1024 * 1024
Files = dict[str, Path]
"""The files of one name by their ending: `.txt`, and those of sound files."""


@dataclass
class Recording:
    """What was found under a name: `sound` as it lies in the file, and what can be said.

    `problems` names each file that can't be used, and why; `mend` is a command that makes a good file of the sound,
    where one does. `is_whole`: neither sound nor text had to be simulated.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    mend: str | None = None
    transcript: str | None = None
    sound: Sound | None = None
    utterance: Utterance | None = None

    @property
    def is_whole(self) -> bool:
        """Whether both the sound and its words are there."""
        return self.transcript is not None and self.sound is not None


class _FileError(Exception):
    """A file that can't be used; the text names it. Ends as a line of `problems`, and its command as `mend`."""

    def __init__(self, text: str, mend: str | None = None) -> None:
        super().__init__(text)
        self.mend = mend


def read(folder: Path, name: str, files: Files, rate: int) -> Recording:
    """The recording of this name, converted to PCM16 mono at `rate` Hz; never raises for what is in the folder."""
    found = Recording(name)
    if not NAME_PATTERN.fullmatch(name):
        found.problems.append(f"{name!r}: a name has 1 to 64 letters, digits, '.', '_' or '-'")
        return found
    try:
        found.transcript = _text(_inside(folder, name, files, ".txt"))
    except _FileError as exc:
        found.problems.append(str(exc))
    try:
        found.sound = _sound(_inside(folder, name, files, *sound_file.SUFFIXES), rate)
        found.utterance = _spoken(folder, found, found.sound.pcm, rate)
    except _FileError as exc:
        found.problems.append(str(exc))
        found.mend = exc.mend
        if found.transcript is not None:
            found.utterance = placeholder.utterance(found.transcript, rate, name)
    return found


def sidecar(folder: Path, name: str) -> Path:
    """Where the words in time are kept."""
    return folder / f"{name}.words.json"


def sounds(files: Files) -> list[Path]:
    """Return the sound files of a name. The first is played, whether or not it can be read."""
    return [files[suffix] for suffix in sound_file.SUFFIXES if suffix in files]


def ffmpeg(source: Path, arguments: str) -> str:
    """Return the command that makes a 16-bit mono WAV file of a file of any format."""
    return f"ffmpeg -i {source.name} {arguments} -c:a pcm_s16le {source.stem}.new.wav"


def _sound(path: Path, rate: int) -> Sound:
    try:
        return sound_file.read(path, rate)
    except SoundError as exc:
        mend = ffmpeg(path, "-ac 1") if exc.is_convertible else None
        hint = f"; mend it with: {mend}" if mend else ""
        raise _FileError(f"{path.name}: {exc}{hint}", mend) from exc


def _spoken(folder: Path, found: Recording, pcm: bytes, rate: int) -> Utterance:
    if found.transcript is None:
        # What is said nobody knows; that something was is better remembered than nothing.
        return Utterance(found.name, f"(The recording {found.name}, whose words are not known.)", pcm, rate, False)
    timed = _timed(folder, found, round(pacing.duration_ms(len(pcm), rate)))
    if timed is not None:
        return Utterance(found.name, found.transcript, pcm, rate, False, timed)
    guessed = word_estimation.estimate(found.transcript, pcm, rate)
    return Utterance(found.name, found.transcript, pcm, rate, False, guessed, words_estimated=True)


def _timed(folder: Path, found: Recording, total_ms: int) -> tuple[Word, ...] | None:
    """The words of the sidecar; None where there is none, or none that fits."""
    path = sidecar(folder, found.name)
    if not os.path.lexists(path):
        return None
    try:
        content = _content(_inside(folder, found.name, {"": path}, ""), MAX_WORDS_BYTES)
        return word_timing.from_json(content, found.transcript or "", total_ms)
    except (_FileError, word_timing.WordsError) as exc:
        reason = str(exc).removeprefix(f"{path.name}: ")
        found.problems.append(f"{path.name}: {reason}; its words are timed by estimate")
    return None


def _inside(folder: Path, name: str, files: Files, *suffixes: str) -> Path:
    """Return the file with the first of these endings. Raises _FileError where none is there, or it is elsewhere."""
    path = next((files[suffix] for suffix in suffixes if suffix in files), None)
    if path is None:
        present = (sounds(files) or list(files.values()))[0]
        others = f" (nor {', '.join(suffixes[1:])})" if suffixes[1:] else ""
        raise _FileError(f"{present.name}: there is no {name}{suffixes[0]} beside it{others}")
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise _FileError(f"{path.name}: a link that leaves the folder")
    return path


def _content(path: Path, limit: int) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise _FileError(f"{path.name}: not a text file of at most {limit} bytes")
        return path.read_bytes()
    except OSError as exc:
        raise _FileError(f"{path.name}: can't be read: {exc.strerror}") from exc


def _text(path: Path) -> str:
    """The words of a recording, without the blanks around them. Raises _FileError."""
    try:
        text = _content(path, MAX_TEXT_BYTES).decode("utf-8-sig").strip()
    except UnicodeDecodeError as exc:
        raise _FileError(f"{path.name}: not UTF-8 (byte {exc.start}: {exc.reason})") from exc
    if not text:
        raise _FileError(f"{path.name}: empty; it must hold the words of the recording")
    return text
