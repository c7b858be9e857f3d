"""The sound of an answer, whoever made it: cut into chunks, paced like speech, made into payloads."""

from collections.abc import Iterable

import msgspec

from parley.concurrency import SILENCE, Silence, checkpoint
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
        self._chunks = audio.AudioChunks(context.envelope, id_once=context.chat.origin.v1)
        self._pace = pacing.Pace(settings.audio_sample_rate, settings.audio_chunk_ms, settings.audio_lead_ms)

    def play(self, piece: AudioPiece) -> Batches:
        """Yield a piece, each chunk of it when it is due; PCM that fills no chunk waits for the next piece."""
        if piece.text or piece.words:
            yield self.transcript(piece.text, piece.words)
        for due in self._pace.chunks(piece.pcm):
            # A long lead, or a stall before: chunks that are due already are not waited for.
            checkpoint()
            yield [self._chunks.data(chunk) for chunk in due]

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
    data = sound_for(context.chat, utterance.pcm, utterance.rate)
    return audio.completion(context.envelope, data, utterance.transcript, utterance.words)


def sound_for(chat: ChatRequest, pcm: bytes, rate: int) -> msgspec.Raw:
    """Return the sound as a JSON string: raw if the request asks for `audio.format` pcm16, else a WAV file."""
    wants_raw = (chat.body.get("audio") or {}).get("format") == "pcm16"
    return audio.encoded_in_steps(pcm if wants_raw else wav.encode(pcm, rate), checkpoint)
