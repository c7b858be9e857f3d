"""TCP options that every connection here gets, to callers and to upstreams alike.

gunicorn's listeners get them once, when they are opened: what they accept inherits them (Linux), which saves seven
system calls a request.
"""

import contextlib
import socket

KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A peer that was switched off is noticed within a minute, also where nothing is being sent."""
CLIENT_SECONDS = 20
"""How long a write may wait for a client that does not read, or that was switched off."""


def tune(connection: socket.socket, send_seconds: float | None = None) -> None:
    """Send at once, and notice a dead peer; after `send_seconds` without an acknowledgement, too."""
    with contextlib.suppress(OSError):  # a Unix socket has none of these
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)
        if send_seconds is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(send_seconds * 1000))
