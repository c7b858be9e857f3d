"""Sound on its way to a caller, whoever made it: cut into chunks, paced like speech, put into payloads.

Also where it is known only piece by piece: see `Player`.
"""

from collections.abc import Iterable

import msgspec

from parley.concurrency import checkpoint
from parley.services import Services
from parley.speech import pacing, wav
from parley.speech.utterance import AudioPiece, Utterance
from parley.speech.word_timing import Word
from parley.turn import Batches, TurnContext
from parley.wire import audio
from parley.wire.request import ChatRequest


class Player:
    """One spoken answer, said piece by piece.

    A piece's text and words leave before its sound, and its sound no further ahead of what is heard than
    `AUDIO_LEAD_MS`: a generator of `say` waits meanwhile, so that its maker need not be far ahead, either.
    """

    def __init__(self, context: TurnContext, services: Services) -> None:
        settings = services.settings
        self._chunks = audio.AudioChunks(context.envelope, id_once=context.chat.origin.v1)
        self._pace = pacing.Pace(settings.audio_sample_rate, settings.audio_chunk_ms, settings.audio_lead_ms)

    def say(self, piece: AudioPiece) -> Batches:
        """The piece as payloads, each when it is due; PCM that makes no whole chunk waits for the next piece."""
        if piece.text or piece.words:
            yield self.tell(piece.text, piece.words)
        elif not piece.pcm:
            yield []
        for due in self._pace.chunks(piece.pcm):
            # A long lead, or catching up after a stall: what is due already is not waited for.
            checkpoint()
            yield [self._chunks.data(chunk) for chunk in due]

    def tell(self, text: str, words: Iterable[Word]) -> list[bytes]:
        """A text that is heard from here on, as a payload."""
        return [self._chunks.spoken(text, words)]

    def adopt(self, audio_id: str) -> None:
        """Bear an upstream's id, where nothing has been said yet."""
        self._chunks.adopt(audio_id)

    def rest(self) -> Batches:
        """What still waits, as a last shorter chunk."""
        if due := self._pace.flush():
            yield [self._chunks.data(chunk) for chunk in due]

    def say_all(self, pieces: Iterable[AudioPiece]) -> Batches:
        """All pieces to the last chunk of their sound; the finish chunk is the caller's to send."""
        for piece in pieces:
            checkpoint()
            yield from self.say(piece)
        yield from self.rest()


def play(utterance: Utterance, context: TurnContext, services: Services) -> Batches:
    """A whole answer whose sound is there already."""
    player = Player(context, services)
    context.take_chat()  # its body is not held for as long as the answer lasts
    yield player.tell(utterance.transcript, utterance.words)
    yield from player.say_all([AudioPiece(utterance.pcm)])
    yield [context.envelope.finish("stop")]


def play_whole(utterance: Utterance, context: TurnContext) -> bytes:
    """The same in one piece: a WAV file unless `audio.format` is pcm16."""
    data = whole_sound(utterance.pcm, utterance.rate, context.chat)
    return audio.completion(context.envelope, data, utterance.transcript, utterance.words)


def whole_sound(pcm: bytes, rate: int, chat: ChatRequest) -> msgspec.Raw:
    """The sound as JSON holds it, as the caller wants it: raw for `audio.format` pcm16, else a WAV file."""
    wants_raw = (chat.body.get("audio") or {}).get("format") == "pcm16"
    return audio.encoded_in_steps(pcm if wants_raw else wav.encode(pcm, rate), checkpoint)
