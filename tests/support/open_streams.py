"""Streams that are open while a test does something to the server, and what is heard of them."""

import concurrent.futures
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from fake_upstream import DONE, END, Call, Step, chunks, event, events, text_chunk
from running_server import RunningServer, post, receive_until

MESSAGES = {"messages": [{"role": "user", "content": "Are you open?"}]}


def until(stop: threading.Event) -> Callable[[Call], Iterator[Step]]:
    """Return the script of an answer that goes on until the event is set."""

    def script(call: Call) -> Iterator[Step]:
        yield from events(chunks("Hello there")[:3])
        while not stop.is_set():
            yield 0.05
            yield event(text_chunk("chatcmpl-fake", " and"))
        yield from [event(chunks("")[-1]), event(DONE) + END]

    return script


def begin(server: RunningServer, stack: contextlib.ExitStack, count: int = 1) -> list[socket.socket]:
    """Open so many streams, called `stream-0` and so on, and hear the first word of each; return their connections."""
    connections = [stack.enter_context(server.connect()) for _ in range(count)]
    for number, connection in enumerate(connections):
        request = post("/chat/completions", MESSAGES, x_request_id=f"stream-{number}", connection="close")
        connection.sendall(request)
    for connection in connections:
        assert b"Hello" in receive_until(connection, b"Hello")
    return connections


def hear_all(connections: list[socket.socket]) -> list[bytes]:
    """Return what each connection receives up to its end."""
    with concurrent.futures.ThreadPoolExecutor(len(connections)) as pool:
        return list(pool.map(lambda connection: receive_until(connection, b"no such bytes"), connections))
