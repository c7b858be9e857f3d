"""An upstream that answers before it has read the body of a request, as proxies do for one that is too large.

    with EarlyUpstream(whole(b"{}", 413), "reset") as upstream:
        ...
    upstream.uploads    # connections on which a request's head came

What it does behind its answer is its `manner`: "close" closes with the body unread, which resets the connection once
the answer has been read or not; "reset" does so at once; "deaf" keeps the connection and never reads on; "late" answers
after it has read a part of the body.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

MANNERS = ("close", "reset", "deaf", "late")
PART = 1 << 16
"""Bytes of the body that a late one reads."""


class EarlyUpstream:
    """The server, for the length of a `with` block."""

    def __init__(self, answer: Iterable[bytes], manner: str, *, port: int = 0, certificate: Path | None = None) -> None:
        self.uploads = 0
        self._answer = b"".join(answer)
        self._manner = manner
        self._listener = socket.create_server(("127.0.0.1", port))
        self._deaf: list[socket.socket] = []
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(certificate)
        scheme, host = ("https", "localhost") if certificate else ("http", "127.0.0.1")
        self.base_url = f"{scheme}://{host}:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that is only closed leaves its thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._deaf:
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                # Without it the answer waits behind the session tickets, and a reset drops it.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._refuse, args=(connection,), daemon=True).start()

    def _refuse(self, connection: socket.socket) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        if self._manner == "deaf":
            self._deaf.append(connection)
        try:
            self._play(connection)
        except OSError:
            pass
        finally:
            if self._manner != "deaf":
                connection.close()

    def _play(self, connection: socket.socket) -> None:
        head = b""
        # A byte at a time: nothing of the body is taken.
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := connection.recv(1)):
                return
            head += byte
        self.uploads += head.startswith(b"POST")
        wanted = PART if self._manner == "late" else 0
        while wanted > 0:
            wanted -= len(connection.recv(wanted))
        connection.sendall(self._answer)
        if self._manner == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
