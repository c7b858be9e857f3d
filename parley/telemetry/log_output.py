"""Where log lines go: standard output and standard error, never at the expense of a stream.

A write to a pipe whose reader has stopped waits for ever; so in a worker a thread of the operating system's writes, and
what is too much for it is dropped and counted.
"""

import atexit
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from gevent import monkey

MOST_WAITING_LINES = 10_000
FLUSH_SECONDS = 1.0
GATHER_SECONDS = 0.02
PIECE_BYTES = 4096


class LogOutput:
    """A stream for log lines: written directly, or through a thread. `clean` is applied to all that passes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.clean: Callable[[str], str] = str
        self._queue: Any = None
        self._taken = 0
        self._written = 0
        self._dropped = 0

    def start(self) -> None:
        """Hand lines to a thread from now on. To be called in a worker: threads don't survive a fork."""
        # gevent's own kinds of these would run in the event loop, which is what must not wait.
        self._queue = monkey.get_original("queue", "SimpleQueue")()
        monkey.get_original("_thread", "start_new_thread")(self._run, ())
        atexit.register(self._drain)

    def write(self, text: str) -> int:
        """Take a line; where very many are waiting already, it is dropped and counted."""
        if self._queue is None:
            return self.stream.write(self.clean(text))
        if self._taken - self._written >= MOST_WAITING_LINES:
            self._dropped += 1
            return len(text)
        if self._dropped:
            text = json.dumps({"event": "log_lines_dropped", "count": self._dropped}) + "\n" + text
            self._dropped = 0
        self._taken += 1
        self._queue.put(self.clean(text))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back where lines are written directly; the thread holds nothing back."""
        if self._queue is None:
            self.stream.flush()

    def _run(self) -> None:
        # Not through the stream: its lock, held by a thread that waits for ever, would not let the process end.
        descriptor = self.stream.fileno()
        sleep = monkey.get_original("time", "sleep")
        while True:
            lines = [self._queue.get()]
            # To wake a thread for each line costs more than the line itself; what comes meanwhile is written along.
            sleep(GATHER_SECONDS)
            lines += [self._queue.get() for _ in range(self._queue.qsize())]
            for together in _in_pieces(lines):
                with contextlib.suppress(OSError):  # nobody reads any more
                    while together:
                        together = together[os.write(descriptor, together) :]
            self._written += len(lines)

    def _drain(self) -> None:
        """Give the thread a moment for what is waiting."""
        sleep = monkey.get_original("time", "sleep")
        for _ in range(int(FLUSH_SECONDS / 0.01)):
            if self._written == self._taken:
                break
            sleep(0.01)


def _in_pieces(lines: list[str]) -> Iterator[bytes]:
    """The lines in pieces that a pipe takes as one, so that the lines of several workers do not mix (PIPE_BUF)."""
    piece = b""
    for line in lines:
        encoded = line.encode(errors="backslashreplace")
        if piece and len(piece) + len(encoded) > PIECE_BYTES:
            yield piece
            piece = b""
        piece += encoded
    yield piece
