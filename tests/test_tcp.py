"""A tuned connection sends at once and notices a dead peer."""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from parley import tcp


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.socket() as plain:
        yield plain


def test_data_is_sent_at_once(connection: socket.socket) -> None:
    tcp.tune(connection)

    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_silent_peer_is_probed_within_a_minute(connection: socket.socket) -> None:
    tcp.tune(connection)

    idle, interval, probes = (
        connection.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle + interval * probes <= 60


@pytest.mark.parametrize(("send_seconds", "ms"), [(None, 0), (1.5, 1500)])
def test_unacknowledged_data_breaks_the_connection_if_asked(
    connection: socket.socket, send_seconds: float | None, ms: int
) -> None:
    tcp.tune(connection, send_seconds)

    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == ms


@pytest.mark.row("RE-03")
def test_what_has_arrived_is_acknowledged_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        near = stack.enter_context(socket.create_connection(listener.getsockname()))
        far = stack.enter_context(listener.accept()[0])
        for _ in range(20):  # until acknowledgements are delayed
            near.sendall(b"question")
            far.recv(99)
            far.sendall(b"head")
            near.recv(99)
        tcp.acknowledge_at_once(near)
        assert not tcp.is_unacknowledged(far)
        assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1


@pytest.mark.row("RF-22")
def test_where_the_system_tells_nothing_nothing_is_lost(
    connection: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not tcp.is_unacknowledged(connection)
    monkeypatch.delattr(socket, "TCP_INFO")
    monkeypatch.delattr(socket, "TCP_QUICKACK")
    tcp.acknowledge_at_once(connection)
    assert not tcp.is_unacknowledged(connection)


def test_an_accepted_connection_inherits_the_listeners_options() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tcp.tune(listener, tcp.CLIENT_SECONDS)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * tcp.CLIENT_SECONDS


def test_a_unix_socket_needs_no_options() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(folder) / "socket"))
        tcp.tune(listener, 1)


@pytest.fixture
def pair() -> Iterator[tuple[gevent.socket.socket, gevent.socket.socket]]:
    """Two connected sockets of gevent's."""
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.row("RF-05")
@pytest.mark.parametrize("shift", [-3600, 3600], ids=["back", "forward"])
def test_a_clock_that_is_set_cuts_no_send(monkeypatch: pytest.MonkeyPatch, pair: Any, shift: int) -> None:
    ours, theirs = pair
    ours.settimeout(20)
    day = time.time
    data = os.urandom(4 << 20)

    def read() -> bytes:
        first = theirs.recv(1000)
        monkeypatch.setattr(time, "time", lambda: day() + shift)
        return first + b"".join(iter(lambda: theirs.recv(1 << 16), b""))

    reading = gevent.spawn(read)
    with gevent.Timeout(30):
        tcp.send_all(ours, data)
        ours.close()
        assert reading.get() == data


def test_each_wait_of_a_send_is_bounded(pair: Any) -> None:
    ours, theirs = pair
    ours.settimeout(0.05)
    with pytest.raises(TimeoutError):
        tcp.send_all(ours, bytes(8 << 20))
    assert theirs.recv(1)
