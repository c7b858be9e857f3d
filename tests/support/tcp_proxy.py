"""A proxy between a client and a server that delays, holds or cuts, at a word of the test's.

with TcpProxy(port) as proxy:
    proxy.delay = 0.01      each way, in seconds
    proxy.hold = True       bytes arrive and go no further; nor do new connections get an answer
    proxy.cut()             all connections end
    proxy.refuse()          nobody listens any more; `listen()` ends it
"""

import contextlib
import select
import socket
import threading
import time
from collections import deque
from typing import Self

LOOK_SECONDS = 0.002
"""Most seconds between two looks at what the test has said meanwhile."""


class TcpProxy:
    """A proxy on a port of its own (`port`), in a thread."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.delay = 0.0
        self.hold = False
        self._ended = False
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._late: deque[tuple[float, socket.socket, bytes]] = deque()
        self._listener = self._bound(0)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join(5)
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """End all connections."""
        for one in list(self._pairs):
            self._close(one)

    def refuse(self) -> None:
        """Listen no more, and end all connections."""
        self._listener.close()
        self.cut()

    def listen(self) -> None:
        """Listen again, on the port as before."""
        self._listener = self._bound(self.port)

    @staticmethod
    def _bound(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    def _serve(self) -> None:
        while not self._ended:
            self._send_late()
            try:
                ready, _, _ = select.select(self._readable(), [], [], self._pause())
            except (OSError, ValueError):  # closed by the test meanwhile
                continue
            for one in ready:
                self._accept() if one is self._listener else self._pass_on(one)

    def _pause(self) -> float:
        """Return the seconds until the next bytes are due, or until the next look."""
        if self.hold or not self._late:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(0.0, self._late[0][0] - time.monotonic()))

    def _readable(self) -> list[socket.socket]:
        if self.hold:
            return []
        return [*self._pairs, *([self._listener] if self._listener.fileno() >= 0 else [])]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=1)
            except OSError:
                client.close()
                return
            self._pairs[client], self._pairs[server] = server, client

    def _pass_on(self, one: socket.socket) -> None:
        other = self._pairs.get(one)
        try:
            data = one.recv(65_536)
        except OSError:
            data = b""
        if not data or other is None:
            self._close(one)
        else:
            self._late.append((time.monotonic() + self.delay, other, data))
            self._send_late()

    def _send_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic() and not self.hold:
            _, other, data = self._late.popleft()
            try:
                other.sendall(data)
            except OSError:
                self._close(other)

    def _close(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        one.close()
        if other is not None:
            self._pairs.pop(other, None)
            other.close()
