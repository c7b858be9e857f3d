"""The answer of /audio: chooses who speaks, in a stream and in one piece.

a broadcast                              its recording, else the voice if there is one, else simulated sound
a recording that is asked for by name    that recording, else simulated sound
anything else                            by AUDIO_MODE: the default recording (assets), the voice says what the
                                         upstream writes (speech), the upstream speaks itself (relay)
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from parley.answers import recorded, relayed, spoken
from parley.services import Services
from parley.turn import Batches, TurnContext
from parley.wire.request import ChatRequest


class Speaker(NamedTuple):
    """A way to answer in sound: as a stream, and as one JSON object."""

    stream: Callable[[TurnContext, Services], Batches]
    whole: Callable[[TurnContext, Services], bytes]


RECORDED = Speaker(recorded.stream, recorded.whole)
BROADCAST = Speaker(spoken.stream_broadcast, spoken.broadcast_whole)
SPEAKERS: Mapping[str, Speaker] = {
    "assets": RECORDED,
    "speech": Speaker(spoken.stream, spoken.whole),
    "relay": Speaker(relayed.stream, relayed.whole),
}
"""Speakers by AUDIO_MODE."""


def audio(context: TurnContext, services: Services) -> Batches:
    """Return the stream of a transcript and its sound, in chunks at the pace of speech."""
    return speaker_of(context.chat, services).stream(context, services)


def audio_json(context: TurnContext, services: Services) -> bytes:
    """Return the sound in one piece, as OpenAI's `message.audio`: a WAV file unless `audio.format` is pcm16."""
    return speaker_of(context.chat, services).whole(context, services)


def runs_tools(chat: ChatRequest, services: Services) -> bool:
    """Return true if a text is spoken whose model may call tools."""
    return speaker_of(chat, services) is SPEAKERS["speech"]


def speaker_of(chat: ChatRequest, services: Services) -> Speaker:
    """Return who answers a request."""
    if chat.broadcast is not None:
        # A text that the operator has recorded is never said by the synthetic voice.
        is_recorded = services.recordings.by_words(chat.broadcast) is not None
        return BROADCAST if services.has_voice and not is_recorded else RECORDED
    return RECORDED if chat.asset is not None else SPEAKERS[services.settings.audio_mode]
