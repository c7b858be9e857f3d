"""`POST /audio/chat/completions`: a transcript, then its sound as PCM at the pace of speech."""

from flask import Blueprint, Response

from blueprints.web import Endpoint, prefixes, serve
from parley import answers

bp = Blueprint("audio", __name__)
ENDPOINT = Endpoint("audio", answers.audio, answers.audio_json)


def complete(**_: str) -> Response:
    """Answer a request in sound: a recording, our voice, or the upstream's own speech.

    `serve` reads the arguments of the route itself.
    """
    return serve(ENDPOINT)


for prefix in prefixes("/audio"):
    bp.post(f"{prefix}/chat/completions")(complete)
