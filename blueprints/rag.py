"""`POST /rag/chat/completions`: a waiting message when it is due, then an answer grounded in the knowledge base."""

from flask import Blueprint, Response

from blueprints.web import Endpoint, prefixes, serve
from parley import answers

bp = Blueprint("rag", __name__)
ENDPOINT = Endpoint("rag", answers.rag, answers.rag_json)


def complete(**_: str) -> Response:
    """Look a question up, and let the upstream answer it with the passages that were found.

    `serve` reads the arguments of the route itself.
    """
    return serve(ENDPOINT)


for prefix in prefixes("/rag"):
    bp.post(f"{prefix}/chat/completions")(complete)
