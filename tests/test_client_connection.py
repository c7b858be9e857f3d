"""The caller's connection: how its body is read, what is done with the rest of a refused one, and when it ends."""

import io
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent import get_hub
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import InvalidChunkSize
from gunicorn.http.unreader import SocketUnreader

from parley import client_connection
from parley.client_connection import ClientConnection, ConnectionEnded
from parley.errors import InvalidRequest, ParleyError, RequestTimeout, RequestTooLarge


class Endless:
    """A body without end; counts what is read of it."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
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


class Registry:
    """What a connection tells the server's table, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def silent(self, connection: ClientConnection) -> None:
        self.told.append("silent")

    def busy(self, connection: ClientConnection) -> None:
        self.told.append("busy")

    def in_head(self, connection: ClientConnection) -> None:
        self.told.append("in head")


class Request:
    """gunicorn's request, as far as a connection looks at it."""

    def __init__(self, ahead: bytes = b"") -> None:
        self.must_close = False
        self.unreader = SimpleNamespace(buf=io.BytesIO())
        self.unreader.buf.write(ahead)

    def force_close(self) -> None:
        self.must_close = True


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends: the client's, which fails after two seconds of silence, and the server's."""
    client, server = gevent.socket.socketpair()
    client.settimeout(2)
    with client, server:
        yield client, server


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def connection(ends: tuple[socket.socket, socket.socket], registry: Registry) -> Iterator[ClientConnection]:
    """The connection of the server's end, current in this test, with a request under way."""
    opened = client_connection.opened(ends[1], registry)
    opened.begin(Request())
    yield opened
    client_connection._current.set(None)


@pytest.mark.parametrize("length", [0, 1, 4096, 4097, 100_000])
def test_a_body_up_to_the_limit_is_read_whole(length: int) -> None:
    whole = bytes(range(256)) * (length // 256 + 1)

    for announced in (length, None):
        read = client_connection.read_body(io.BytesIO(whole[:length]), 100_000, 10, announced)
        assert read == whole[:length]


def test_a_body_without_length_is_read_one_byte_past_the_limit() -> None:
    source = Endless()

    with pytest.raises(RequestTooLarge, match="larger than 100000 bytes"):
        client_connection.read_body(source, 100_000, 10, None)
    assert source.read_bytes == 100_001


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    source = Endless()

    with pytest.raises(RequestTooLarge):
        client_connection.read_body(source, 100_000, 10, 100_001)
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
        client_connection.read_body(source, 100, 0.01, 2)
    assert raised.value.status in (400, 408)


@pytest.mark.slow
def test_the_loop_runs_while_a_body_in_tiny_chunks_is_read(
    ends: tuple[socket.socket, socket.socket], connection: ClientConnection
) -> None:
    client, server = ends
    chunks = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    # The sender is ahead of us at every receive.
    sending = gevent.spawn(client.sendall, chunks)
    body = Body(ChunkedReader(SimpleNamespace(), SocketUnreader(server)))
    before = get_hub().loop.iteration
    started = time.monotonic()

    assert len(client_connection.read_body(body, 100_000, 10, None)) == 50_000
    passes = get_hub().loop.iteration - before
    # At least one pass for each 100 ms; a socket whose receives let nobody run has a handful in all.
    assert passes >= 10 and passes >= (time.monotonic() - started) / 0.1
    sending.join()


def test_the_rest_of_a_body_is_drained_and_the_connection_kept(
    ends: tuple[socket.socket, socket.socket], connection: ClientConnection
) -> None:
    client, server = ends
    rest = io.BytesIO(b"x" * 100_000)

    client_connection.discard_body(rest, server)
    server.sendall(b"next")
    assert rest.read() == b"" and client.recv(10) == b"next" and not connection.is_closing


@pytest.mark.parametrize("source", [Endless(), Failing(ConnectionResetError()), Failing(InvalidChunkSize(b"Z"))])
def test_a_rest_that_does_not_end_well_ends_the_connection(
    source: Any, ends: tuple[socket.socket, socket.socket], connection: ClientConnection
) -> None:
    client, server = ends
    client.shutdown(socket.SHUT_WR)

    client_connection.discard_body(source, server)
    assert connection.is_closing


def test_on_a_connection_that_closes_the_rest_is_not_taken_apart(
    ends: tuple[socket.socket, socket.socket], connection: ClientConnection
) -> None:
    client, server = ends
    connection.close_after_answer()
    source = Endless()
    client.sendall(b"1\r\nx\r\n" * 1000)
    client.shutdown(socket.SHUT_WR)

    client_connection.discard_body(source, server)
    # The answer's end is told at once, and all that came has been read, so that closing does not reset the answer.
    assert source.read_bytes == 0 and client.recv(10) == b"" and server.recv(10) == b""


def test_a_connection_closes_after_a_few_refusals_in_a_row(connection: ClientConnection) -> None:
    for closing in [False] * (client_connection.MAX_REFUSALS - 1) + [True]:
        connection.begin(Request())
        connection.refused()
        assert connection.is_closing is closing


def test_an_accepted_request_forgives_the_refusals_before(connection: ClientConnection) -> None:
    for _ in range(client_connection.MAX_REFUSALS):
        connection.begin(Request())
        connection.refused()
        connection.begin(Request())
        connection.accepted()
        connection.refused()
    assert not connection.is_closing and connection.is_known


@pytest.mark.parametrize(
    ("ahead", "receives", "told"),
    [
        (b"", 1, ["silent", "busy"]),
        (b"", 2, ["silent", "in head", "busy"]),
        (b"", 5, ["silent", "in head", "busy"]),
        (b"GET /", 1, ["silent", "in head", "busy"]),
    ],
    ids=["whole head", "two parts", "many parts", "begun with the request before"],
)
def test_a_head_that_comes_in_parts_is_told_of(
    ahead: bytes, receives: int, told: list[str], connection: ClientConnection, registry: Registry
) -> None:
    connection.begin(Request(ahead))
    with connection.silence():
        for _ in range(receives):
            connection.receiving()
    connection.receiving()
    assert registry.told == told


def test_ending_a_silent_connection_ends_its_wait(connection: ClientConnection) -> None:
    with connection.silence():
        raise ConnectionEnded
    assert not connection.is_silent


def test_another_error_passes_through_a_silence(connection: ClientConnection) -> None:
    with pytest.raises(ConnectionResetError), connection.silence():
        raise ConnectionResetError


def test_outside_a_worker_a_connection_holds_nothing() -> None:
    client_connection.current().refused()
    assert client_connection.current().refusals == 0 and not client_connection.current().is_closing
