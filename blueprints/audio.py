"""`POST /audio/chat/completions`: a transcript, then its sound as PCM at the pace of speech."""

from flask import Blueprint, Response

from blueprints.web import FORMS, Endpoint, serve
from parley import answers

bp = Blueprint("audio", __name__)
ENDPOINT = Endpoint("audio", answers.audio, answers.audio_json)


def complete() -> Response:
    """Answer a request in sound: a recording, our voice, or the upstream's own speech."""
    return serve(ENDPOINT)


for form in FORMS:
    bp.post(f"/audio{form}/chat/completions")(complete)
bp.post("/v1/audio/chat/completions")(complete)
