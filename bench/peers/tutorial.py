"""A relay as tutorials have it: Flask, the openai package, each chunk parsed and written anew."""

from collections.abc import Iterator

from flask import Flask, Response, jsonify, request
from openai import OpenAI

app = Flask(__name__)
client = OpenAI()


@app.post("/chat/completions")
def chat() -> Response:
    """Ask the upstream what was asked, and pass on what it says."""
    question = request.get_json()
    answer = client.chat.completions.create(**question)
    if not question.get("stream"):
        return jsonify(answer.model_dump())

    def events() -> Iterator[str]:
        for chunk in answer:
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return Response(events(), mimetype="text/event-stream")
