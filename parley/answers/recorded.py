"""Answers out of recordings: the one that fits the request, or simulated sound in its place."""

from parley.answers import playback
from parley.services import Services
from parley.speech.utterance import Utterance
from parley.telemetry.logs import log
from parley.turn import Batches, TurnContext


def stream(context: TurnContext, services: Services) -> Batches:
    """Return the stream of a recording: its transcript with the words in time, then its sound."""
    return playback.play(choose(context, services), context, services)


def whole(context: TurnContext, services: Services) -> bytes:
    """Return a recording in one piece."""
    return playback.play_whole(choose(context, services), context)


def choose(context: TurnContext, services: Services) -> Utterance:
    """Return the recording of a broadcast, or of the name that the request gives; warn if it is simulated."""
    utterance = services.recordings.choose(context.chat.asset, context.chat.broadcast)
    if utterance.simulated:
        log.warning("simulated_audio", id=context.record.id, reason="no recording fits this request")
    return utterance
