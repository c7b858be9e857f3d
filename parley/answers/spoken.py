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
from parley.answers.playback import Player, play_whole
from parley.errors import ParleyError, ServerShuttingDown
from parley.services import Services
from parley.speech.speech_stream import SayClause, SpeechStream
from parley.speech.utterance import AudioPiece
from parley.turn import Batches, FallbackSpoken, TurnContext
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest

SPOKEN_FIELDS = ("content", "refusal")
TOOL_FIELDS = ("tool_calls", "function_call")


def stream(context: TurnContext, services: Services) -> Batches:
    """Each clause's transcript and words, then its sound; a recording that is asked for is played instead."""
    if _is_recorded(context, services):
        yield from recorded.stream(context, services)
        return
    player = Player(context, services)
    envelope = context.envelope
    answer = _answer if context.chat.broadcast is None else _broadcast
    try:
        yield from answer(context, services, player)
    except ParleyError as error:
        if not (yield from _spoken_fallback(error, envelope, services, player)):
            raise
        yield [envelope.finish("stop")]
        raise FallbackSpoken(error) from None


def whole(context: TurnContext, services: Services) -> bytes:
    """The answer in one piece; one that calls tools goes on as it came."""
    if _is_recorded(context, services):
        return recorded.whole(context, services)
    if context.chat.broadcast is not None:
        return play_whole(services.synthesis.utterance(context.chat.broadcast, recurs=True), context)
    ask = text.rag_json if context.chat.wants_knowledge else text.chat_json
    body = ask(_for_text(context.chat, context), services)
    completion: dict[str, Any] = json.loads(body)
    message = completion["choices"][0].get("message") or {}
    if any(message.get(field) for field in TOOL_FIELDS):
        return body
    said = next((message[field] for field in SPOKEN_FIELDS if message.get(field)), "")
    spoken: dict[str, Any] = json.loads(play_whole(services.synthesis.utterance(said), context))
    kept = {name: completion[name] for name in ("usage", "citations") if name in completion}
    return json.dumps({**spoken, **kept}).encode()


def _is_recorded(context: TurnContext, services: Services) -> bool:
    if context.chat.broadcast is not None:
        return services.recordings.by_words(context.chat.broadcast) is not None
    return context.chat.asset is not None


def _answer(context: TurnContext, services: Services, player: Player) -> Batches:
    ask = text.rag if context.chat.wants_knowledge else text.chat
    envelope = context.envelope
    reading = _Reading(ask(_for_text(context.take_chat(), context), services), envelope)
    with contextlib.closing(_speech_stream(reading.text(), services, services.synthesis.say)) as speech:
        for batch in player.say_all(speech.pieces()):
            yield [*reading.aside(), *batch]
    yield [*reading.aside(), envelope.finish(reading.finish_reason), *reading.behind]


def _broadcast(context: TurnContext, services: Services, player: Player) -> Batches:
    """The text as it is, for a platform compares it with its own; its sound is kept for the next time."""
    say = functools.partial(services.synthesis.say, recurs=True)
    said = context.take_chat().broadcast or ""
    with contextlib.closing(_speech_stream(_once(said), services, say)) as speech:
        yield from player.say_all(_under(said, speech.pieces()))
    yield [context.envelope.finish("stop")]


def _for_text(chat: ChatRequest, context: TurnContext) -> TurnContext:
    """The context of the answer in text, whose chunks have an envelope of their own."""
    return TurnContext(chat.for_text(), Envelope.new(context.envelope.model), context.record)


def _spoken_fallback(
    error: ParleyError, envelope: Envelope, services: Services, player: Player
) -> Generator[list[bytes], None, bool]:
    """FALLBACK_TEXT in the error's place. Return whether it was said: it may not be, or can't."""
    apology = services.settings.fallback_text
    if not apology or not error.speakable or envelope.calls_tool:
        return False
    error.speakable = False  # by the turn, which would send it as a text
    if isinstance(error, ServerShuttingDown):
        return False  # what is left of the grace may be too short to say it
    try:
        with contextlib.closing(_speech_stream(_once(apology), services, services.synthesis.say)) as speech:
            yield from player.say_all(speech.pieces())
    except ParleyError:
        return False
    return True


def _speech_stream(written: Generator[str, None, None], services: Services, say: SayClause) -> SpeechStream:
    settings = services.settings
    return SpeechStream(
        written,
        say,
        rate=settings.audio_sample_rate,
        english=services.synthesis.english,
        tick=settings.heartbeat or settings.idle_timeout,
    )


def _once(said: str) -> Generator[str, None, None]:
    yield said


def _under(transcript: str, pieces: Iterator[AudioPiece]) -> Iterator[AudioPiece]:
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
        view = chunks.look(payload)
        if not view.choices:
            self.behind.append(self._envelope.restamp(payload))  # the usage
        elif view.choices[0].index:
            return ""  # of several answers (`n`) one is said
        calls = {field: view.delta[field] for field in TOOL_FIELDS if view.delta.get(field)}
        if calls:
            role = {} if self._envelope.used else {"role": "assistant"}
            self._aside.append(self._envelope.chunk({**role, **calls}))
            self._envelope.calls_tool = True
        if view.finishes:
            self.finish_reason = view.finish_reason
        words = [view.delta.get(field) for field in SPOKEN_FIELDS]
        return "".join(word for word in words if isinstance(word, str))
