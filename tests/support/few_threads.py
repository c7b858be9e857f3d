"""Model servers that serve few connections at a time: a pool of threads, and plain gunicorn with one sync worker.

Each thread serves one connection from its accept to its close, and waits for `KEEP_ALIVE` seconds for the next request,
as the HTTP server inside of llama-server does.
"""

import contextlib
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from fake_upstream import DONE, END, chunks, event, head
from running_server import free_port
from waiting import wait_until

KEEP_ALIVE = 12.0
ANSWER = b"".join([head(), *map(event, chunks("Hello there")), event(DONE), END])
SYNC_APP = """
def app(environ, start_response):
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("content-type", "text/event-stream")])
    return [{payloads!r}]
"""


def _serve(connection: socket.socket) -> None:
    connection.settimeout(KEEP_ALIVE)
    with connection, contextlib.suppress(OSError):
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                received = connection.recv(65536)
                if not received:
                    return
                request += received
            start, _, body = request.partition(b"\r\n\r\n")
            length = int(start.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            connection.sendall(ANSWER)


@contextlib.contextmanager
def threaded(threads: int) -> Iterator[str]:
    """Yield the base URL of a server with so many threads."""
    waiting: queue.Queue[socket.socket] = queue.Queue()

    def work() -> None:
        while True:
            _serve(waiting.get())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                waiting.put(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        for target in [work] * threads + [accept]:
            threading.Thread(target=target, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def sync_gunicorn(folder: Path) -> Iterator[str]:
    """Yield the base URL of plain gunicorn with its default worker."""
    port = free_port()
    payloads = b"".join(b"data: " + payload + b"\n\n" for payload in [*chunks("Hello there"), DONE])
    (folder / "small_model.py").write_text(SYNC_APP.format(payloads=payloads))
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "small_model:app"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: listens(port))
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
