"""AUDIO_MODE=relay: the speech of an upstream that answers in audio, in the form of OpenAI's gpt-4o-audio models.

Its sound is 24 kHz PCM16 in deltas of any size; the caller gets our rate, our chunks, our pace. The transcript goes on
as it comes, each piece once and ahead of its sound: a caller who interrupts leaves a record of what was reached.
Nothing here reads further ahead of the listener than the socket holds: a slow caller slows the upstream.
"""

import contextlib
import dataclasses
from typing import Any

from parley.answers import text
from parley.answers.playback import Player, message_of, sound_for
from parley.concurrency import SILENCE, checkpoint
from parley.services import Services
from parley.speech.pcm import RateConverter
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import Word
from parley.turn import Batches, TurnContext
from parley.wire import audio, chunks, upstream_json
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest

UPSTREAM_HZ = 24_000
DEFAULT_VOICE = "alloy"
SECOND_BYTES = 2 * UPSTREAM_HZ
"""Bytes of one second of the upstream's sound."""
MAX_SECONDS = 600
"""Limit on the sound of an answer in one piece, in seconds; that of a stream is in `parley/upstream`."""


def stream(context: TurnContext, services: Services) -> Batches:
    """Yield the upstream's answer, its speech converted and paced."""
    relay = SpeechRelay(context.envelope, Player(context, services), services.settings.audio_sample_rate)
    question = in_audio(context.take_chat())
    answer = services.upstream.stream(question, context.envelope, context.record)
    # The upstream lets go of the request when the answer begins; so must this frame.
    del question
    with contextlib.closing(answer):
        for batch in answer:
            if batch is SILENCE:
                yield batch
                continue
            for payload in batch:
                checkpoint()
                yield from relay.feed(payload)
    yield from relay.flush()


def whole(context: TurnContext, services: Services) -> bytes:
    """Return the upstream's answer in one piece, its sound converted; without sound it goes on byte for byte."""
    body = text.complete(in_audio(context.chat), context, services, services.upstream)
    completion: dict[str, Any] = upstream_json.decode(body)
    message = message_of(completion["choices"][0])
    said = audio.spoken(message, checkpoint)
    if said is None:
        return body
    del body
    rate = services.settings.audio_sample_rate
    sound = RateConverter(UPSTREAM_HZ, rate)
    pcm = []
    for start in range(0, min(len(said.pcm), MAX_SECONDS * SECOND_BYTES), SECOND_BYTES):
        checkpoint()
        pcm.append(sound.convert(said.pcm[start : start + SECOND_BYTES]))
    pcm.append(sound.flush())
    message["audio"]["data"] = sound_for(context.chat, pcm, rate)
    return upstream_json.encode(completion)


def in_audio(chat: ChatRequest) -> ChatRequest:
    """Return the request in the one form that streams: text and audio, PCM16. The voice stays the caller's choice."""
    wanted = {"voice": DEFAULT_VOICE, **(chat.body.get("audio") or {}), "format": "pcm16"}
    return dataclasses.replace(chat, body={**chat.body, "modalities": ["text", "audio"], "audio": wanted})


class SpeechRelay:
    """One answer on its way from the upstream to the caller.

    speech                        converted, paced
    role, ids, empty deltas       held: our first chunk of speech gives the role; else they precede what follows
    text, refusals, tool calls    passed on at once
    finish chunk, usage           held to the end: the sound before them is still being paced
    """

    def __init__(self, envelope: Envelope, player: Player, rate: int) -> None:
        self._envelope = envelope
        self._player = player
        self._sound = RateConverter(UPSTREAM_HZ, rate)
        self._opening: list[bytes] = []
        self._ending: list[bytes] = []

    def feed(self, payload: bytes) -> Batches:
        """Take one of the upstream's chunks; yield what can leave now."""
        view = chunks.look(payload)
        said = audio.spoken(view.delta)
        if said is not None:
            # Our own first chunk of speech gives the role.
            self._opening.clear()
            if said.id:
                self._player.adopt(said.id)
            if said.pcm or said.transcript or said.words:
                # An ending before this speech was none.
                self._ending.clear()
                timed = tuple(Word(*word) for word in said.words)
                yield from self._player.play(AudioPiece(self._sound.convert(said.pcm), said.transcript, timed))
        if view.finishes or not view.choices:
            # A last delta of speech may bear the finish_reason: its sound has just been taken out.
            self._ending.append(payload if said is None else self._envelope.finish(view.finish_reason))
        elif said is None and view.commits:
            yield self._restamped([*self._opening, payload])
            self._opening.clear()
        elif said is None:
            # Held, because speech may follow.
            self._opening.append(payload)

    def flush(self) -> Batches:
        """Yield the end of the sound, then the chunks that end the answer."""
        yield from self._player.play_to_the_end([AudioPiece(self._sound.flush())])
        yield self._restamped([*self._opening, *self._ending])

    def _restamped(self, payloads: list[bytes]) -> list[bytes]:
        return [self._envelope.restamp(payload) for payload in payloads] if self._envelope.used else payloads
