"""Log lines are written directly or by a thread, whole, in order, and dropped above a bound."""

import contextlib
import io
import os
import threading
from typing import Any, cast

import pytest
from gevent import monkey

from parley.telemetry import log_output
from parley.telemetry.log_output import LogOutput, batches


class Stuck:
    """A queue that nobody empties."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def put(self, text: str) -> None:
        self.taken.append(text)


def stuck() -> LogOutput:
    """Return an output whose thread never writes."""
    output = LogOutput(io.StringIO())
    output._queue = Stuck()
    return output


def test_lines_that_nobody_reads_are_dropped_above_a_bound() -> None:
    output = stuck()

    for _ in range(10_100):
        output.write("line\n")

    assert (output._taken, output._dropped) == (10_000, 100)


def test_the_next_line_says_how_many_were_dropped() -> None:
    output = stuck()
    for _ in range(10_003):
        output.write("line\n")
    output._written = 1

    output.write("next\n")

    assert output._queue.taken[-1] == '{"event": "log_lines_dropped", "count": 3}\nnext\n'
    assert output._dropped == 0


def test_before_the_start_lines_are_written_directly_and_cleaned() -> None:
    stream = io.StringIO()
    output = LogOutput(stream)
    output.clean = lambda text: text.replace("secret", "***")

    output.write("a secret\n")

    assert stream.getvalue() == "a ***\n"


@pytest.mark.row("RF-24")
@pytest.mark.parametrize("fault", [BrokenPipeError(32, ""), OSError(28, "no space"), OSError(5, "I/O error")], ids=repr)
def test_lines_that_can_not_be_written_are_counted(monkeypatch: pytest.MonkeyPatch, fault: OSError) -> None:
    written: list[bytes] = []
    broken = True

    def write(_descriptor: int, data: bytes) -> int:
        if broken and written:
            raise fault
        # The first write is cut.
        written.append(data[:3] if broken else data)
        return len(written[-1])

    output = LogOutput(cast(Any, type("Stream", (), {"fileno": lambda _self: 1})()))
    monkeypatch.setattr(os, "write", write)
    for number in range(3):
        assert output.write(f"line {number}\n") == 7
    broken = False
    output.write("again\n")
    output.write("and again\n")

    told = b'\n{"event": "log_lines_dropped", "count": 3}\nagain\n'
    assert written == [b"lin", told, b"and again\n"]


@pytest.mark.row("RF-24")
def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    source, target = os.pipe()
    os.set_blocking(target, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(target, b"x" * 4096)
    reader = threading.Timer(0.05, os.read, (source, 1 << 20))
    reader.start()

    assert log_output.write_what_goes(target, b"line\n", may_wait=False) == 0
    assert log_output.write_what_goes(target, b"line\n", may_wait=True) == 5
    reader.join()


@pytest.mark.row("RF-24")
def test_without_a_stream_lines_are_dropped() -> None:
    output = LogOutput(None)
    assert output.write("line\n") == 5
    output.stream.close()


def test_the_thread_writes_all_lines_in_order() -> None:
    source, target = os.pipe()
    with os.fdopen(source) as read, os.fdopen(target, "w") as write:
        output = LogOutput(write)
        # The thread lives as long as the process, so it gets a descriptor that the test does not close.
        lasting = os.dup(target)
        output.stream = cast(Any, type("Stream", (), {"fileno": lambda _self: lasting})())
        output.start()
        for number in range(100):
            output.write(f"line {number}\n")

        assert [next(read) for _ in range(100)] == [f"line {number}\n" for number in range(100)]


def test_at_the_end_of_the_process_queued_lines_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    output = stuck()
    output._taken = 5
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        output._written += 1

    monkeypatch.setattr(monkey, "get_original", lambda *_: sleep)
    output._wait_until_written()

    assert len(slept) == 5 and sum(slept) < log_output.FLUSH_SECONDS


def test_a_batch_is_not_larger_than_a_pipe_takes_as_one() -> None:
    lines = ["x" * 3000 + "\n", "y" * 1000 + "\n", "z" * 2000 + "\n", "\udc80\n"]

    joined = list(batches(lines))

    assert [len(batch) for batch in joined] == [4002, 2001 + len(b"\\udc80\n")]
    assert list(batches(["w" * 9000])) == [b"w" * 9000]
