"""What a synthesiser is, the one that stands where there is none, and the memory of what recurs.

The embedded voice is in `embedded_voice.py`, an API's in `api_voice.py`. Nothing here knows where the words come from.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Protocol

from parley.speech import placeholder
from parley.speech.pacing import duration_ms
from parley.speech.speech_text import Clause, to_clauses
from parley.speech.utterance import AudioPiece, Utterance
from parley.speech.word_timing import Word

MOST_BYTES = 16 << 20
"""Of remembered sound: eight minutes at 16 kHz. What was not asked for the longest is forgotten first."""


class Timeline:
    """Puts lines one behind the other: their words are timed from the start of all sound."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._clause_bytes = 0
        self._bytes = 0

    def placed(self, piece: AudioPiece) -> AudioPiece:
        """The next piece of the line; a text is parted from the next one by a blank."""
        start_ms = int(duration_ms(self._clause_bytes, self._rate))
        words = tuple(Word(text, start_ms + start, start_ms + end) for text, start, end in piece.words)
        self._bytes += len(piece.pcm)
        return AudioPiece(piece.pcm, f"{piece.text} " if piece.text else "", words)

    def end_clause(self) -> None:
        """What follows belongs to the next line."""
        self._clause_bytes = self._bytes


class Synthesiser(Protocol):
    """Turns clauses into sound: PCM16 mono."""

    name: str
    """In logs."""
    description: str
    """For the operator."""
    rate: int
    """Hz of the PCM."""
    english: bool
    """Whether numbers and signs are to be read as English words; else they are left to the voice."""

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """The clause piece by piece. The first piece bears its text; its words are timed from the clause's start.

        What is not urgent may have to wait for what is. Blocks while the sound is made. Raises a ParleyError where
        the voice fails.
        """
        ...

    def warm(self) -> None:
        """Load or connect what the first caller would wait for."""
        ...

    def close(self) -> None:
        """Let go of what is kept for the next clause."""
        ...


class PlaceholderVoice:
    """Stands where no voice is: soft tones at the pace of speech, with the right words."""

    name = "simulated"
    description = "none: soft tones instead (install the embedded voice, or set TTS_BASE_URL)"
    english = True

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """The tones, in one piece."""
        utterance = placeholder.utterance(clause.text, self.rate)
        yield AudioPiece(utterance.pcm, clause.text, utterance.words)

    def warm(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing is kept."""


class CachingSynthesiser:
    """A synthesiser that says from memory what it has said before, as far as that is known to recur.

    `phrases` recur by themselves (waiting messages, the fallback text); others do where the one who asks says so.
    """

    def __init__(self, voice: Synthesiser, phrases: Iterable[str] = (), most_bytes: int = MOST_BYTES) -> None:
        self._voice = voice
        self.name, self.description = voice.name, voice.description
        self.rate, self.english = voice.rate, voice.english
        self._phrases = {clause for phrase in phrases for clause in to_clauses(phrase, english=voice.english)}
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Clause, tuple[AudioPiece, ...]] = OrderedDict()

    def say(self, clause: Clause, *, urgent: bool = True, recurs: bool = False) -> Iterator[AudioPiece]:
        """The clause, as the synthesiser behind it would say it."""
        if clause in self._kept:
            self._kept.move_to_end(clause)
            yield from self._kept[clause]
            return
        said: list[AudioPiece] = []
        recurs = recurs or clause in self._phrases
        for piece in self._voice.say(clause, urgent=urgent):
            if recurs:
                said.append(piece)
            yield piece
        if recurs:
            self._keep(clause, tuple(said))

    def warm(self) -> None:
        """Prepare the voice."""
        self._voice.warm()

    def close(self) -> None:
        """Let go of what the voice keeps."""
        self._voice.close()

    def rehearse(self) -> None:
        """Say once what is known to recur. Raises a ParleyError where the voice fails."""
        for clause in self._phrases:
            for _ in self.say(clause):
                pass

    def utterance(self, text: str, *, recurs: bool = False) -> Utterance:
        """A whole text, with this transcript. Raises a ParleyError where the voice fails."""
        timeline = Timeline(self.rate)
        placed = []
        for clause in to_clauses(text, english=self.english):
            placed += [timeline.placed(piece) for piece in self.say(clause, recurs=recurs)]
            timeline.end_clause()
        pcm = b"".join(piece.pcm for piece in placed)
        words = tuple(word for piece in placed for word in piece.words)
        return Utterance(self.name, text, pcm, self.rate, simulated=self.name == PlaceholderVoice.name, words=words)

    def _keep(self, clause: Clause, said: tuple[AudioPiece, ...]) -> None:
        if clause not in self._kept:
            self._kept[clause] = said
            self._bytes += _size(said)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(said: tuple[AudioPiece, ...]) -> int:
    return sum(len(piece.pcm) for piece in said)
