"""A log that can't be written, for want of a reader or of space, costs lines and nothing else."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, completion
from running_server import RunningServer, running_server
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.row("RF-24")]
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello?"}], "stream": False}


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = completion("Hello there")
        yield fake


def redirected(where: str) -> tuple[str, ...]:
    """Return the command that starts the one behind it with these redirections."""
    return ("bash", "-c", f'exec "$@" {where}', "bash")


def ask(server: RunningServer, count: int = 1) -> None:
    for _ in range(count):
        assert requests.post(f"{server.url}/chat/completions", json=HELLO, timeout=20).status_code == 200


def reload(server: RunningServer) -> None:
    """Reload, and wait until the new worker alone is there."""
    old = set(server.worker_pids())
    server.signal(signal.SIGHUP)
    wait_until(lambda: (pids := set(server.worker_pids())) and not pids & old)


@pytest.mark.parametrize(
    ("form", "where"),
    [("text", ">/dev/full 2>/dev/full"), ("json", ">/dev/full"), ("text", ">&-"), ("json", ">&- 2>&-")],
    ids=["text-both full", "json-full", "text-closed", "json-both closed"],
)
def test_a_log_that_never_could_be_written_stops_no_call(upstream: FakeUpstream, form: str, where: str) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "LOG_FORMAT": form}
    with running_server(settings, wrapped=redirected(where)) as server:
        ask(server)
        reload(server)
        ask(server)
        assert server.stop(timeout=10) == 0


@pytest.mark.parametrize("both", [True, False], ids=["both", "stdout"])
def test_a_readers_death_stops_no_call_and_the_log_comes_back(
    upstream: FakeUpstream, tmp_path: Path, *, both: bool
) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    where = f">{pipe} 2>&1" if both else f">{pipe}"
    with running_server({"LLM_BASE_URL": upstream.base_url}, wrapped=redirected(where)) as server:
        wait_until(lambda: b'"listening"' in available(reader))
        os.close(reader)
        ask(server, 3)
        for _ in range(2):
            reload(server)
            ask(server)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        last = requests.post(f"{server.url}/chat/completions", json=HELLO, timeout=20).headers["x-request-id"]
        read = bytearray()
        wait_until(lambda: read.extend(available(reader)) or last.encode() in read)
        assert server.stop(timeout=10) == 0
    os.close(reader)


def available(reader: int) -> bytes:
    """Return what is in the pipe now."""
    with contextlib.suppress(BlockingIOError):
        return os.read(reader, 1 << 16)
    return b""
