"""Reading a request's body: what is refused, in which steps it is read, and what is left of it afterwards."""

import io
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gunicorn.http.errors import InvalidChunkSize

from parley import body
from parley.errors import InvalidRequest, ParleyError, RequestTimeout, RequestTooLarge


class Endless:
    """A body without end; counts what is read of it."""

    def __init__(self) -> None:
        self.read_bytes = 0
        self.steps: list[int] = []

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        self.steps.append(size)
        return b" " * size


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, size: int) -> bytes:
        raise self.error


class Slow:
    def read(self, size: int) -> bytes:
        gevent.sleep(10)
        return b""


@pytest.mark.parametrize("length", [0, 1, 4096, 4097, 100_000])
def test_a_body_up_to_the_limit_is_read_whole(length: int) -> None:
    whole = bytes(range(256)) * (length // 256 + 1)

    for announced in (length, None):
        assert body.read(io.BytesIO(whole[:length]), 100_000, 10, announced) == whole[:length]


def test_a_body_of_unknown_length_is_read_to_one_byte_beyond_the_limit() -> None:
    source = Endless()

    with pytest.raises(RequestTooLarge, match="larger than 100000 bytes"):
        body.read(source, 100_000, 10, None)
    assert source.read_bytes == 100_001 and max(source.steps) == body.CHUNKED_STEP_BYTES


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    source = Endless()

    with pytest.raises(RequestTooLarge):
        body.read(source, 100_000, 10, 100_001)
    assert source.read_bytes == 0


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Failing(OSError("reset")), InvalidRequest),
        (Failing(InvalidChunkSize(b"Z")), InvalidRequest),
        (io.BytesIO(b"{"), InvalidRequest),
        (Slow(), RequestTimeout),
    ],
    ids=["broken connection", "bad chunk", "too short", "too slow"],
)
def test_a_body_that_does_not_come_whole_is_refused(source: Any, error: type[ParleyError]) -> None:
    with pytest.raises(error) as raised:
        body.read(source, 100, 0.01, 2)
    assert raised.value.status in (400, 408)


class Laborious(Endless):
    """One of which every step takes a while, and no waiting."""

    def read(self, size: int) -> bytes:
        time.sleep(body.BUSY_SECONDS)
        return super().read(size)


def test_other_greenlets_run_while_a_large_body_is_read() -> None:
    turns: list[int] = []
    source = Laborious()
    other = gevent.spawn(lambda: [(turns.append(len(source.steps)), gevent.sleep(0)) for _ in range(3)])

    with pytest.raises(RequestTooLarge):
        body.read(source, 100_000, 10, None)
    assert turns and turns[-1] < len(source.steps) and other.ready()


@pytest.fixture
def ends() -> Any:
    """A connection's two ends."""
    client, server = socket.socketpair()
    with client, server:
        yield client, server


@pytest.mark.parametrize("source", [lambda: io.BytesIO(b"x" * 100_000), lambda: io.BytesIO(b"")], ids=["some", "none"])
def test_what_is_left_of_a_body_is_read_away_and_the_connection_stays(source: Callable[[], Any], ends: Any) -> None:
    client, server = ends
    left = source()

    body.drain(left, None, server)
    server.sendall(b"next")
    assert left.read() == b"" and client.recv(10) == b"next"


def test_a_body_without_end_ends_the_connection(ends: Any) -> None:
    client, server = ends

    body.drain(Endless(), 1 << 40, server)
    assert client.recv(10) == b""
    linger = server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", linger) == (1, 0)


def test_a_body_that_fails_while_it_is_read_away_harms_nobody(ends: Any) -> None:
    client, server = ends

    body.drain(Failing(ConnectionResetError()), None, server)
    server.sendall(b"next")
    assert client.recv(10) == b"next"
