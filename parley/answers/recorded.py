"""AUDIO_MODE=assets: the recording that fits the request, or the simulated sound in its place."""

from parley.answers import voice
from parley.logs import log
from parley.services import Services
from parley.speech.utterances import Utterance
from parley.turn import Batches
from parley.wire.request import Asked


def stream(asked: Asked, services: Services) -> Batches:
    """The transcript with its words in time, then the recording."""
    return voice.utter(choose(asked, services), asked, services)


def whole(asked: Asked, services: Services) -> bytes:
    """The recording in one piece."""
    return voice.utter_whole(choose(asked, services), asked)


def choose(asked: Asked, services: Services) -> Utterance:
    """The recording for the request, by its broadcast text or the name that it gives; simulated where there is none."""
    utterance = services.recordings.choose(asked.asset, asked.broadcast)
    if utterance.simulated:
        log.warning("simulated_audio", id=asked.origin.request_id, reason="no recording fits this request")
    return utterance
