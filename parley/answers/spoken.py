"""AUDIO_MODE=speech: the upstream's answer, said while it is still being written.

Its text is that of /chat or, where the body asks for the knowledge (`kb`, or `"rag": true`), of /rag with its waiting
message. Tool calls go on as they come. What can't be said any more ends as on the other endpoints, and FALLBACK_TEXT is
said by the same voice.
"""

import contextlib
import functools
import json
from collections.abc import Generator, Iterator
from typing import Any

from parley.answers import recorded, text
from parley.answers.voice import Voice, utter_whole
from parley.errors import ParleyError, ServerShuttingDown
from parley.services import Services
from parley.speech.talk import Say, Talk
from parley.speech.utterances import Piece
from parley.turn import Apologised, Batches
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.request import Asked

SPOKEN_FIELDS = ("content", "refusal")
TOOL_FIELDS = ("tool_calls", "function_call")


def stream(asked: Asked, services: Services) -> Batches:
    """Each clause's transcript and words, then its sound; a recording that is asked for is played instead."""
    if _is_recorded(asked, services):
        played = recorded.stream(asked, services)
        del asked
        yield from played
        return
    voice = Voice(asked, services)
    envelope = asked.envelope
    said = _answer(asked, services, voice) if asked.broadcast is None else _broadcast(asked, services, voice)
    del asked  # its body is not held for as long as the answer is spoken
    try:
        yield from said
    except ParleyError as error:
        if not (yield from _apology(error, envelope, services, voice)):
            raise
        yield [envelope.finish("stop")]
        raise Apologised(error) from None


def whole(asked: Asked, services: Services) -> bytes:
    """The answer in one piece; one that calls tools goes on as it came."""
    if _is_recorded(asked, services):
        return recorded.whole(asked, services)
    if asked.broadcast is not None:
        return utter_whole(services.synthesis.utterance(asked.broadcast, recurs=True), asked)
    ask = text.rag_json if asked.wants_knowledge else text.chat_json
    body = ask(asked.for_text(), services)
    completion: dict[str, Any] = json.loads(body)
    message = completion["choices"][0].get("message") or {}
    if any(message.get(field) for field in TOOL_FIELDS):
        return body
    said = next((message[field] for field in SPOKEN_FIELDS if message.get(field)), "")
    spoken: dict[str, Any] = json.loads(utter_whole(services.synthesis.utterance(said), asked))
    kept = {name: completion[name] for name in ("usage", "citations") if name in completion}
    return json.dumps({**spoken, **kept}).encode()


def _is_recorded(asked: Asked, services: Services) -> bool:
    if asked.broadcast is not None:
        return services.recordings.by_words(asked.broadcast) is not None
    return asked.asset is not None


def _answer(asked: Asked, services: Services, voice: Voice) -> Batches:
    ask = text.rag if asked.wants_knowledge else text.chat
    envelope = asked.envelope
    reading = _Reading(ask(asked.for_text(), services), envelope)
    del asked
    with contextlib.closing(_talk(reading.text(), services, services.synthesis.say)) as talk:
        for batch in voice.say_all(talk.pieces()):
            yield [*reading.aside(), *batch]
    yield [*reading.aside(), envelope.finish(reading.finish_reason), *reading.behind]


def _broadcast(asked: Asked, services: Services, voice: Voice) -> Batches:
    """The text as it is, for a platform compares it with its own; its sound is kept for the next time."""
    say = functools.partial(services.synthesis.say, recurs=True)
    envelope, said = asked.envelope, asked.broadcast or ""
    del asked
    with contextlib.closing(_talk(_once(said), services, say)) as talk:
        yield from voice.say_all(_under(said, talk.pieces()))
    yield [envelope.finish("stop")]


def _apology(
    error: ParleyError, envelope: Envelope, services: Services, voice: Voice
) -> Generator[list[bytes], None, bool]:
    """FALLBACK_TEXT in the error's place. Return whether it was said: it may not be, or can't."""
    apology = services.settings.fallback_text
    if not apology or not error.speakable or envelope.calls_tool:
        return False
    error.speakable = False  # by the turn, which would send it as a text
    if isinstance(error, ServerShuttingDown):
        return False  # what is left of the grace may be too short to say it
    try:
        with contextlib.closing(_talk(_once(apology), services, services.synthesis.say)) as talk:
            yield from voice.say_all(talk.pieces())
    except ParleyError:
        return False
    return True


def _talk(written: Generator[str, None, None], services: Services, say: Say) -> Talk:
    settings = services.settings
    return Talk(
        written,
        say,
        rate=settings.audio_sample_rate,
        english=services.synthesis.english,
        tick=settings.heartbeat or settings.idle_timeout,
    )


def _once(said: str) -> Generator[str, None, None]:
    yield said


def _under(transcript: str, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, the first one with the whole transcript."""
    for piece in pieces:
        yield piece._replace(text=transcript) if piece.text and transcript else piece._replace(text="")
        transcript = "" if piece.text else transcript


class _Reading:
    """The upstream's answer, taken apart: `text` is to be said; the rest is for the client to read.

    `text` runs in a greenlet of its own, ahead of what is heard.
    """

    def __init__(self, batches: Batches, envelope: Envelope) -> None:
        self.finish_reason = "stop"
        self.behind: list[bytes] = []
        self._batches = batches
        self._envelope = envelope
        self._aside: list[bytes] = []

    def text(self) -> Generator[str, None, None]:
        """The words, as they come. Raises what the upstream raises."""
        with contextlib.closing(self._batches):
            for batch in self._batches:
                for payload in batch:
                    yield self._said(payload)

    def aside(self) -> list[bytes]:
        """The chunks for the client since the last time."""
        taken, self._aside = self._aside, []
        return taken

    def _said(self, payload: bytes) -> str:
        if isinstance(payload, sse.Comment):
            self._aside.append(payload)
            return ""
        seen = chunks.look(payload)
        if not seen.choices:
            self.behind.append(self._envelope.restamp(payload))  # the usage
        elif seen.choices[0].index:
            return ""  # of several answers (`n`) one is said
        calls = {field: seen.delta[field] for field in TOOL_FIELDS if seen.delta.get(field)}
        if calls:
            role = {} if self._envelope.used else {"role": "assistant"}
            self._aside.append(self._envelope.chunk({**role, **calls}))
            self._envelope.calls_tool = True
        if seen.finishes:
            self.finish_reason = seen.finish_reason
        words = [seen.delta.get(field) for field in SPOKEN_FIELDS]
        return "".join(word for word in words if isinstance(word, str))
