"""A text said while it is still being written.

Three go at their own pace: the text comes when it comes (a greenlet reads it, and cuts it into lines), a line becomes
sound when there is room for it (a second greenlet, one line ahead of what is heard), and whoever iterates takes the
sound as it can be sent. `close` ends all of it, wherever each of them stands.
"""

import contextlib
import enum
from collections.abc import Generator, Iterator
from typing import Protocol

import gevent
from gevent.lock import Semaphore
from gevent.queue import Empty, SimpleQueue

from parley.errors import AnswerCapped
from parley.speech.speech_text import Clause, ClauseStream
from parley.speech.synthesis import Timeline
from parley.speech.utterance import AudioPiece

AHEAD = 2
"""Lines that are sound or become it: one is heard, one waits."""
MOST_CHARACTERS = 12_000
"""Of an answer, read ahead of what is heard: ten minutes of speech, the cap of recordings, too."""


class SayClause(Protocol):
    """How a line is said; urgent where the listener has nothing left to hear."""

    def __call__(self, clause: Clause, *, urgent: bool) -> Iterator[AudioPiece]:
        """The line's sound. May raise what `SpeechStream.pieces` then raises."""
        ...


class _End(enum.Enum):
    """Stands in a queue behind the last piece of a line, and behind the last line."""

    CLAUSE = enum.auto()
    TEXT = enum.auto()


class SpeechStream:
    """One answer being said; must be closed. `rate` is that of the PCM.

    `text` gives pieces of text, and is closed with the talk. Where nothing is ready for `tick` seconds an empty piece
    is given; so it is for each empty text, for something else may have come. What `text` or `say` raises is raised
    behind the sound of all that came before it.
    """

    def __init__(
        self,
        text: Generator[str, None, None],
        say: SayClause,
        *,
        rate: int,
        english: bool,
        tick: float,
    ) -> None:
        self._text = text
        self._say = say
        self._rate = rate
        self._clauses = ClauseStream(english=english)
        self._tick = tick
        self._room = Semaphore(AHEAD)
        self._written: SimpleQueue[Clause | _End | Exception] = SimpleQueue()
        self._said: SimpleQueue[AudioPiece | _End | Exception] = SimpleQueue()
        self._greenlets = [gevent.spawn(self._read), gevent.spawn(self._speak)]

    def pieces(self) -> Iterator[AudioPiece]:
        """The answer's sound and words, timed from its start. Raises AnswerCapped above `MOST_CHARACTERS`."""
        timeline = Timeline(self._rate)
        while (said := self._next()) is not _End.TEXT:
            if isinstance(said, AudioPiece):
                yield timeline.append(said)
            else:
                timeline.end_clause()
                self._room.release()

    def close(self) -> None:
        """End the reading and the synthesis, without waiting for their end: nothing here may be interrupted."""
        for greenlet in self._greenlets:
            greenlet.kill(block=False)

    def _next(self) -> AudioPiece | _End:
        try:
            said: AudioPiece | _End | Exception = self._said.get(timeout=self._tick)
        except Empty:
            return AudioPiece()
        if isinstance(said, Exception):
            raise said
        return said

    def _read(self) -> None:
        size = 0
        try:
            with contextlib.closing(self._text):
                for piece in self._text:
                    size += len(piece)
                    if size > MOST_CHARACTERS:
                        raise AnswerCapped
                    for clause in self._clauses.feed(piece):
                        self._written.put(clause)
                    if not piece:
                        self._said.put(AudioPiece())
            for clause in self._clauses.flush():
                self._written.put(clause)
            self._written.put(_End.TEXT)
        except Exception as error:  # noqa: BLE001 - handed over, to be raised where the answer is made
            self._written.put(error)

    def _speak(self) -> None:
        try:
            while isinstance(clause := self._written.get(), Clause):
                self._room.acquire()
                nothing_to_hear = self._room.counter == AHEAD - 1
                for piece in self._say(clause, urgent=nothing_to_hear):
                    self._said.put(piece)
                self._said.put(_End.CLAUSE)
            self._said.put(clause)
        except Exception as error:  # noqa: BLE001 - as above
            self._said.put(error)
