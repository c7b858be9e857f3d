"""The least that a relay in Flask can do: bytes in, bytes out. No key, no limit, no check, no log line, no metrics."""

import os
from collections.abc import Iterator

import urllib3
from flask import Flask, Response, request

app = Flask(__name__)
upstream = urllib3.PoolManager(maxsize=4096, block=False)
URL = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
HEADERS = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "content-type": "application/json"}


@app.post("/chat/completions")
def chat() -> Response:
    """Pass the question on as it is, and the answer as it comes."""
    question = request.get_data()
    if not request.get_json().get("stream"):
        return Response(upstream.request("POST", URL, body=question, headers=HEADERS).data, mimetype="application/json")

    def events() -> Iterator[bytes]:
        answer = upstream.request("POST", URL, body=question, headers=HEADERS, preload_content=False)
        try:
            yield from answer.read_chunked(decode_content=False)
        finally:
            answer.release_conn()

    return Response(events(), mimetype="text/event-stream")
