"""Requests as bytes on one connection, and each answer exactly as long as it says it is.

    with Caller(server) as caller:
        answer = caller.ask(post(CHAT, b"{"))
        check_error(answer, 400, "invalid_json")

Nothing is read ahead, so an answer that is longer than it says spoils the next one and is noticed.
"""

import dataclasses
import json
import socket
from typing import Any, Self

from running_server import RunningServer

SAMPLE_AGENTS = ("receptionist", "workshop")
"""The agents of `agents/`, which `/models` lists first."""

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
ROUTES = (*ENDPOINTS, "/v1/chat/completions", "/rag/v1/chat/completions", "/v1/audio/chat/completions")
"""The three endpoints, each also under /v1, where an answer is one piece of JSON."""
HEALTH = b"GET /health HTTP/1.1\r\nhost: parley\r\n\r\n"
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """A status, headers (names in lower case) and a body; no status at all where the connection was closed."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


CLOSED = Answer(0, {}, b"")


class Caller:
    """One connection to the server."""

    def __init__(self, server: RunningServer) -> None:
        self.connection: socket.socket = server.connect()
        self._file = self.connection.makefile("rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.connection.close()

    def ask(self, request: bytes) -> Answer:
        """Send these bytes, and receive one answer."""
        self.connection.sendall(request)
        return self.answer()

    def answer(self) -> Answer:
        """The next answer, or CLOSED."""
        try:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (byte := self.connection.recv(1)):
                    assert head == b"", head
                    return CLOSED
                head += byte
        except ConnectionError:
            return CLOSED
        start, *lines = head.decode("latin-1").strip().split("\r\n")
        assert start.startswith("HTTP/1.1 "), start
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(start.split()[1]), headers, self._body(headers))

    def is_closed(self) -> bool:
        """Whether the server has nothing more to say, and closes."""
        return self.answer() == CLOSED

    def check_in_step(self) -> None:
        """The next request is read from its first byte, and answered."""
        answer = self.ask(HEALTH)
        assert (answer.status, answer.json) == (200, {"status": "ok"})

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self._file.read()

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._exactly(1)
        return line

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            more = self.connection.recv(count - len(received))
            assert more, f"{count} bytes were announced, {received!r} came"
            received += more
        return received


def ask_once(server: RunningServer, request: bytes) -> Answer:
    """Send a request on a connection of its own; check that the connection serves the next one, too."""
    with Caller(server) as caller:
        answer = caller.ask(request)
        caller.check_in_step()
        return answer


def check_error(answer: Answer, status: int, code: str, param: str | None = None) -> str:
    """It is this status with the error object in both forms; gives the message."""
    assert (answer.status, answer.headers.get("content-type")) == (status, "application/json"), answer
    assert answer.json.keys() == {"error", "detail"}
    assert answer.json["error"].keys() == {"message", "type", "param", "code"}, answer
    error = answer.json["error"]
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    assert (error["type"], error["code"], error["param"]) == (kind, code, param), answer
    assert error["message"] and answer.json["detail"] == error["message"]
    assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"
    return str(error["message"])
