"""AUDIO_MODE=assets: the recording that fits the request, or the simulated sound in its place."""

from parley.answers import playback
from parley.services import Services
from parley.speech.utterance import Utterance
from parley.telemetry.logs import log
from parley.turn import Batches, TurnContext


def stream(context: TurnContext, services: Services) -> Batches:
    """The transcript with its words in time, then the recording."""
    return playback.play(choose(context, services), context, services)


def whole(context: TurnContext, services: Services) -> bytes:
    """The recording in one piece."""
    return playback.play_whole(choose(context, services), context)


def choose(context: TurnContext, services: Services) -> Utterance:
    """The recording for the request, by its broadcast text or the name that it gives; simulated where there is none."""
    utterance = services.recordings.choose(context.chat.asset, context.chat.broadcast)
    if utterance.simulated:
        log.warning("simulated_audio", id=context.chat.origin.request_id, reason="no recording fits this request")
    return utterance
