"""Requests through an ordinary HTTP client, and what its user sees of an answer."""

import http.client
import io
import json
from collections.abc import Mapping
from typing import Any

import requests
from running_server import RunningServer

HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}


class _Received:
    """Bytes in place of a socket, for http.client."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._received)


def send(
    server: RunningServer, body: Any = HELLO, path: str = "/chat/completions", **headers: str
) -> requests.Response:
    """POST a body: a mapping as JSON, bytes and iterators as they are."""
    data = json.dumps(body) if isinstance(body, Mapping) else body
    return requests.post(f"{server.url}{path}", data=data, headers=headers, timeout=20)


def send_bytes(server: RunningServer, request: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    """Send these bytes on a connection of their own; return the response and its body."""
    with server.connect() as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response, response.read()


def frames(*payloads: bytes) -> bytes:
    """Return the payloads as server-sent events."""
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


def body_of(received: bytes) -> bytes:
    """Return the body of a whole HTTP response. Raises IncompleteRead for one that was cut."""
    response = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]
    response.begin()
    assert response.status == 200
    return response.read()


def check_refusal(response: requests.Response, status: int, code: str, param: str | None = None) -> str:
    """Check that a response has this status and the error object in both forms; return its message."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    body = response.json()
    error = body.pop("error")
    message = error.pop("message")
    kind = {401: "authentication_error", 503: "server_error"}.get(status, "invalid_request_error")
    assert (error, body) == ({"type": kind, "param": param, "code": code}, {"detail": message})
    assert response.headers["x-request-id"] and response.headers["x-content-type-options"] == "nosniff"
    return str(message)
