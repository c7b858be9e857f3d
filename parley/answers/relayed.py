"""AUDIO_MODE=relay: an upstream that answers in audio, in the form of OpenAI's gpt-4o-audio models.

Its sound is 24 kHz PCM16 in deltas of any size; what leaves is our rate, our chunks, our pace. The transcript goes on
as it comes: each piece once, ahead of its sound, so that whoever interrupts leaves a record of what was reached.
Nobody reads ahead of the listener by more than the socket holds: a slow caller slows the upstream.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec

from parley.answers import recorded
from parley.answers.playback import Player, whole_sound
from parley.concurrency import checkpoint
from parley.services import Services
from parley.speech.pcm import Resampler, from_int16, to_int16
from parley.speech.utterance import AudioPiece
from parley.speech.word_timing import Word
from parley.turn import Batches, TurnContext
from parley.wire import audio, chunks
from parley.wire.request import ChatRequest

UPSTREAM_HZ = 24_000
DEFAULT_VOICE = "alloy"
A_SECOND = 2 * UPSTREAM_HZ


def stream(context: TurnContext, services: Services) -> Batches:
    """The upstream's speech; a broadcast, or a recording asked for by name, asks no upstream."""
    if _is_recorded(context.chat):
        yield from recorded.stream(context, services)
        return
    relayed = _Relayed(context, services)
    question = _asking_for_audio(context.take_chat())
    with contextlib.closing(services.upstream.stream(question, context.envelope, context.record)) as answer:
        del question  # its body is not held for as long as the answer lasts
        for batch in answer:
            if not batch:
                yield batch
            for payload in batch:
                checkpoint()
                yield from relayed.say(payload)
    yield from relayed.rest()


def whole(context: TurnContext, services: Services) -> bytes:
    """The upstream's answer in one piece, its sound converted; an answer without sound goes on as it came."""
    if _is_recorded(context.chat):
        return recorded.whole(context, services)
    body = services.upstream.complete(_asking_for_audio(context.chat), context.record)
    completion: dict[str, Any] = msgspec.json.decode(body)
    message = completion["choices"][0].get("message") or {}
    said = audio.spoken(message)
    if said is None:
        return body
    rate = services.settings.audio_sample_rate
    sound = _Converted(rate)
    pcm = b"".join([*sound.in_steps(said.pcm), sound.rest()])
    message["audio"]["data"] = whole_sound(pcm, rate, context.chat)
    return msgspec.json.encode(completion)


class _Relayed:
    """An answer on its way: speech is converted and paced, all else goes on at once, what ends it at the end."""

    def __init__(self, context: TurnContext, services: Services) -> None:
        self._envelope = context.envelope
        self._player = Player(context, services)
        self._sound = _Converted(services.settings.audio_sample_rate)
        self._opening: list[bytes] = []
        self._ending: list[bytes] = []

    def say(self, payload: bytes) -> Batches:
        """One of the upstream's chunks."""
        view = chunks.look(payload)
        said = audio.spoken(view.delta)
        if said is not None:
            self._opening.clear()  # the role: our own first chunk gives it
            if said.id:
                self._player.adopt(said.id)
            if said.pcm or said.transcript or said.words:
                timed = tuple(Word(*word) for word in said.words)
                yield from self._player.say(AudioPiece(self._sound.more(said.pcm), said.transcript, timed))
        if view.finishes or not view.choices:
            self._ending.append(payload if said is None else self._envelope.finish(view.finish_reason))
        elif said is None and view.commits:
            yield [self._further(payload) for payload in (*self._opening, payload)]
            self._opening.clear()
        elif said is None:
            self._opening.append(payload)

    def rest(self) -> Batches:
        """The end of the sound, then the chunks that end the answer."""
        yield from self._player.say(AudioPiece(self._sound.rest()))
        yield from self._player.rest()
        yield [self._further(payload) for payload in (*self._opening, *self._ending)]

    def _further(self, payload: bytes) -> bytes:
        return self._envelope.restamp(payload) if self._envelope.used else payload


class _Converted:
    """The upstream's sound at our rate, delta by delta without a seam."""

    def __init__(self, rate: int) -> None:
        self._resampler = Resampler(UPSTREAM_HZ, rate)
        self._half_sample = b""

    def more(self, pcm: bytes) -> bytes:
        """What can be said after these further bytes; half a sample at their end waits for its other half."""
        pcm = self._half_sample + pcm
        whole = len(pcm) - len(pcm) % 2
        self._half_sample = pcm[whole:]
        return to_int16(self._resampler.resample(from_int16(pcm[:whole])))

    def in_steps(self, pcm: bytes) -> Iterator[bytes]:
        """A long sound, with room for other streams before each second of it."""
        for start in range(0, len(pcm), A_SECOND):
            checkpoint()
            yield self.more(pcm[start : start + A_SECOND])

    def rest(self) -> bytes:
        """The end of the sound, once."""
        return to_int16(self._resampler.flush())


def _is_recorded(chat: ChatRequest) -> bool:
    return chat.broadcast is not None or chat.asset is not None


def _asking_for_audio(chat: ChatRequest) -> ChatRequest:
    """The request in the one form that streams: text and audio, PCM16; the voice stays the caller's choice."""
    wanted = {"voice": DEFAULT_VOICE, **(chat.body.get("audio") or {}), "format": "pcm16"}
    return dataclasses.replace(chat, body={**chat.body, "modalities": ["text", "audio"], "audio": wanted})
