"""Writing log lines to standard output and standard error without ever delaying a stream.

A write to a pipe whose reader has stopped blocks for ever. In a worker a thread of the operating system therefore does
the writing; lines beyond its queue are dropped and counted. So are lines that can't be written, because the reader has
gone (EPIPE) or the disk is full: a call is worth more than its log line. The first line that can be written again says
how many are missing.
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

    `clean` is applied to every line, to take secrets out of it. Without a stream (its descriptor was closed before the
    start) lines are dropped.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream or open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
        self.clean: Callable[[str], str] = str
        self._queue: Any = None
        self._taken = 0
        self._written = 0
        self._dropped = 0
        # Lines that could not be written, and whether the last one was cut.
        self._lost = 0
        self._is_cut = False

    def start(self) -> None:
        """Write through a thread from now on. Call this in a worker: threads don't survive a fork."""
        # gevent's own queue and thread would run in the event loop, which must not block.
        self._queue = monkey.get_original("queue", "SimpleQueue")()
        monkey.get_original("_thread", "start_new_thread")(self._run, ())
        atexit.register(self._wait_until_written)

    def write(self, text: str) -> int:
        """Take a line, or drop and count it if MAX_QUEUED_LINES are waiting."""
        if self._queue is None:
            try:
                descriptor = self.stream.fileno()
            except (OSError, ValueError):  # a stream in memory
                return self.stream.write(self.clean(text))
            # Not through the stream, which would keep what can't be written, and fail again at each later write.
            for batch in batches([self.clean(text)]):
                self._write(descriptor, batch)
            return len(text)
        if self._taken - self._written >= MAX_QUEUED_LINES:
            self._dropped += 1
            return len(text)
        if self._dropped:
            text = dropped_line(self._dropped) + text
            self._dropped = 0
        self._taken += 1
        self._queue.put(self.clean(text))
        return len(text)

    def flush(self) -> None:
        """Do nothing: no write is buffered here. Loggers call it."""

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
                self._write(descriptor, batch)
            self._written += len(lines)

    def _write(self, descriptor: int, batch: bytes) -> None:
        """Write lines, or count them as lost; before the first that can be written again, tell how many were."""
        data = batch
        if self._lost:
            data = (b"\n" if self._is_cut else b"") + dropped_line(self._lost).encode() + batch
        written = write_what_goes(descriptor, data, may_wait=self._queue is not None)
        if written == len(data):
            self._lost, self._is_cut = 0, False
        else:
            self._lost += batch.count(b"\n")
            self._is_cut = data[written - 1 : written] != b"\n" if written else self._is_cut

    def _wait_until_written(self) -> None:
        sleep = monkey.get_original("time", "sleep")
        for _ in range(int(FLUSH_SECONDS / 0.01)):
            if self._written == self._taken:
                break
            sleep(0.01)


def dropped_line(count: int) -> str:
    """Return the line that tells of so many dropped ones."""
    return json.dumps({"event": "log_lines_dropped", "count": count}) + "\n"


def write_what_goes(descriptor: int, data: bytes, *, may_wait: bool) -> int:
    """Write the bytes, and return how many could be; with `may_wait`, wait for a pipe that is non-blocking and full."""
    written = 0
    with contextlib.suppress(OSError):  # the reader has gone, or the disk is full
        while written < len(data):
            try:
                written += os.write(descriptor, data[written:])
            except BlockingIOError:
                if not may_wait:
                    break
                monkey.get_original("time", "sleep")(BATCH_SECONDS)
    return written


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
