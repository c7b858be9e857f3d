"""What /audio says: AUDIO_MODE chooses who speaks. Each mode is a module with these two functions."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from parley.answers import recorded, relayed, spoken
from parley.services import Services
from parley.turn import Batches, TurnContext


class Mode(NamedTuple):
    """Who speaks: in a stream, and in one piece."""

    stream: Callable[[TurnContext, Services], Batches]
    whole: Callable[[TurnContext, Services], bytes]


SPOKEN = Mode(spoken.stream, spoken.whole)
MODES: Mapping[str, Mode] = {
    "assets": Mode(recorded.stream, recorded.whole),
    "speech": SPOKEN,
    "relay": Mode(relayed.stream, relayed.whole),
}


def audio(context: TurnContext, services: Services) -> Batches:
    """A transcript and the sound of it, in chunks at the pace of speech."""
    return _mode(context, services).stream(context, services)


def audio_json(context: TurnContext, services: Services) -> bytes:
    """The sound in one piece, as OpenAI's `message.audio`: a WAV file unless `audio.format` is pcm16."""
    return _mode(context, services).whole(context, services)


def _mode(context: TurnContext, services: Services) -> Mode:
    if context.chat.broadcast is not None and services.has_voice:
        return SPOKEN  # where it has no recording it is said
    return MODES[services.settings.audio_mode]
