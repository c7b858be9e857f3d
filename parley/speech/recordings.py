"""The recordings of a folder, read and converted once; and the choice of the one that answers a request.

A recording is NAME.wav (or another sound file), its transcript NAME.txt, and optionally its sidecar NAME.words.json
with the words in time. After `Library.load` nothing touches the file system: a name from a request is only ever a key
of a table. Decoding is in `sound_file`.
"""

import os
import re
import shlex
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from parley.errors import InvalidRequest
from parley.speech import pacing, placeholder, sound_file, word_estimation, word_timing
from parley.speech.sound_file import Sound, SoundError
from parley.speech.utterance import Utterance

# Safe in a file name on every system; dots alone would name a folder.
NAME_PATTERN = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}")
MAX_TEXT_BYTES = 64 * 1024
"""Limit on a NAME.txt, in bytes."""
MAX_WORDS_BYTES = 4 * 1024 * 1024
"""Limit on a NAME.words.json, in bytes."""
DEFAULT_NAME = "default"
_ALIKE = {
    **dict.fromkeys(map(ord, "‘’\u201a\u201b′`\u00b4\u02bc"), "'"),
    **dict.fromkeys(map(ord, "“”„‟«»″"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012−"), "-"),
}
_DASHES = re.compile(r"\s*(?:[–—―]|-{2,3})\s*")
_VARIATIONS = "\ufe0e\ufe0f"
Files = dict[str, Path]
"""The files of one name by their ending in lower case: `.txt`, and those of sound files."""


@dataclass(frozen=True)
class Recording:
    """The files of one name as they were read: the `sound` of the file, and the `utterance` that can be played.

    `problems` are sentences, each about one file that can't be used. `convert_command` makes a good sound file of a
    bad one, where a command can.
    """

    name: str
    problems: tuple[str, ...] = ()
    convert_command: str | None = None
    transcript: str | None = None
    sound: Sound | None = None
    utterance: Utterance | None = None

    @property
    def is_complete(self) -> bool:
        """True if the recording has both its sound and its transcript."""
        return self.transcript is not None and self.sound is not None


class _FileError(Exception):
    """A file that can't be used; the message names it, and becomes one of a recording's `problems`."""


class Library:
    """The recordings in memory, and the simulated utterance where there is none.

    `complete` have their sound and their transcript; of `partial` ones either is a stand-in, so they answer by name,
    or where there is nothing else. `problems` are sentences, each about one file of the folder that can't be used.
    `read` are all of them as they were found.
    """

    def __init__(
        self,
        complete: Iterable[Utterance],
        rate: int,
        problems: Iterable[str] = (),
        partial: Iterable[Utterance] = (),
        read: Iterable[Recording] = (),
    ) -> None:
        self.rate = rate
        self.read = list(read)
        self.problems = list(problems)
        self._complete = {utterance.name: utterance for utterance in complete}
        self._by_name = {utterance.name: utterance for utterance in partial} | self._complete
        self._by_words = {folded(utterance.transcript): utterance for utterance in self._complete.values()}

    @classmethod
    def load(cls, folder: Path, rate: int) -> "Library":
        """Return the recordings of `folder`, converted to PCM16 mono at `rate` Hz.

        Where the sound or the transcript can't be used, that one alone is simulated. Raises no error for the content
        of the folder, nor for a folder that is missing: see `problems`.
        """
        try:
            names = find(folder)
        except OSError as exc:
            return cls([], rate, [f"{folder}: the folder can't be read: {exc.strerror}"])
        recordings = [read(folder, name, files, rate) for name, files in names.items()]
        problems = [problem for recording in recordings for problem in recording.problems]
        if not names:
            kinds = ", ".join(sound_file.COMMON_SUFFIXES)
            problems.append(f"{folder}: no NAME.txt with a sound file ({kinds}) in it; audio answers are simulated")
        complete = [recording.utterance for recording in recordings if recording.utterance and recording.is_complete]
        partial = [recording.utterance for recording in recordings if recording.utterance and not recording.is_complete]
        return cls(complete, rate, problems, partial, recordings)

    @property
    def names(self) -> list[str]:
        """The names of the complete recordings, in order."""
        return list(self._complete)

    @property
    def estimated(self) -> list[str]:
        """The names of the complete recordings whose words are timed by estimate."""
        return [utterance.name for utterance in self._complete.values() if utterance.words_estimated]

    def choose(self, name: str | None, spoken: str | None = None) -> Utterance:
        """Return the recording that answers a request, else simulated sound.

        `spoken` is a broadcast, a text that must be heard word for word: it gets the recording of these words or
        simulated sound, and `name` is ignored. Without a name "default" answers, or the only complete recording; where
        none is complete, the only one of which there is anything.
        Raises InvalidRequest (`invalid_asset`) for a name that no file could have.
        """
        if spoken is not None:
            return self.by_words(spoken) or placeholder.utterance(spoken, self.rate)
        if name is not None and not NAME_PATTERN.fullmatch(name):
            raise InvalidRequest("asset: 1 to 64 letters, digits, '.', '_' or '-'", code="invalid_asset", param="asset")
        if name is None:
            # Of several recordings none is picked at random: the caller would hear an arbitrary text.
            candidates = list(self._complete or self._by_name)
            name = candidates[0] if len(candidates) == 1 else DEFAULT_NAME
        return self._by_name.get(name) or placeholder.utterance(None, self.rate)

    def by_words(self, spoken: str) -> Utterance | None:
        """Return the complete recording of this text as `folded` compares them, or None."""
        # No transcript is longer, and a request may carry megabytes.
        if len(spoken) > MAX_TEXT_BYTES:
            return None
        return self._by_words.get(folded(spoken))


def find(folder: Path) -> dict[str, Files]:
    """Return the files of all recordings in a folder by name, in order, without hidden ones. Raises OSError."""
    names: dict[str, Files] = {}
    # Sorted, so that NAME.wav is taken before NAME.WAV whatever the order in which the file system lists them.
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in (*sound_file.SUFFIXES, ".txt") and not path.name.startswith("."):
            names.setdefault(path.stem, {})[suffix] = path
    return names


def read(folder: Path, name: str, files: Files, rate: int) -> Recording:
    """Return the recording of this name, converted to PCM16 mono at `rate` Hz.

    Raises no error for the content of the folder: see `problems`.
    """
    problems = problems_of_name(name)
    if not name.isprintable():
        return Recording(name, tuple(problems))
    # Either half is used without the other: a bad text must not silence a good sound, nor the reverse.
    transcript, sound, utterance, command = None, None, None, None
    try:
        transcript = _transcript(folder, name, files)
    except _FileError as exc:
        problems.append(str(exc))
    try:
        path = _played(folder, name, files)
        sound = sound_file.read(path, rate)
    except _FileError as exc:
        problems.append(str(exc))
    except SoundError as exc:
        command = ffmpeg(path, "-ac 1") if exc.is_convertible else None
        problems.append(f"{path.name}: {exc}" + (f"; convert it with: {command}" if command else ""))
    if sound is not None and transcript is not None:
        utterance, sidecar_problems = _with_words(folder, name, transcript, sound.pcm, rate)
        problems += sidecar_problems
    elif sound is not None:
        # Send a placeholder text, so that the platform's history at least records that audio was played.
        words_unknown = f"(The recording {name}, whose words are not known.)"
        utterance = Utterance(name, words_unknown, sound.pcm, rate, simulated=False)
    elif transcript is not None:
        utterance = placeholder.utterance(transcript, rate, name)
    return Recording(name, tuple(problems), command, transcript, sound, utterance)


def problems_of_name(name: str) -> list[str]:
    """Return the problem of a recording's name, if any. It can be played all the same, unless it can't be printed."""
    if NAME_PATTERN.fullmatch(name):
        return []
    return [f"{name!r}: a name has 1 to 64 letters, digits, '.', '_' or '-'; no request can ask for it"]


def sidecar(folder: Path, name: str) -> Path:
    """Return the path of the words in time of a recording."""
    return folder / f"{name}.words.json"


def sounds(files: Files) -> list[Path]:
    """Return the sound files of a name. The first is played, whether or not it can be read."""
    return [files[suffix] for suffix in sound_file.SUFFIXES if suffix in files]


def ffmpeg(source: Path, arguments: str) -> str:
    """Return the command that makes a 16-bit WAV file of a sound file in any format."""
    source_name, target_name = shlex.quote(source.name), shlex.quote(f"{source.stem}.new.wav")
    return f"ffmpeg -i {source_name} {arguments} -c:a pcm_s16le {target_name}"


def _transcript(folder: Path, name: str, files: Files) -> str:
    """Return the transcript of a recording, without surrounding white space. Raises _FileError."""
    if ".txt" not in files:
        raise _FileError(f"{sounds(files)[0].name}: there is no {name}.txt beside it")
    path = files[".txt"]
    try:
        # Editors on Windows put a byte order mark in front, which `utf-8-sig` drops.
        text = _content(folder, path, MAX_TEXT_BYTES).decode("utf-8-sig").strip()
    except UnicodeDecodeError as exc:
        raise _FileError(f"{path.name}: not UTF-8 (byte {exc.start}: {exc.reason})") from exc
    if not text:
        raise _FileError(f"{path.name}: empty; it must hold the words of the recording")
    return text


def _played(folder: Path, name: str, files: Files) -> Path:
    """Return the sound file of a name that is played. Raises _FileError if there is none, or if it is elsewhere."""
    if not sounds(files):
        first, *others = sound_file.COMMON_SUFFIXES
        text_file = files[".txt"].name
        raise _FileError(f"{text_file}: there is no {name}{first} beside it (nor {', '.join(others)})")
    _check_inside(folder, sounds(files)[0])
    return sounds(files)[0]


def _with_words(folder: Path, name: str, transcript: str, pcm: bytes, rate: int) -> tuple[Utterance, list[str]]:
    """Return a recording with its words in time, from its sidecar or by estimate, and the sidecar's problems."""
    path = sidecar(folder, name)
    problems = []
    # A broken link is a problem, not an absent sidecar.
    if os.path.lexists(path):
        try:
            content = _content(folder, path, MAX_WORDS_BYTES)
            words = word_timing.from_json(content, transcript, round(pacing.duration_ms(len(pcm), rate)))
        except (_FileError, word_timing.WordsError) as exc:
            reason = str(exc).removeprefix(f"{path.name}: ")
            problems.append(f"{path.name}: {reason}; its words are timed by estimate")
        else:
            return Utterance(name, transcript, pcm, rate, simulated=False, words=words), []
    estimated = word_estimation.estimate(transcript, pcm, rate)
    return Utterance(name, transcript, pcm, rate, simulated=False, words=estimated, words_estimated=True), problems


def _content(folder: Path, path: Path, limit: int) -> bytes:
    """Return the content of a text file of at most `limit` bytes. Raises _FileError."""
    _check_inside(folder, path)
    try:
        status = path.stat()
        # Opening a FIFO would wait for a writer, and a device may have no end.
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise _FileError(f"{path.name}: not a text file of at most {limit} bytes")
        return path.read_bytes()
    except OSError as exc:
        raise _FileError(f"{path.name}: can't be read: {exc.strerror}") from exc


def _check_inside(folder: Path, path: Path) -> None:
    """Raise _FileError for a link that leaves the folder: its content would be sent to any caller."""
    # Links within the folder are allowed: one recording under two names.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise _FileError(f"{path.name}: a link that leaves the folder")


def folded(text: str) -> str:
    """Return a text for comparison: what sounds alike is alike.

    One form of accents and full-width characters (NFKC), of quotes, dashes and blanks; nothing invisible. Case counts.
    """
    # Before NFKC as well, which takes an acute accent for a blank with an accent.
    text = unicodedata.normalize("NFKC", text.translate(_ALIKE)).translate(_ALIKE)
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf" and letter not in _VARIATIONS)
    # NFC again: an accent may have been parted from its letter by what is gone now.
    return " ".join(_DASHES.sub(" - ", unicodedata.normalize("NFC", text)).split())
