"""`POST /chat/completions`: the upstream's answer as it comes."""

from flask import Blueprint, Response

from blueprints.web import Endpoint, prefixes, serve
from parley import answers

bp = Blueprint("basic", __name__)
ENDPOINT = Endpoint("chat", answers.chat, answers.chat_json)


def complete(**_: str) -> Response:
    """Relay a request to the upstream. `serve` reads the arguments of the route itself."""
    return serve(ENDPOINT)


for prefix in prefixes(""):
    bp.post(f"{prefix}/chat/completions")(complete)
