"""The recordings of a folder, NAME.wav beside NAME.txt, read and converted once; and which of them answers.

After `Library.load` nothing touches the file system: a name from a request is only ever a key of a table.
"""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from parley.errors import InvalidRequest
from parley.speech import simulated, wav
from parley.speech.utterances import Utterance

__all__ = ["Library", "Utterance"]

DEFAULT_NAME = "default"
NAME_PATTERN = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}")
MAX_TEXT_BYTES = 64 * 1024


class Library:
    """The recordings that are there, and the simulated utterance where there is none.

    `problems` says, one line each, what was found in the folder and could not be used.
    """

    def __init__(self, utterances: Iterable[Utterance], rate: int, problems: Iterable[str] = ()) -> None:
        self.rate = rate
        self.problems = list(problems)
        self._by_name = {utterance.name: utterance for utterance in utterances}
        self._by_words = {_folded(utterance.transcript): utterance for utterance in self._by_name.values()}

    @classmethod
    def load(cls, folder: Path, rate: int) -> "Library":
        """Every pair of NAME.wav and NAME.txt in `folder`, converted to PCM16 mono at `rate` Hz.

        Never raises for what is in the folder, nor for a folder that is missing: see `problems`.
        """
        utterances: list[Utterance] = []
        problems: list[str] = []
        try:
            pairs = _find_pairs(folder)
        except OSError as exc:
            return cls([], rate, [f"{folder}: the folder can't be read: {exc.strerror}"])
        if not pairs:
            problems.append(f"{folder}: no NAME.wav with a NAME.txt in it; audio answers are simulated")
        for name, files in pairs.items():
            try:
                utterances.append(_load_pair(folder, name, files, rate))
            except _AssetError as exc:
                problems.append(str(exc))
        return cls(utterances, rate, problems)

    @property
    def names(self) -> list[str]:
        """The names that can be asked for, in order."""
        return list(self._by_name)

    def choose(self, name: str | None, spoken: str | None = None) -> Utterance:
        """The utterance that answers: the recording where there is one, else a simulated one.

        `spoken` is a broadcast, the very text that must be heard: it gets its own recording or simulated
        sound, never another's words, and `name` has no say. Without a name: "default", else the only one.
        Raises InvalidRequest (`invalid_asset`) for a name that no file could have.
        """
        if spoken is not None:
            return self._by_words.get(_folded(spoken)) or simulated.utterance(spoken, self.rate)
        if name is not None and not NAME_PATTERN.fullmatch(name):
            raise InvalidRequest("asset: 1 to 64 letters, digits, '.', '_' or '-'", code="invalid_asset", param="asset")
        found = self._by_name.get(name) if name is not None else self._default()
        return found or simulated.utterance(None, self.rate)

    def _default(self) -> Utterance | None:
        if DEFAULT_NAME in self._by_name or len(self._by_name) != 1:
            return self._by_name.get(DEFAULT_NAME)
        return next(iter(self._by_name.values()))


class _AssetError(Exception):
    """A file that can't be used; the text names it. Ends as a line of `problems`."""


def _folded(text: str) -> str:
    """The text as it is compared: line breaks and runs of spaces don't count."""
    return " ".join(text.split())


def _find_pairs(folder: Path) -> dict[str, dict[str, Path]]:
    """Sound and text by name: `{"default": {".wav": path, ".txt": path}}`. Hidden files are left out."""
    pairs: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in (".wav", ".txt") and not path.name.startswith("."):
            pairs.setdefault(path.stem, {})[suffix] = path
    return pairs


def _load_pair(folder: Path, name: str, files: dict[str, Path], rate: int) -> Utterance:
    """One recording with its words. Raises _AssetError."""
    if not NAME_PATTERN.fullmatch(name):
        raise _AssetError(f"{name!r}: a name has 1 to 64 letters, digits, '.', '_' or '-'")
    for suffix in (".wav", ".txt"):
        if suffix not in files:
            (present,) = files.values()
            raise _AssetError(f"{present.name}: there is no {name}{suffix} beside it")
    for path in files.values():
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise _AssetError(f"{path.name}: a link that leaves the folder")
    transcript = _read_text(files[".txt"])
    try:
        sound = wav.read(files[".wav"])
    except wav.WavError as exc:
        raise _AssetError(f"{files['.wav'].name}: {exc}") from exc
    return Utterance(name, transcript, wav.to_pcm16(sound, rate), rate, simulated=False)


def _read_text(path: Path) -> str:
    """The words of a recording, without the blanks around them. Raises _AssetError."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_TEXT_BYTES:
            raise _AssetError(f"{path.name}: not a text file of at most {MAX_TEXT_BYTES} bytes")
        text = path.read_bytes().decode("utf-8-sig").strip()
    except OSError as exc:
        raise _AssetError(f"{path.name}: can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise _AssetError(f"{path.name}: not UTF-8 (byte {exc.start}: {exc.reason})") from exc
    if not text:
        raise _AssetError(f"{path.name}: empty; it must hold the words of the recording")
    return text
