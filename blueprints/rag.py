"""`POST /rag/chat/completions`: a waiting message when it is due, then an answer grounded in the knowledge base."""

from flask import Blueprint, Response

from blueprints.web import FORMS, Endpoint, serve
from parley import answers

bp = Blueprint("rag", __name__)
ENDPOINT = Endpoint("rag", answers.rag, answers.rag_json)


def complete() -> Response:
    """Look a question up, and let the upstream answer it with the passages that were found."""
    return serve(ENDPOINT)


for form in FORMS:
    bp.post(f"/rag{form}/chat/completions")(complete)
bp.post("/v1/rag/chat/completions")(complete)
