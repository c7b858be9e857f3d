"""The strangers of hostile.py: each shape sends what it should, and all of them end when they are told to."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hostile import SHAPES, Strangers, client_hello

ANSWER = b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n"
REQUESTS_ANSWERED = 3
OPENINGS = {"nothing": b"", "tls_hello": client_hello()[:3], "half_head": b"POST /chat", "endless_line": b"GET /"}


class Refuser:
    """A server that answers each read with a 401 and closes after a few; it keeps what came on each connection."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.received: list[bytes] = []
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                threading.Thread(target=self._refuse, args=(accepted,), daemon=True).start()

    def _refuse(self, accepted: socket.socket) -> None:
        received = b""
        with contextlib.suppress(OSError), accepted:
            for _ in range(REQUESTS_ANSWERED):
                if not (more := accepted.recv(1 << 16)):
                    break
                received += more
                accepted.sendall(ANSWER)
        self.received.append(received)


@pytest.fixture
def refuser() -> Iterator[Refuser]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    try:
        yield Refuser(listener)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHAPES)
def test_each_shape_connects_sends_and_ends(refuser: Refuser, kind: str) -> None:
    started = time.monotonic()
    with Strangers(refuser.port, [kind], count=2, seconds=60) as strangers:
        time.sleep(0.3)
    assert time.monotonic() - started < 20
    tally = strangers.tally
    assert tally.connections >= 2 and tally.unreachable == 0
    assert (tally.bytes_sent > 0) == (kind != "nothing")
    while len(refuser.received) < 2:
        assert time.monotonic() - started < 20
        time.sleep(0.01)
    assert all(len(sent) == 0 or sent.startswith(OPENINGS.get(kind, b"")) for sent in refuser.received)
    assert kind == "nothing" or any(refuser.received)


@pytest.mark.slow
def test_strangers_end_by_themselves_when_their_time_is_over(refuser: Refuser) -> None:
    strangers = Strangers(refuser.port, ["reconnecting", "nothing"], count=4, seconds=0.5)
    with strangers:
        assert strangers._process.wait(10) == 0
    assert strangers.tally.connections >= 4 and strangers.tally.standing >= 1
