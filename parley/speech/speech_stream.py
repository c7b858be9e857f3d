"""A text that is spoken while it is still being written.

    text --> _read --> written clauses --> _speak --> sound --> pieces() --> the caller
             reads ahead of all            AHEAD clauses        at the pace of the listener

Two greenlets and the caller go at their own pace. The text is read as soon as it comes, a clause becomes sound when
there is room for it (one clause ahead of what is heard), and the caller takes the sound as it can be sent. An error
travels through the queues behind the sound of everything that came before it. `close` ends both greenlets at any point.

A clause ends where the text goes on behind it. Where the text pauses instead, a timer ends it; where it breaks off, the
error does; when all sound so far has been taken, a comma or the beginning of a phrase does. Clauses that turn out to be
thoughts are taken out of the queue, unless they have become sound.

A clause in a language that the voice does not speak is left out while the answer as such is in one that it speaks:

    nothing said yet, a greeting    left out: an English answer may follow
    nothing said yet, longer        an error
    the first behind what was said  left out: a quotation
    another one                     left out, until more has been left out than said: then an error
    the end of the text             an error if more has been left out than said
"""

import contextlib
import enum
import math
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

import gevent
from gevent.lock import Semaphore
from gevent.queue import Empty, SimpleQueue

from parley.concurrency import SILENCE, Failure, Silence, checkpoint, outcome_of, result_of
from parley.errors import AnswerCapped, LanguageNotSpoken, ParleyError
from parley.speech.pacing import chunk_bytes
from parley.speech.pronunciation import NO_PRONUNCIATIONS, Pronunciations
from parley.speech.speech_text import RETRACTION, STEP_CHARACTERS, Clause, ClauseStream, Retraction
from parley.speech.synthesis import Timeline
from parley.speech.utterance import AudioPiece
from parley.telemetry.logs import log

AHEAD = 2
"""Limit on the clauses that are sound or become sound: one is heard, one waits."""
MAX_SECONDS = 600
"""Limit on the sound of an answer, in seconds; a slow voice reaches it before the limit on the text."""
GREETING_CHARACTERS = 30
"""Longest greeting in another language behind which an answer may still be in one that the voice speaks."""
SETTLE_SECONDS = 0.25
"""Seconds without any text after which what looks like the end of a clause is taken for it."""


class SayClause(Protocol):
    """The voice: turns one clause into sound, ahead of others if it is urgent: the listener has nothing to hear."""

    def __call__(self, clause: Clause, *, urgent: bool) -> Iterator[AudioPiece]:
        """Yield the sound of a clause. Its errors are raised by `SpeechStream.pieces`."""
        ...


class _End(enum.Enum):
    """A mark in a queue: behind the last piece of a clause, and behind the last clause of the text."""

    CLAUSE = enum.auto()
    TEXT = enum.auto()


class SpeechStream:
    """One answer that is being spoken; must be closed. `rate` is that of the PCM.

    `text` yields pieces of text, and is closed with the stream. SILENCE is yielded where nothing is ready for `tick`
    seconds, and where `text` yields it: its source may have something else to say. `waits` limits the seconds that an
    answer may take beside the longest sound. Errors of `text` and `say` are raised behind the sound of everything that
    came before them; `voice_failed` is true for those of `say`. With `is_whole` all of `text` is read before any of it
    is said, and no SILENCE is yielded.
    """

    def __init__(
        self,
        text: Generator[str | Silence, None, None],
        say: SayClause,
        *,
        rate: int,
        english: bool,
        tick: float,
        waits: float = math.inf,
        pronunciations: Pronunciations = NO_PRONUNCIATIONS,
        is_whole: bool = False,
    ) -> None:
        self._text = text
        self._say = say
        self._rate = rate
        self._clauses = ClauseStream(english=english, pronunciations=pronunciations)
        self._tick = tick
        self._most_seconds = MAX_SECONDS + waits
        self._room = Semaphore(AHEAD)
        self._written: SimpleQueue[Clause | _End | Failure] = SimpleQueue()
        self._said: SimpleQueue[AudioPiece | Silence | _End | Failure] = SimpleQueue()
        # While a clause is being said it counts as failed, and for good if it raises.
        self.voice_failed = False
        self._is_whole = is_whole
        # Lengths of the clauses that were said, and of those that the voice does not speak.
        self._characters_said = 0
        self._left_out: list[int] = []
        self._has_been_heard = False
        self._settling: gevent.Greenlet | None = None
        self._greenlets = [gevent.spawn(self._read), gevent.spawn(self._speak)]

    def pieces(self) -> Iterator[AudioPiece | Silence]:
        """Yield the answer's sound and words, timed from its start.

        Raises AnswerCapped behind the limit on its text or `MAX_SECONDS`, and where text or voice take too long.
        """
        ends_at = time.monotonic() + self._most_seconds
        timeline = Timeline(self._rate)
        room = chunk_bytes(self._rate, 1000 * MAX_SECONDS)
        while (said := self._next()) is not _End.TEXT:
            # Each clause has limits of its own, but an answer may have hundreds.
            if time.monotonic() >= ends_at:
                raise AnswerCapped
            if isinstance(said, AudioPiece):
                yield timeline.append(said._replace(pcm=said.pcm[:room]))
                room -= len(said.pcm)
                if room < 0:
                    raise AnswerCapped
            elif said is SILENCE:
                yield said
            else:
                # All sound of a clause has been taken: only now may the voice begin the one after the next.
                timeline.end_clause()
                self._has_been_heard = True
                self._room.release()

    def close(self) -> None:
        """End the reading and the synthesis without waiting for them: a turn that is ended must not be held up."""
        self._stop_settling()
        while self._greenlets:
            # Not kept: a greenlet that was ended holds the traceback of that, whose frames hold this stream.
            self._greenlets.pop().kill(block=False)

    def _next(self) -> AudioPiece | Silence | _End:
        """Return the next piece or mark, SILENCE after `tick` seconds without one. Raises errors handed over."""
        try:
            said: AudioPiece | Silence | _End = result_of(self._said.get(timeout=self._tick))
        except Empty:
            said = SILENCE
        return said

    def _read(self) -> None:
        """Put the clauses of the text into their queue, then the end or the error."""
        self._written.put(outcome_of(self._read_to_the_end))

    def _read_to_the_end(self) -> _End:
        if self._is_whole:
            # Nothing is said before all is read: a lone closing tag tells that what was before it is thought.
            for clause in self._clauses.whole("".join(piece for piece in self._text if piece is not SILENCE)):
                checkpoint()
                self._written.put(clause)
            return _End.TEXT
        try:
            # Closed by the greenlet that iterates it: a generator that is running can't be closed by another one.
            with contextlib.closing(self._text):
                for piece in self._text:
                    if piece is SILENCE:
                        self._said.put(SILENCE)
                        continue
                    self._stop_settling()
                    for start in range(0, len(piece), STEP_CHARACTERS):
                        checkpoint()
                        self._write(self._clauses.feed(piece[start : start + STEP_CHARACTERS]))
                    if self._is_running_dry:
                        self._write(self._clauses.hurry())
                    self._settling = gevent.spawn_later(SETTLE_SECONDS, self._settle)
        except ParleyError:
            self._settle()
            raise
        finally:
            self._stop_settling()
        self._write(self._clauses.flush())
        return _End.TEXT

    @property
    def _is_running_dry(self) -> bool:
        """True if all sound so far has been taken, and the voice waits for a clause."""
        waits_for_text = self._room.counter == AHEAD - 1 and not self.voice_failed
        return self._has_been_heard and waits_for_text and self._written.empty()

    def _write(self, clauses: Iterable[Clause | Retraction]) -> None:
        """Put clauses into the queue; take out of it what turns out to have been thoughts."""
        for clause in clauses:
            if clause is not RETRACTION:
                self._written.put(clause)
                continue
            while not self._written.empty():
                self._written.get_nowait()

    def _settle(self) -> None:
        """Put what looks like a clause into the queue; never waits."""
        self._write(self._clauses.settle())

    def _stop_settling(self) -> None:
        if self._settling is not None:
            self._settling.kill(block=False)
            self._settling = None

    def _speak(self) -> None:
        """Put the sound of each clause into its queue, then the end or the error."""
        self._said.put(outcome_of(self._speak_to_the_end))

    def _speak_to_the_end(self) -> object:
        language = ""
        while True:
            # Room first: a clause that waits in the queue can still be retracted.
            self._room.acquire()
            clause = self._written.get()
            # With all other room free, no clause before this one is still to be heard.
            nothing_to_hear = self._room.counter == AHEAD - 1
            if not isinstance(clause, Clause):
                if sum(self._left_out) > self._characters_said and clause is _End.TEXT:
                    raise LanguageNotSpoken(language)
                return clause
            self.voice_failed = True
            try:
                for piece in self._say(clause, urgent=nothing_to_hear):
                    self._said.put(piece)
                self._characters_said += len(clause.text)
            except LanguageNotSpoken as error:
                # The voice is well: it may say FALLBACK_TEXT.
                self.voice_failed = False
                language = error.language
                if not self._may_leave_out(clause, error):
                    raise
            self.voice_failed = False
            self._said.put(_End.CLAUSE)

    def _may_leave_out(self, clause: Clause, error: LanguageNotSpoken) -> bool:
        """Return True if the answer can be heard without this clause; count it, and log the first of an answer."""
        if not self._left_out:
            log.warning("voice_cannot_say", reason=error.message, language=error.language)
        self._left_out.append(len(clause.text))
        is_quotation = self._characters_said > 0 and len(self._left_out) == 1
        return is_quotation or sum(self._left_out) <= max(self._characters_said, GREETING_CHARACTERS)
