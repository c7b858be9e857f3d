"""The sound of an answer, whoever made it: cut into chunks, paced like speech, made into payloads."""

from collections.abc import Iterable
from typing import Any

import msgspec

from parley.concurrency import SILENCE, Silence, checkpoint
from parley.errors import UpstreamBadResponse
from parley.services import Services
from parley.speech import pacing, wav
from parley.speech.utterance import AudioPiece, Utterance
from parley.speech.word_timing import Word
from parley.turn import Batches, TurnContext
from parley.wire import audio
from parley.wire.request import ChatRequest


class Player:
    """Plays one answer piece by piece, as its sound becomes known.

    A piece's text and words leave before its sound, and its sound no further ahead of what the caller hears than
    `AUDIO_LEAD_MS`. The generators wait meanwhile, so that whoever makes the sound need not be far ahead, either.
    """

    def __init__(self, context: TurnContext, services: Services) -> None:
        settings = services.settings
        joinable = context.chat.origin.v1
        self._chunks = audio.AudioChunks(context.envelope, joinable=joinable)
        self._pace = pacing.Pace(
            settings.audio_sample_rate,
            settings.audio_chunk_ms,
            settings.audio_lead_ms,
            multiple=audio.JOINABLE_BYTES if joinable else pacing.SAMPLE_BYTES,
        )

    def play(self, piece: AudioPiece) -> Batches:
        """Yield a piece, each chunk of it when it is due; PCM that fills no chunk waits for the next piece.

        SILENCE is yielded for a piece that fills none: pieces that small may come for a while.
        """
        is_silent = bool(piece.pcm)
        if piece.text or piece.words:
            yield self.transcript(piece.text, piece.words)
            is_silent = False
        for due in self._pace.chunks(piece.pcm):
            # A long lead, or a stall before: chunks that are due already are not waited for.
            checkpoint()
            yield [self._chunks.data(chunk) for chunk in due]
            is_silent = False
        if is_silent:
            yield SILENCE

    def play_to_the_end(self, pieces: Iterable[AudioPiece | Silence]) -> Batches:
        """Yield all pieces and what is left over, as a last shorter chunk; without the finish chunk."""
        for piece in pieces:
            checkpoint()
            if piece is SILENCE:
                yield piece
            else:
                yield from self.play(piece)
        if due := self._pace.flush():
            yield [self._chunks.data(chunk) for chunk in due]

    def transcript(self, text: str, words: Iterable[Word]) -> list[bytes]:
        """Return a batch of one payload: a text that is heard from here on, and its words in time."""
        return [self._chunks.spoken(text, words)]

    def adopt(self, audio_id: str) -> None:
        """Use an upstream's id for the sound, unless a chunk has been made already."""
        self._chunks.adopt(audio_id)


def play(utterance: Utterance, context: TurnContext, services: Services) -> Batches:
    """Yield the whole answer with this sound."""
    player = Player(context, services)
    # A recording may be played for ten minutes: the request is not held for so long.
    context.take_chat()
    yield player.transcript(utterance.transcript, utterance.words)
    yield from player.play_to_the_end([AudioPiece(utterance.pcm)])
    yield [context.envelope.finish("stop")]


def play_whole(utterance: Utterance, context: TurnContext) -> bytes:
    """Return the whole answer with this sound as one JSON object."""
    return whole_answer(context, [utterance.pcm], utterance.rate, utterance.transcript, utterance.words)


def whole_answer(
    context: TurnContext, pcm: list[bytes], rate: int, transcript: str, words: Iterable[Word], **more: Any
) -> bytes:
    """Return the whole answer with this sound as one JSON object; `more` as for `audio.completion`.

    The pieces of `pcm` are taken out of their list: an answer of ten minutes is in memory only once.
    """
    data = sound_for(context.chat, pcm, rate)
    joinable = context.chat.origin.v1
    return audio.completion(context.envelope, data, transcript, words, joinable=joinable, **more)


def message_of(choice: dict[str, Any]) -> dict[str, Any]:
    """Return the message of a choice in a whole answer; empty if it has none. Raises UpstreamBadResponse."""
    message = choice.get("message") or {}
    if not isinstance(message, dict):
        raise UpstreamBadResponse("the upstream's answer has no message")
    return message


def sound_for(chat: ChatRequest, pcm: list[bytes], rate: int) -> msgspec.Raw:
    """Return the sound as a JSON string: raw if the request asks for `audio.format` pcm16, else a WAV file.

    The pieces of `pcm` are taken out of their list.
    """
    wants_raw = (chat.body.get("audio") or {}).get("format") == "pcm16"
    if not wants_raw:
        pcm.insert(0, wav.pcm16_header(sum(map(len, pcm)), rate))
    pcm.reverse()
    return audio.encoded_in_steps((pcm.pop() for _ in range(len(pcm))), checkpoint)
