"""TCP options for every connection, to callers and to upstreams alike."""

import contextlib
import socket

KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""Seconds and probes after which a silent peer counts as dead: a machine switched off is noticed within a minute."""
CLIENT_SECONDS = 20
"""Seconds that a write may wait for a client that does not read, or that was switched off."""
UPSTREAM_SECONDS = 10
"""Seconds that an upstream may leave a request unacknowledged, before the system ends the connection."""
LOST_RETRANSMISSIONS = 2
"""Retransmissions in a row without an acknowledgement that count as lost: 0.6 s on a short way, 1 s on a long one."""
_RETRANSMITS = 2
"""Offset in Linux's `struct tcp_info` of the number of retransmissions since the last acknowledgement."""


def tune(connection: socket.socket, send_seconds: float | None = None) -> None:
    """Disable Nagle's algorithm, and make the kernel notice a dead peer, also when nothing is being sent.

    With `send_seconds` the connection breaks if sent data is not acknowledged for so long.
    """
    # perf: saves 7 system calls a request: on Linux an accepted connection inherits its listener's options, so that
    # gunicorn's listeners are tuned once.
    with contextlib.suppress(OSError):  # a Unix socket has none of these options
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)
        if send_seconds is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(send_seconds * 1000))


def acknowledge_at_once(connection: socket.socket) -> None:
    """Have what has arrived, and what arrives next, acknowledged without delay, where the system can.

    A server that writes head and body apart, under Nagle's algorithm, sends the body only when the head is
    acknowledged, and the system delays that by 40 ms on a connection that has served before. To be called for each
    receive that may be the first part of more: the system goes back to delays by itself.
    """
    # Not behind each send: that costs an acknowledgement, 4 µs of a request, that nobody waits for as a rule.
    if hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def is_unacknowledged(connection: socket.socket) -> bool:
    """Return True if the peer's system has not acknowledged what was sent, though it was sent again and again.

    False where the system does not tell.
    """
    if not hasattr(socket, "TCP_INFO"):
        return False
    with contextlib.suppress(OSError):
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RETRANSMITS + 1)
        return len(info) > _RETRANSMITS and info[_RETRANSMITS] >= LOST_RETRANSMISSIONS
    return False


def send_all(connection: socket.socket, data: bytes | memoryview, flags: int = 0) -> None:
    """Send all data; the socket's timeout bounds each wait, so that a large answer may take its time while it is read.

    gevent's own `sendall` bounds the whole, by the time of day: a clock that is set forward would cut the connection.
    """
    view = memoryview(data)
    while view:
        view = view[connection.send(view, flags) :]
