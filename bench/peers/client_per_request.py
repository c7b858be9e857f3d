"""A relay that makes a client of the openai package for each request, as many samples do."""

from collections.abc import Iterator

from flask import Flask, Response, jsonify, request
from openai import OpenAI

app = Flask(__name__)


@app.post("/chat/completions")
def chat() -> Response:
    """Connect to the upstream, ask it what was asked, and pass on what it says."""
    question = request.get_json()
    answer = OpenAI().chat.completions.create(**question)
    if not question.get("stream"):
        return jsonify(answer.model_dump())

    def events() -> Iterator[str]:
        for chunk in answer:
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return Response(events(), mimetype="text/event-stream")
