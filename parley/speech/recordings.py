"""The recordings of a folder, read and converted once; and which of them answers.

A recording is NAME.wav, its words in NAME.txt, and where it was made NAME.words.json with the words in time. After
`Library.load` nothing touches the file system: a name from a request is only ever a key of a table.
"""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from parley.errors import InvalidRequest
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


__all__ = ["Library", "Utterance"]

DEFAULT_NAME = "default"


class Library:
    """The recordings that are there, and the simulated utterance where there is none.

    `problems` says, one line each, what was found in the folder and could not be used.
    """

    def __init__(
        self, found: Iterable[Utterance], rate: int, problems: Iterable[str] = (), parts: Iterable[Utterance] = ()
    ) -> None:
        self.rate = rate
        self.problems = list(problems)
        self._by_name = {utterance.name: utterance for utterance in found}
        self._by_words = {_folded(utterance.transcript): utterance for utterance in self._by_name.values()}
        self._parts = {utterance.name: utterance for utterance in parts}

    @classmethod
    def load(cls, folder: Path, rate: int) -> "Library":
        """Every sound file with its NAME.txt in `folder`, converted to PCM16 mono at `rate` Hz, with NAME.words.json.

        Where one of the pair can't be used, the other is, and that one alone is simulated. Never raises for what is
        in the folder, nor for a folder that is missing: see `problems`.
        """
        try:
            files = find(folder)
        except OSError as exc:
            return cls([], rate, [f"{folder}: the folder can't be read: {exc.strerror}"])
        recordings = [read(folder, name, paths, rate) for name, paths in files.items()]
        problems = [problem for found in recordings for problem in found.problems]
        if not files:
            kinds = ", ".join(sound_file.SUFFIXES)
            problems.append(f"{folder}: no NAME.txt with a sound file ({kinds}) in it; audio answers are simulated")
        whole = [found.utterance for found in recordings if found.utterance and found.is_whole]
        parts = [found.utterance for found in recordings if found.utterance and not found.is_whole]
        return cls(whole, rate, problems, parts)

    @property
    def names(self) -> list[str]:
        """The names of the recordings that are whole, in order."""
        return list(self._by_name)

    @property
    def estimated(self) -> list[str]:
        """Those whose words are timed by estimate."""
        return [utterance.name for utterance in self._by_name.values() if utterance.words_estimated]

    def choose(self, name: str | None, spoken: str | None = None) -> Utterance:
        """The utterance that answers: the recording where there is one, else a simulated one.

        `spoken` is a broadcast, the very text that must be heard: it gets its own recording or simulated
        sound, never another's words, and `name` has no say. Without a name: "default", else the only one.
        Raises InvalidRequest (`invalid_asset`) for a name that no file could have.
        """
        if spoken is not None:
            return self.by_words(spoken) or placeholder.utterance(spoken, self.rate)
        if name is not None and not NAME_PATTERN.fullmatch(name):
            raise InvalidRequest("asset: 1 to 64 letters, digits, '.', '_' or '-'", code="invalid_asset", param="asset")
        found = self._named(name) if name is not None else self._default()
        return found or placeholder.utterance(None, self.rate)

    def by_words(self, spoken: str) -> Utterance | None:
        """The recording of this very text, line breaks and runs of spaces aside."""
        return self._by_words.get(_folded(spoken))

    def _named(self, name: str) -> Utterance | None:
        return self._by_name.get(name) or self._parts.get(name)

    def _default(self) -> Utterance | None:
        if DEFAULT_NAME in self._by_name or len(self._by_name) != 1:
            return self._named(DEFAULT_NAME)
        return next(iter(self._by_name.values()))


def find(folder: Path) -> dict[str, Files]:
    """The files of all recordings in a folder by name, in order. Hidden ones are left out. Raises OSError."""
    found: dict[str, Files] = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in (*sound_file.SUFFIXES, ".txt") and not path.name.startswith("."):
            found.setdefault(path.stem, {})[suffix] = path
    return found


def _folded(text: str) -> str:
    """The text as it is compared: line breaks and runs of spaces don't count."""
    return " ".join(text.split())
