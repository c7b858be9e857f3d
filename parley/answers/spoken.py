"""AUDIO_MODE=speech: the upstream's answer in text, spoken by our voice while it is still being written.

                                      +-- text --> SpeechStream --> Player --+
    answer of /chat or /rag --> _AnswerReader                                +--> the caller
                                      +-- tool calls, comments --------------+

The text is that of /rag with its waiting message where the body asks for the knowledge (`kb`, or `"rag": true`), else
that of /chat. Failures end as on the other endpoints, and FALLBACK_TEXT is said by the same voice.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from parley.answers import text
from parley.answers.playback import Player, message_of, whole_answer
from parley.concurrency import SILENCE, Silence
from parley.errors import AnswerCapped, LanguageNotSpoken, ParleyError, ServerShuttingDown
from parley.services import Services
from parley.speech.speech_stream import SayClause, SpeechStream
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import Word
from parley.turn import Batches, FallbackSpoken, TurnContext
from parley.wire import chunks, sse
from parley.wire.chunks import Envelope
from parley.wire.content import PairJoiner, Words, is_thought, join_halves, words_in
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch

TOOL_FIELDS = ("tool_calls", "function_call")


def stream(context: TurnContext, services: Services) -> Batches:
    """Yield each clause's transcript and words, then its sound; tool calls and comments as they come."""
    player, envelope = Player(context, services), context.envelope
    ask = text.rag if context.chat.wants_knowledge else text.chat
    fallback_text = context.chat.options.fallback_text
    reader = _AnswerReader(ask(_in_text(context, context.take_chat()), services), context)
    speech = _speech_stream(reader.text(), services, services.synthesis.say)
    try:
        with contextlib.closing(speech):
            for batch in player.play_to_the_end(speech.pieces()):
                others = reader.take_others()
                yield batch if not others else others if batch is SILENCE else others + batch
        yield [*reader.take_others(), envelope.finish(reader.finish_reason), *reader.usage]
    except ParleyError as error:
        if context.record.notes:
            context.record.notes.replaced()
        failed = speech.voice_failed
        if not (yield from _say_fallback(error, fallback_text, envelope, player, services, voice_failed=failed)):
            raise
        raise FallbackSpoken(error) from None


def whole(context: TurnContext, services: Services) -> bytes:
    """Return the answer in one piece, with the words and the ending of its stream.

    One that only calls tools goes on byte for byte.
    """
    ask = text.rag_json if context.chat.wants_knowledge else text.chat_json
    body = ask(_in_text(context, context.chat), services)
    completion: dict[str, Any] = json.loads(body)
    # Of several answers (`n`) one is said.
    choices = completion["choices"]
    choice = next((choice for choice in choices if not choice.get("index")), choices[0])
    message = message_of(choice)
    calls = {field: message[field] for field in TOOL_FIELDS if message.get(field)}
    words = words_in(message)
    context.record.note_unsaid(words.unsaid)
    try:
        said = _say_whole(join_halves(words.text), services, services.synthesis.say)
    except LanguageNotSpoken as error:
        if calls or not (fallback_text := context.chat.options.fallback_text):
            raise
        context.record.outcome, context.record.code = "spoken_fallback", error.code
        if context.record.notes:
            context.record.notes.replaced()
        said = _say_whole(fallback_text, services, services.synthesis.say)
    if calls and not said.transcript:
        # Nothing to add: the caller gets every field as it came.
        return body
    return whole_answer(
        context,
        said.pcm,
        services.settings.audio_sample_rate,
        said.transcript,
        said.words,
        finish_reason="length" if said.is_capped else choice.get("finish_reason") or "stop",
        others={name: value for name, value in completion.items() if name in ("usage", "citations")},
        fields=calls,
    )


def stream_broadcast(context: TurnContext, services: Services) -> Batches:
    """Yield a broadcast: its whole text at once, because the platform compares it with its own, then its sound."""
    player, envelope = Player(context, services), context.envelope
    fallback_text = context.chat.options.fallback_text
    broadcast = context.take_chat().broadcast or ""
    # A broadcast is sent to many callers, so its sound is kept.
    say = functools.partial(services.synthesis.say, recurs=True)
    speech = _speech_stream(_once(broadcast), services, say, is_whole=True)
    try:
        with contextlib.closing(speech):
            yield from player.play_to_the_end(_transcribed(broadcast, speech.pieces()))
        yield [envelope.finish("stop")]
    except ParleyError as error:
        failed = speech.voice_failed
        if not (yield from _say_fallback(error, fallback_text, envelope, player, services, voice_failed=failed)):
            raise
        raise FallbackSpoken(error) from None


def broadcast_whole(context: TurnContext, services: Services) -> bytes:
    """Return a broadcast in one piece."""
    broadcast = context.chat.broadcast or ""
    said = _say_whole(broadcast, services, functools.partial(services.synthesis.say, recurs=True))
    rate, reason = services.settings.audio_sample_rate, "length" if said.is_capped else "stop"
    # Told whole, as in a stream, because the platform compares it with its own.
    return whole_answer(context, said.pcm, rate, broadcast, said.words, finish_reason=reason)


class WholeSpeech(NamedTuple):
    """A text that has been spoken to its end, or to the cap: its sound in pieces, transcript, words in time."""

    pcm: list[bytes]
    transcript: str
    words: list[Word]
    is_capped: bool


def _say_whole(said: str, services: Services, say: SayClause) -> WholeSpeech:
    """Return a text spoken as a stream of it would be: the same clauses, the same cap."""
    heard: list[AudioPiece] = []
    is_capped = False
    try:
        with contextlib.closing(_speech_stream(_once(said), services, say, is_whole=True)) as speech:
            for piece in speech.pieces():
                if piece is not SILENCE:
                    heard.append(piece)
    except AnswerCapped:
        # An ending in good order: what was said up to here is the answer.
        is_capped = True
    transcript = "".join(piece.text for piece in heard).strip()
    words = [word for piece in heard for word in piece.words]
    return WholeSpeech([piece.pcm for piece in heard], transcript, words, is_capped)


def _in_text(context: TurnContext, chat: ChatRequest) -> TurnContext:
    """Return the context of the answer in text, whose chunks have an envelope of their own."""
    # Marks for a platform's voice would be read aloud by ours.
    chat = dataclasses.replace(chat.for_text(), options=dataclasses.replace(chat.options, platform=""))
    return TurnContext(chat, Envelope.new(context.envelope.model), context.record)


def _transcribed(transcript: str, pieces: Iterable[AudioPiece | Silence]) -> Iterator[AudioPiece | Silence]:
    """Yield the pieces, the first that has a text with the whole transcript, the others without any."""
    for piece in pieces:
        if piece is SILENCE:
            yield piece
            continue
        yield piece._replace(text=transcript if piece.text else "")
        if piece.text:
            transcript = ""


def _say_fallback(
    error: ParleyError,
    fallback_text: str | None,
    envelope: Envelope,
    player: Player,
    services: Services,
    *,
    voice_failed: bool,
) -> Generator[Batch, None, bool]:
    """Yield the fallback text in the error's place, to its finish chunk; return False if it may not, or can't, be said.

    What can't be said the turn sends as text.
    """
    if not fallback_text or not error.speakable or envelope.calls_tool:
        return False
    # What is left of the grace of a shutdown may be too short to say it.
    if isinstance(error, ServerShuttingDown):
        envelope.takes_text = False
        return False
    # The listener has waited for this voice once already.
    if voice_failed and not services.synthesis.remembers(fallback_text):
        return False
    try:
        with contextlib.closing(
            _speech_stream(_once(fallback_text), services, services.synthesis.say, is_whole=True)
        ) as speech:
            for batch in player.play_to_the_end(speech.pieces()):
                # Never as sound and as text.
                envelope.takes_text = envelope.takes_text and batch is SILENCE
                yield batch
    except ParleyError:
        return False
    yield [envelope.finish("stop")]
    return True


def _once(said: str) -> Generator[str, None, None]:
    yield said


def _speech_stream(
    written: Generator[str | Silence, None, None], services: Services, say: SayClause, *, is_whole: bool = False
) -> SpeechStream:
    settings = services.settings
    return SpeechStream(
        written,
        say,
        rate=settings.audio_sample_rate,
        english=services.synthesis.english,
        tick=settings.heartbeat or settings.idle_timeout,
        waits=settings.stream_timeout,
        pronunciations=services.synthesis.pronunciations,
        is_whole=is_whole,
    )


class _AnswerReader:
    """Takes the upstream's answer apart: `text` is to be said, the rest is for the client to read.

    `text` runs in a greenlet of its own, ahead of what is heard.
    """

    def __init__(self, batches: Batches, context: TurnContext) -> None:
        self.finish_reason = "stop"
        self.usage: list[bytes] = []
        self._batches = batches
        self._envelope = context.envelope
        self._record = context.record
        self._pairs = PairJoiner()
        self._said_choice: object = None
        self._others: list[bytes] = []

    def text(self) -> Generator[str | Silence, None, None]:
        """Yield the words as they come, SILENCE where something else has come. Raises what the upstream raises."""
        with contextlib.closing(self._batches):
            for batch in self._batches:
                if batch is not SILENCE:
                    for payload in batch:
                        words = self._words(payload)
                        if words:
                            yield words
                        # Beside the words as well: SILENCE lets the sender look for what is not said.
                        if self._others or not words:
                            yield SILENCE

    def take_others(self) -> list[bytes]:
        """Return the comments and tool calls that have come since the last time."""
        taken, self._others = self._others, []
        return taken

    def _words(self, payload: bytes) -> str:
        """Return the words of a payload, and keep what else is in it; a tool call ends the clause before it."""
        if isinstance(payload, sse.Comment):
            self._others.append(payload)
            return ""
        view = chunks.look(payload)
        if not view.choices:
            self.usage.append(self._envelope.restamp(payload))
            return ""
        # Of several answers (`n`) one is said: the first that comes, because not every server counts from 0.
        self._said_choice = view.choices[0].key if self._said_choice is None else self._said_choice
        choice = next((choice for choice in view.choices if choice.key == self._said_choice), None)
        if choice is None:
            return ""
        delta = choice.fields
        calls = {field: delta[field] for field in TOOL_FIELDS if delta.get(field)}
        ending = "\n" if calls and not self._envelope.calls_tool else ""
        if calls:
            # Anew, because the chunk may hold words, too, which become sound.
            role = {} if self._envelope.used else {"role": "assistant"}
            self._others.append(self._envelope.chunk({**role, **calls}))
            self._envelope.calls_tool = True
        if choice.ends:
            self.finish_reason = choice.reason or "stop"
        said = Words() if is_thought(delta) else words_in(delta)
        if said.unsaid:
            self._record.note_unsaid(said.unsaid)
        # An emoji or a rare ideogram may come in two chunks.
        return self._pairs.feed(said.text) + ending
