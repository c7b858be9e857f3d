"""AUDIO_MODE=assets: the recording that fits the request, or the simulated sound in its place."""

from parley.answers import playback
from parley.services import Services
from parley.speech.utterance import Utterance
from parley.telemetry.logs import log
from parley.turn import Batches
from parley.wire.request import ChatRequest


def stream(chat: ChatRequest, services: Services) -> Batches:
    """The transcript with its words in time, then the recording."""
    return playback.play(choose(chat, services), chat, services)


def whole(chat: ChatRequest, services: Services) -> bytes:
    """The recording in one piece."""
    return playback.play_whole(choose(chat, services), chat)


def choose(chat: ChatRequest, services: Services) -> Utterance:
    """The recording for the request, by its broadcast text or the name that it gives; simulated where there is none."""
    utterance = services.recordings.choose(chat.asset, chat.broadcast)
    if utterance.simulated:
        log.warning("simulated_audio", id=chat.origin.request_id, reason="no recording fits this request")
    return utterance
