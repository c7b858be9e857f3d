"""The protocol of a synthesiser, the null object where no voice is installed, and the cache in front of a voice.

The embedded voice is in `embedded_voice.py`, that of an API in `api_voice.py`. Nothing here knows where the text comes
from.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Protocol

from parley.concurrency import checkpoint
from parley.errors import AnswerCapped, LanguageNotSpoken
from parley.speech import placeholder
from parley.speech.pacing import duration_ms
from parley.speech.pronunciation import NO_PRONUNCIATIONS, PronunciationFile, Pronunciations
from parley.speech.speech_text import Clause, to_clauses
from parley.speech.utterance import AudioPiece, Utterance
from parley.speech.word_timing import Word
from parley.telemetry.logs import log

MAX_CACHE_BYTES = 16 << 20
"""Limit on the sound in the cache, in bytes: eight minutes at 16 kHz."""


class Timeline:
    """Puts clauses one behind the other: their words are timed from the start of the first one's sound."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._clause_bytes = 0
        self._bytes = 0

    def append(self, piece: AudioPiece) -> AudioPiece:
        """Return the next piece of the clause, timed from the start of all sound; a blank follows its text."""
        # From the start of the clause, not of the piece: an API's words come behind all of a clause's sound.
        start_ms = int(duration_ms(self._clause_bytes, self._rate))
        words = tuple(Word(text, start_ms + start, start_ms + end) for text, start, end in piece.words)
        self._bytes += len(piece.pcm)
        return AudioPiece(piece.pcm, f"{piece.text} " if piece.text else "", words)

    def end_clause(self) -> None:
        """Begin the next clause."""
        self._clause_bytes = self._bytes


class Synthesiser(Protocol):
    """Turns clauses into sound: PCM16 mono."""

    name: str
    """Short name, in logs."""
    description: str
    """The voice in the operator's words."""
    rate: int
    """Rate of the PCM, in Hz."""
    english: bool
    """True if clauses need English readings of their numbers and signs, false if they are left to the voice."""

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """Yield the clause piece by piece. The first piece has its text; words are timed from the clause's start.

        Blocks while the sound is made; a clause that is not urgent may wait for others that are. Raises a ParleyError
        where the voice fails; LanguageNotSpoken, before any sound, for a language that it does not speak.
        """
        ...

    def warm(self) -> None:
        """Load or connect everything that the first caller would wait for."""
        ...

    def close(self) -> None:
        """Release threads and connections."""
        ...


class PlaceholderVoice:
    """The synthesiser where no voice is installed: soft tones at the pace of speech, with the right words."""

    name = "simulated"
    description = "none: soft tones instead (install the embedded voice, or set TTS_BASE_URL)"
    english = True

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        """Yield the tones in one piece."""
        utterance = placeholder.utterance(clause.text, self.rate)
        yield AudioPiece(utterance.pcm, clause.text, utterance.words)

    def warm(self) -> None:
        """Do nothing: there is nothing to load."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class CachingSynthesiser:
    """A synthesiser that says recurring clauses from memory, the least recently used ones forgotten first.

    `phrases` are the texts that recur by themselves (waiting messages, the fallback text); a caller may mark others.
    `pronunciation_file` tells how words are pronounced, where there is one.
    """

    def __init__(
        self,
        voice: Synthesiser,
        phrases: Iterable[str] = (),
        max_bytes: int = MAX_CACHE_BYTES,
        pronunciation_file: PronunciationFile | None = None,
    ) -> None:
        self._voice = voice
        self._pronunciation_file = pronunciation_file
        self.name, self.description = voice.name, voice.description
        self.rate, self.english = voice.rate, voice.english
        self._phrases = tuple(phrases)
        # By their text: a changed pronunciation makes other clauses of them.
        self._recurring = {clause.text for phrase in self._phrases for clause in self._clauses(phrase)}
        self._max_bytes = max_bytes
        self._bytes = 0
        # Clauses, not texts, are the keys: a phrase recurs inside answers that differ.
        self._cache: OrderedDict[Clause, tuple[AudioPiece, ...]] = OrderedDict()

    def say(self, clause: Clause, *, urgent: bool = True, recurs: bool = False) -> Iterator[AudioPiece]:
        """Yield the clause as the voice says it, from the cache where it is there; with `recurs` it is kept."""
        if clause in self._cache:
            self._cache.move_to_end(clause)
            yield from self._cache[clause]
            return
        pieces: list[AudioPiece] = []
        recurs = recurs or clause.text in self._recurring
        for piece in self._voice.say(clause, urgent=urgent):
            if recurs:
                pieces.append(piece)
            yield piece
        # Only here is the clause complete. Meanwhile another turn may have put the same one into the cache.
        if recurs and clause not in self._cache:
            self._cache[clause] = tuple(pieces)
            self._bytes += _size(pieces)
        while self._bytes > self._max_bytes:
            _, forgotten = self._cache.popitem(last=False)
            self._bytes -= _size(forgotten)

    def warm(self) -> None:
        """Prepare the voice."""
        self._voice.warm()

    def close(self) -> None:
        """Release what the voice holds."""
        self._voice.close()

    def rehearse(self) -> None:
        """Say each recurring phrase once, into the cache; log those in a language that the voice does not speak.

        Raises a ParleyError where the voice fails.
        """
        for phrase in self._phrases:
            try:
                for clause in self._clauses(phrase):
                    # A generator speaks only as far as it is iterated.
                    for _ in self.say(clause):
                        pass
            # At the start, so that the operator reads of it before a caller hears of it; the other phrases go on.
            except LanguageNotSpoken as error:
                log.warning("voice_cannot_say", reason=error.message, language=error.language, phrase=phrase)

    @property
    def pronunciations(self) -> Pronunciations:
        """The operator's pronunciations that hold now."""
        return self._pronunciation_file.current() if self._pronunciation_file else NO_PRONUNCIATIONS

    def _clauses(self, text: str) -> Iterator[Clause]:
        return to_clauses(text, english=self.english, pronunciations=self.pronunciations)

    def remembers(self, text: str) -> bool:
        """Return True if every clause of a text can be said from the cache."""
        return all(clause in self._cache for clause in self._clauses(text))

    def utterance(self, text: str, *, recurs: bool = False) -> Utterance:
        """Return a complete text as one utterance; its transcript is what a stream of this text has as its transcript.

        Raises a ParleyError where the voice fails.
        """
        timeline = Timeline(self.rate)
        pieces = []
        # What has been said up to the cap is the answer, as in a stream.
        with contextlib.suppress(AnswerCapped):
            for clause in self._clauses(text):
                checkpoint()
                pieces += [timeline.append(piece) for piece in self.say(clause, recurs=recurs)]
                timeline.end_clause()
        return Utterance(
            self.name,
            "".join(piece.text for piece in pieces).strip(),
            b"".join(piece.pcm for piece in pieces),
            self.rate,
            simulated=self.name == PlaceholderVoice.name,
            words=tuple(word for piece in pieces for word in piece.words),
        )


def _size(pieces: Iterable[AudioPiece]) -> int:
    """Return the bytes of sound in these pieces."""
    return sum(len(piece.pcm) for piece in pieces)
