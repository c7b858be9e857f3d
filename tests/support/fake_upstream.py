"""A fake of an OpenAI-compatible upstream that does, byte for byte, what a script tells it to do.

It listens on a real port with real threads, so that the code under test needs no patching, and it notices
within milliseconds that its peer has left. Nothing here knows Parley.

    with FakeUpstream() as upstream:
        upstream.enqueue(refusal(429, {"message": "slow down"}, {"retry-after": "1"}))   # the next call
        upstream.script = answer("Hello there", interval=0.05)                           # every later call

A script is a sequence of steps, or a function of the call that gives one (so it may be endless). A step is

    bytes               sent as they are: head(...), event(payload), http_chunk(data), END
    a number            silence for so many seconds; HANG is for ever
    a threading.Event   silence until the test sets it
    close, reset        a TCP FIN or RST; or any other function of the Connection

When a script has run out, the connection waits for the next request. So a cut is always written down:
`[*events(chunks("Hello there")[:2]), 0.1, reset]`. `GET .../models` has a script of its own, `models_script`.
"""

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

ID = "chatcmpl-fake"
ENVELOPE = {"id": ID, "object": "chat.completion.chunk", "created": 1_764_000_000, "model": "fake-model"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
DONE = b"[DONE]"
END = b"0\r\n\r\n"  # the chunk of no bytes, which completes a chunked body
HANG = 1_000_000.0
Step = bytes | float | threading.Event | Callable[["Connection"], None]
Script = Iterable[Step] | Callable[["Call"], Iterable[Step]]


def encode(value: Any) -> bytes:
    """JSON as the fake writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def chunk(delta: Any, finish_reason: str | None = None, **more: Any) -> bytes:
    """The payload of an event: a chunk with one choice. `more` replaces in the envelope, or adds to it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return encode({**ENVELOPE, "choices": [choice], **more})


def text_chunk(id: str, content: str) -> bytes:
    """The payload of an event with words."""
    return chunk({"content": content}, id=id)


def chunks(text: str, *, id: str = ID, finish_reason: str = "stop", usage: bool = False) -> list[bytes]:
    """The payloads of a good stream, without `[DONE]`: role, one a word, finish, and usage if wanted."""
    words = re.split(r"(?<=\S)(?=\s)", text) if text else []
    role, finish = chunk({"role": "assistant", "content": ""}, id=id), chunk({}, finish_reason, id=id)
    last = [chunk({}, id=id, choices=[], usage=USAGE)] if usage else []
    return [role, *(text_chunk(id, word) for word in words), finish, *last]


def head(status: int = 200, headers: Mapping[str, str] = EVENT_STREAM) -> bytes:
    """The status line, and these headers and no others."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Fake\r\n{fields}\r\n".encode("latin-1")


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(payload: bytes) -> bytes:
    """One server-sent event, in one HTTP chunk."""
    return http_chunk(b"data: " + payload + b"\n\n")


class Connection:
    """One accepted socket. Its methods raise OSError as soon as the peer leaves (also by half: a FIN)."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = accepted
        self._received = b""

    def play(self, step: Step) -> None:
        """Take one step."""
        if isinstance(step, bytes):
            self.socket.settimeout(None)  # however slowly the peer reads
            self.socket.sendall(step)
        elif isinstance(step, threading.Event):
            while not step.is_set():
                self.listen(0.005)
        elif callable(step):
            step(self)
        else:
            self.listen(step)

    def listen(self, seconds: float) -> None:
        """Stay silent for so long; what comes meanwhile is a request ahead of its turn, and is kept."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                self._receive(max(0.0, deadline - time.monotonic()))

    def read_request(self) -> tuple[str, str, dict[str, str], bytes]:
        """Method, path, headers (names in lower case) and body (by Content-Length) of the next request."""
        while b"\r\n\r\n" not in self._received:
            self._receive(HANG)
            if not self._received[:1].isalpha():  # a TLS handshake, for one, waits for an answer
                self.play(head(400, {"connection": "close"}))
                raise ConnectionAbortedError
        start, _, self._received = self._received.partition(b"\r\n\r\n")
        request_line, *lines = start.decode("latin-1").split("\r\n")
        method, path, _ = request_line.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            self._receive(HANG)
        body, self._received = self._received[:length], self._received[length:]
        return method, path, headers, body

    def _receive(self, timeout: float) -> None:
        self.socket.settimeout(timeout)
        if not (data := self.socket.recv(65536)):
            raise ConnectionAbortedError
        self._received += data


def close(connection: Connection) -> None:
    """The step that ends the connection, whatever is missing."""
    connection.socket.close()


def reset(connection: Connection) -> None:
    """The step that breaks the connection."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


@dataclass(eq=False)
class Call:
    """A request that reached the fake, and how it went; the last two are known once `finished` is set."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection_number: int
    finished: threading.Event = field(default_factory=threading.Event)
    outcome: str | None = None  # done (the script ran out), peer_left, stopped (with the fake)
    peer_left_at: float | None = None  # time.monotonic() when the peer was seen leaving

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def events(payloads: Iterable[bytes], interval: float = 0.0) -> list[Step]:
    """The head of a stream, then an event for each payload, `interval` seconds apart; no ending."""
    first, *rest = map(event, payloads)
    return [head(), first, *(step for later in rest for step in (interval, later))]


def answer(text: str, *, interval: float = 0.0, **more: Any) -> list[Step]:
    """A good stream, as OpenAI sends it; `more` as for `chunks`."""
    return [*events(chunks(text, **more), interval), event(DONE), END]


def held(text: str, stops: Mapping[int, threading.Event], *, interval: float = 0.0, **more: Any) -> list[Step]:
    """A good stream that is silent behind so many words until that event is set, so that a test can look at it."""
    steps = answer(text, interval=interval, **more)
    for words, go_on in sorted(stops.items(), reverse=True):
        # The head and the role, then a silence and a word in turn.
        steps.insert(2 + 2 * words, go_on)
    return steps


def whole(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> list[Step]:
    """An answer with its Content-Length; JSON, unless `headers` say otherwise (names in lower case)."""
    framing = {"content-type": "application/json", "content-length": str(len(body))}
    return [head(status, {**framing, **(headers or {})}), body]


def completion(text: str, headers: Mapping[str, str] | None = None) -> list[Step]:
    """The answer to `stream: false`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return whole(encode({**ENVELOPE, "object": "chat.completion", "choices": [choice], "usage": USAGE}), 200, headers)


def refusal(status: int, error: Any, headers: Mapping[str, str] | None = None) -> list[Step]:
    """An error answer with OpenAI's error object."""
    return whole(encode({"error": error}), status, headers)


def models(names: Iterable[str], headers: Mapping[str, str] | None = None) -> list[Step]:
    """The answer to `GET /models`."""
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in names]
    return whole(encode({"object": "list", "data": listed}), 200, headers)


class FakeUpstream:
    """The server, for the length of a `with` block; a `port` is for one that comes back."""

    def __init__(self, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port
        self.script: Script = answer("Hello there")
        self.models_script: Script = models(["fake-model"])
        self.calls: list[Call] = []
        self.open_calls = 0  # scripts under way now
        self.connections = 0  # so far
        self.open_connections: set[Connection] = set()  # now, idle ones included
        self._queue: list[Script] = []
        self._changed = threading.Condition()
        self._stopping = False

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, self.port), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self.base_url = f"http://{self.host}:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def enqueue(self, *scripts: Script) -> None:
        """The scripts of the next calls, in this order; after them `script` again."""
        self._queue.extend(scripts)

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait for what a call or a connection changes; AssertionError if it does not come."""
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                raise AssertionError(f"not within {timeout} s; the calls were {self.calls}")

    def wait_for_calls(self, count: int, timeout: float = 60.0) -> list[Call]:
        """The calls so far, at least so many."""
        self.wait_until(lambda: len(self.calls) >= count, timeout)
        return list(self.calls)

    def stop(self, *_: object) -> None:
        """Close everything at once; from now on the port refuses connections."""
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
        # Closing a listener wakes no thread that waits in accept(); one more connection does, if none came just now.
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((self.host, self.port)).close()
        self.hang_up()
        self.wait_until(lambda: self._listener.fileno() == -1)

    def hang_up(self, timeout: float = 60.0) -> None:
        """Close all connections; AssertionError if one stays."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self.open_connections:
                assert time.monotonic() < deadline, f"still open: {self.open_connections}"
                for connection in self.open_connections:
                    # Closed already, or between a plain socket and its TLS socket: there is a next round for these.
                    with contextlib.suppress(OSError):
                        connection.socket.shutdown(socket.SHUT_RDWR)
                self._changed.wait(0.01)

    __exit__ = stop

    def _accept(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            with self._changed:
                self._changed.notify_all()
                if self._stopping:
                    accepted.close()
                    self._listener.close()
                    return
                self.connections += 1
                connection = Connection(accepted)
                self.open_connections.add(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: Connection, number: int) -> None:
        try:
            with contextlib.suppress(OSError):
                while True:
                    self._answer(Call(*connection.read_request(), number), connection)
        finally:
            with self._changed:
                self.open_connections.remove(connection)
                connection.socket.close()
                self._changed.notify_all()

    def _answer(self, call: Call, connection: Connection) -> None:
        script = self._record(call)
        try:
            for step in script(call) if callable(script) else script:
                connection.listen(0)
                connection.play(step)
            call.outcome = "done"
        except OSError:
            call.outcome = "stopped" if self._stopping else "peer_left"
            call.peer_left_at = None if self._stopping else time.monotonic()
            raise
        finally:
            with self._changed:
                self.open_calls -= 1
                call.finished.set()
                self._changed.notify_all()

    def _record(self, call: Call) -> Script:
        """Both at once, so that scripts meet the calls in the calls' order."""
        with self._changed:
            self.calls.append(call)
            self.open_calls += 1
            self._changed.notify_all()
            if call.method == "GET" and call.path.partition("?")[0].endswith("/models"):
                return self.models_script
            return self._queue.pop(0) if self._queue else self.script
