"""Waits for data: their results, and the one timer that outlives them."""

import contextlib
import time
from collections.abc import Iterator

import gevent
import pytest
from gevent import socket

from parley.http_client.read_waiter import ReadWaiter

LONG = 5.0
"""Seconds, of which no test waits for all."""


@pytest.fixture
def pair() -> Iterator[tuple[ReadWaiter, socket.socket]]:
    """Yield a waiter on one end of a connection, and the other end."""
    ours, peer = socket.socketpair()
    waiter = ReadWaiter(ours.fileno())
    yield waiter, peer
    waiter.close()
    for end in (ours, peer):
        end.close()


def seconds_of(waiter: ReadWaiter, seconds: float) -> float:
    """Return how long a wait in vain took."""
    started = time.monotonic()
    assert waiter.wait(seconds) is False
    return time.monotonic() - started


def test_data_that_is_there_ends_the_wait(pair: tuple[ReadWaiter, socket.socket]) -> None:
    waiter, peer = pair
    peer.sendall(b"x")
    assert waiter.wait(LONG) is True
    assert waiter.wait(LONG) is True  # nothing has been read


def test_data_that_comes_later_ends_the_wait(pair: tuple[ReadWaiter, socket.socket]) -> None:
    waiter, peer = pair
    gevent.spawn_later(0.005, peer.sendall, b"x")
    assert waiter.wait(LONG) is True


def test_the_end_of_the_connection_ends_the_wait(pair: tuple[ReadWaiter, socket.socket]) -> None:
    waiter, peer = pair
    gevent.spawn_later(0.005, peer.close)
    assert waiter.wait(LONG) is True


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.02])
def test_a_wait_in_vain_ends_in_time(pair: tuple[ReadWaiter, socket.socket], seconds: float) -> None:
    assert max(0.0, seconds) * 0.9 <= seconds_of(pair[0], seconds) < LONG / 2


def test_an_earlier_timer_does_not_end_a_later_wait(pair: tuple[ReadWaiter, socket.socket]) -> None:
    waiter, peer = pair
    # The first wait is interrupted, so that its timer still runs when the second one begins.
    with contextlib.suppress(gevent.Timeout), gevent.Timeout(0.002):
        waiter.wait(0.02)
    assert seconds_of(waiter, 0.05) >= 0.045
    peer.sendall(b"x")
    assert waiter.wait(LONG) is True


def test_a_later_timer_does_not_prolong_a_shorter_wait(pair: tuple[ReadWaiter, socket.socket]) -> None:
    waiter, _ = pair
    with contextlib.suppress(gevent.Timeout), gevent.Timeout(0.002):
        waiter.wait(LONG)
    assert seconds_of(waiter, 0.01) < LONG / 2


def test_many_waits_with_data_share_one_timer(pair: tuple[ReadWaiter, socket.socket]) -> None:
    waiter, peer = pair
    peer.sendall(b"x")
    timers = set()
    for _ in range(100):
        assert waiter.wait(LONG)
        timers.add(id(waiter._timer))
    assert len(timers) == 1
