"""Writing log lines to standard output and standard error without ever delaying a stream.

A write to a pipe whose reader has stopped blocks for ever. In a worker a thread of the operating system therefore does
the writing; lines beyond its queue are dropped and counted.
"""

import atexit
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from gevent import monkey

MAX_QUEUED_LINES = 10_000
"""Lines that may wait for the thread; further ones are dropped."""
FLUSH_SECONDS = 1.0
"""Seconds that the end of the process waits for queued lines."""
BATCH_SECONDS = 0.02
"""Seconds for which the thread gathers lines before it writes."""
MAX_WRITE_BYTES = 4096
"""Bytes in one write: a pipe takes so many as one (PIPE_BUF), so that lines of several workers do not mix."""


class LogOutput:
    """A stream for log lines, written directly or, after `start`, through a thread.

    `clean` is applied to every line, to take secrets out of it.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.clean: Callable[[str], str] = str
        self._queue: Any = None
        self._taken = 0
        self._written = 0
        self._dropped = 0

    def start(self) -> None:
        """Write through a thread from now on. Call this in a worker: threads don't survive a fork."""
        # gevent's own queue and thread would run in the event loop, which must not block.
        self._queue = monkey.get_original("queue", "SimpleQueue")()
        monkey.get_original("_thread", "start_new_thread")(self._run, ())
        atexit.register(self._wait_until_written)

    def write(self, text: str) -> int:
        """Take a line, or drop and count it if MAX_QUEUED_LINES are waiting."""
        if self._queue is None:
            return self.stream.write(self.clean(text))
        if self._taken - self._written >= MAX_QUEUED_LINES:
            self._dropped += 1
            return len(text)
        if self._dropped:
            text = json.dumps({"event": "log_lines_dropped", "count": self._dropped}) + "\n" + text
            self._dropped = 0
        self._taken += 1
        self._queue.put(self.clean(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream if lines are written directly; the thread's writes are not buffered."""
        if self._queue is None:
            self.stream.flush()

    def _run(self) -> None:
        # Not through the stream: its lock, held by a thread that waits for ever, would not let the process end.
        descriptor = self.stream.fileno()
        sleep = monkey.get_original("time", "sleep")
        while True:
            lines = [self._queue.get()]
            # Waking a thread for each line costs more than the line itself, so gather lines for a moment.
            sleep(BATCH_SECONDS)
            lines += [self._queue.get() for _ in range(self._queue.qsize())]
            for batch in batches(lines):
                with contextlib.suppress(OSError):  # the reader has closed its end
                    while batch:
                        batch = batch[os.write(descriptor, batch) :]
            self._written += len(lines)

    def _wait_until_written(self) -> None:
        sleep = monkey.get_original("time", "sleep")
        for _ in range(int(FLUSH_SECONDS / 0.01)):
            if self._written == self._taken:
                break
            sleep(0.01)


def batches(lines: list[str]) -> Iterator[bytes]:
    """Yield the encoded lines, joined up to MAX_WRITE_BYTES; a longer line is alone in its batch."""
    batch = b""
    for line in lines:
        encoded = line.encode(errors="backslashreplace")
        if batch and len(batch) + len(encoded) > MAX_WRITE_BYTES:
            yield batch
            batch = b""
        batch += encoded
    yield batch
