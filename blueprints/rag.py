"""`POST /rag/chat/completions`: a spoken waiting message at once, then an answer out of the knowledge."""

from flask import Blueprint, Response

from blueprints.web import FORMS, Endpoint, serve
from parley import answers

bp = Blueprint("rag", __name__)
ENDPOINT = Endpoint("rag", answers.rag, answers.rag_json)


def complete() -> Response:
    """Look the question up and let the upstream answer it with what was found."""
    return serve(ENDPOINT)


for form in FORMS:
    bp.post(f"/rag{form}/chat/completions")(complete)
bp.post("/v1/rag/chat/completions")(complete)
