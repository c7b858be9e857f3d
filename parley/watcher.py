"""The client's side of a turn: noticing in milliseconds that it has left, and bounding how slowly it may read.

WSGI notices a client that has gone only at the second write after; before the first token never. So its socket is
watched from the event loop for as long as a turn lasts. gunicorn has no send timeout, so the socket gets one.
"""

import contextlib
import socket
import struct
from collections.abc import Callable

import gevent.socket
from gevent import get_hub

from parley import tcp
from parley.wire import sse

READ = 1
_CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n"
"""A head that bears this is always followed by more: by the end of the chunks at least."""
_LAST_EVENT = sse.DONE + b"\r\n"
"""The end of the last chunk but the empty one: only a chunk ends like this."""
POLL_SECONDS = 0.05
_TCP_ESTABLISHED = 1


class PromptSocket(gevent.socket.socket):  # type: ignore[misc] # it carries no types
    """A client's connection whose `sendall` does the common case first: all that there is fits into the kernel.

    gevent's own asks for the size of the send buffer each time, a tenth of a chunk's cost. The head of a stream waits
    in the kernel for its first events (MSG_MORE), so that both travel in one packet, and the last events for the end
    of the chunks, which gunicorn writes as soon as the turn is closed: a packet costs more than all else about a write.
    """

    __slots__ = ()

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """As the socket's own."""
        if data.endswith(_LAST_EVENT) or (data.startswith(b"HTTP/1.") and _CHUNKED in data):
            flags |= socket.MSG_MORE
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            super().sendall(data[sent:], flags)


class ClientWatcher:
    """Calls `left` once, from the event loop, when the client closes its end or the connection breaks.

    A client that closes only its sending half counts as gone: HTTP clients don't do that and stay.
    """

    def __init__(self, client: socket.socket, left: Callable[[], None]) -> None:
        self._client = client
        # gevent's sockets wait for data; the plain one inside answers at once.
        self._plain: socket.socket = getattr(client, "_sock", client)
        self._left = left
        self._loop = get_hub().loop
        client.settimeout(tcp.CLIENT_SECONDS)
        if type(client) is gevent.socket.socket:  # not TLS, nor another kind of worker's
            client.__class__ = PromptSocket
        self._watcher = self._loop.io(client.fileno(), READ)
        self._watcher.start(self._readable)

    def stop(self) -> None:
        """Stop watching; the socket waits for its next request as before."""
        self._watcher.stop()
        self._watcher.close()
        with contextlib.suppress(OSError):
            self._client.settimeout(None)

    def _readable(self) -> None:
        try:
            gone = not self._plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._report()
        else:
            self._poll()

    def _poll(self) -> None:
        """A next request waits in the socket, which is readable from now on: ask TCP for its state instead."""
        self._watcher.stop()
        self._watcher.close()
        self._watcher = self._loop.timer(POLL_SECONDS, repeat=POLL_SECONDS)
        self._watcher.start(self._check_state)

    def _check_state(self) -> None:
        try:
            info = self._plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            gone = struct.unpack("B", info)[0] != _TCP_ESTABLISHED
        except OSError:
            gone = True
        if gone:
            self._report()

    def _report(self) -> None:
        self._watcher.stop()
        self._left()
