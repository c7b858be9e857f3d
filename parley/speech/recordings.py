"""The recordings of a folder, read and converted once; and which of them answers.

After `Library.load` nothing touches the file system: a name from a request is only ever a key of a table.
"""

from collections.abc import Iterable
from pathlib import Path

from parley.errors import InvalidRequest
from parley.speech import placeholder, recording, sound_file
from parley.speech.utterance import Utterance

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
        recordings = [recording.read(folder, name, paths, rate) for name, paths in files.items()]
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
        if name is not None and not recording.NAME_PATTERN.fullmatch(name):
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


def find(folder: Path) -> dict[str, recording.Files]:
    """The files of all recordings in a folder by name, in order. Hidden ones are left out. Raises OSError."""
    found: dict[str, recording.Files] = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in (*sound_file.SUFFIXES, ".txt") and not path.name.startswith("."):
            found.setdefault(path.stem, {})[suffix] = path
    return found


def _folded(text: str) -> str:
    """The text as it is compared: line breaks and runs of spaces don't count."""
    return " ".join(text.split())
