"""`flask chat`: lines of a pipe are turns; on a terminal Ctrl-C interrupts an answer, Ctrl-D leaves."""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from fake_upstream import DONE, END, FakeUpstream, answer, chunk, chunks, event, events, refusal
from running_server import ROOT, free_port

from app import create_app
from parley.settings import Settings

KEY = "canary-of-a-caller-0123456789"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """Yield a fake that answers in the server's place."""
    with FakeUpstream() as fake:
        fake.script = answer("Yes, we are.")
        yield fake


def chat(upstream: FakeUpstream, lines: str, *args: str) -> Result:
    command = ["chat", "--url", f"http://127.0.0.1:{upstream.port}", "--key", KEY, *args]
    return create_app(Settings()).test_cli_runner().invoke(args=command, input=lines)


def test_a_pipe_gets_the_answers_alone(upstream: FakeUpstream) -> None:
    result = chat(upstream, "Are you open?\n\n  \nAnd now?\n", "--endpoint", "chat")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Yes, we are.\nYes, we are.\n", "")
    assert len(upstream.calls[-1].json["messages"]) == 3 and KEY not in result.output


def test_the_first_failure_ends_a_pipe(upstream: FakeUpstream) -> None:
    upstream.enqueue(answer("Yes."), refusal(503, {"message": "Warming up."}))
    result = chat(upstream, "One\nTwo\nThree\n")
    assert result.exit_code == 1 and "Warming up." in result.stderr and len(upstream.calls) == 2


def test_commands_choose_and_forget(upstream: FakeUpstream) -> None:
    upstream.script = [
        *events([*chunks("Nine.")[:-1], chunk({}, "stop", citations=[{"id": "a", "title": "Hours"}]), DONE]),
        END,
    ]
    result = chat(upstream, "/rag\nWhen?\n/passages\n/chat\n/new\nAgain?\n/raw\nOnce more?\n/nonsense\n")
    assert [call.path for call in upstream.calls] == ["/rag/chat/completions", *["/chat/completions"] * 2]
    assert [len(call.json["messages"]) for call in upstream.calls] == [1, 1, 3]
    assert "a  Hours" in result.stdout and "[DONE]" in result.stdout and "/passages" in result.stderr


def test_nobody_there_names_make_run() -> None:
    result = (
        create_app(Settings())
        .test_cli_runner()
        .invoke(args=["chat", "--url", f"http://127.0.0.1:{free_port()}"], input="Hello\n")
    )
    assert result.exit_code == 1 and "make run" in result.stderr


def test_sound_is_saved(upstream: FakeUpstream, tmp_path: Path) -> None:
    delta = {"role": "assistant", "audio": {"transcript": "Hello.", "data": "AAAAAA=="}}
    upstream.script = [*events([chunk(delta), chunk({}, "stop"), DONE]), END]
    result = chat(upstream, "Hello\n", "--endpoint", "audio", "--save", str(tmp_path / "a.wav"))
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 2)
    assert result.stdout == "Hello.\n"


@pytest.mark.parametrize("args", [("--url", "ftp://x"), ("--as", "retell"), ("--endpoint", "models")])
def test_what_is_not_understood_exits_with_two(upstream: FakeUpstream, args: tuple[str, ...]) -> None:
    assert chat(upstream, "", *args).exit_code == 2


class Terminal:
    """A terminal's outer end, whose output is read once, up to words that are waited for."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._shown = b""

    def wait_for(self, wanted: bytes) -> None:
        """Read up to these bytes; fail if they do not come."""
        deadline = time.monotonic() + 20
        while wanted not in self._shown:
            assert time.monotonic() < deadline, self._shown
            if select.select([self._end], [], [], 0.1)[0]:
                self._shown += os.read(self._end, 4096)
        self._shown = self._shown.partition(wanted)[2]

    def type(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._end, keys)


@pytest.mark.slow
def test_a_terminal_interrupts_and_leaves(upstream: FakeUpstream) -> None:
    go_on = threading.Event()
    upstream.enqueue([*events(chunks("one two three")[:3]), go_on, event(DONE), END])
    command = [sys.executable, "-m", "flask", "--app", "app", "chat", "--endpoint", "chat"]
    terminal, inner = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb"}
    address = ["--url", f"http://127.0.0.1:{upstream.port}"]
    with subprocess.Popen(
        [*command, *address],
        cwd=ROOT,
        env=environment,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        # Shells let their jobs in the background ignore what Ctrl-C sends.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        os.close(inner)
        try:
            screen = Terminal(terminal)
            screen.wait_for(b"chat > ")
            screen.type(b"Count.\n")
            screen.wait_for(b"two")
            process.send_signal(signal.SIGINT)  # what Ctrl-C sends
            screen.wait_for(b"first ")
            screen.wait_for(b"interrupted")
            screen.wait_for(b"chat > ")
            screen.type(b"Again.\n")
            screen.wait_for(b"we are.")
            screen.wait_for(b"chat > ")
            screen.type(b"\x04")
            assert process.wait(20) == 0
        finally:
            process.kill()
    os.close(terminal)
    upstream.wait_until(upstream.calls[0].finished.is_set)
    assert upstream.calls[0].outcome == "peer_left"
    heard = upstream.calls[1].json["messages"][1]
    assert heard["content"] == "one two" and heard["metadata"]["interrupted"]
