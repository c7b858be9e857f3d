"""The real server, started as a deployment starts it: gunicorn with gevent workers, in a process of its own.

    with FakeUpstream() as upstream, running_server({"LLM_BASE_URL": upstream.base_url}) as server:
        requests.post(f"{server.url}/chat/completions", json=...)
        server.signal(signal.SIGTERM)

It sees only the settings that the test gives. The variables of whoever runs the tests are not handed on, and
every setting not given is set to the empty string, which counts as unset and which `.env` can't override.
"""

import contextlib
import dataclasses
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
START_TIMEOUT = 15.0


class ServerDidNotStart(Exception):
    """It ended (`returncode`) or did not answer `GET /health` in time (None); `output` is what it printed."""

    def __init__(self, returncode: int | None, output: str) -> None:
        super().__init__(f"return code {returncode}\n{output}")
        self.returncode = returncode
        self.output = output


class RunningServer:
    """The server's process and what it prints."""

    def __init__(self, command: Sequence[str], port: int, env: Mapping[str, str], cwd: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._printed = b""
        self._process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.pid = self._process.pid

    def output(self) -> str:
        """All that was printed so far, on stdout and stderr."""
        if not self._log.closed:
            # The offset is the server's too: pread leaves it where it is.
            self._printed = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0)
        return self._printed.decode(errors="replace")

    def lines(self) -> list[str]:
        """The output's lines."""
        return self.output().splitlines()

    def worker_pids(self) -> list[int]:
        """The workers that live now, oldest first; read from /proc, so on Linux only."""
        return sorted(pid for pid in _processes() if _parent(pid) == self.pid and _is_gunicorn(pid))

    def signal(self, number: int) -> None:
        """Send a signal to gunicorn's master."""
        self._process.send_signal(number)

    def stop(self, timeout: float = 5.0) -> int:
        """SIGTERM, and SIGKILL for all that still lives after `timeout` seconds; gives the return code."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        self._kill()
        return self._process.wait()

    def close(self) -> None:
        """Leave no process behind; the output can be read on."""
        self.stop()
        self._kill()
        self.output()
        self._log.close()

    def wait_until_healthy(self) -> None:
        """Raises ServerDidNotStart when it ends before `GET /health` answers 200, or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerDidNotStart(self._process.returncode, self.output())
            time.sleep(0.02)

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1.0)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _kill(self) -> None:
        # The group outlives its leader while a worker lives, and only then.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def running_server(
    env: Mapping[str, str],
    *,
    argv: Sequence[str] = (),
    cwd: Path = ROOT,
    blank: Iterable[str] | None = None,
) -> Iterator[RunningServer]:
    """The server, healthy, for the length of a `with` block; `argv` are further arguments for gunicorn.

    `blank` are the variables that are empty unless `env` has them; by default every setting's names.
    """
    port = free_port()
    gunicorn = (sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}")
    names = setting_names() if blank is None else blank
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, "PYTHONUNBUFFERED": "1", **dict.fromkeys(names, ""), **env}
    server = RunningServer([*gunicorn, *argv, "app:app"], port, environment, cwd)
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.close()


def setting_names() -> list[str]:
    """The variables of all settings, aliases included."""
    from parley.settings import Settings  # here, so that the rest needs no Parley at all

    rows = dataclasses.fields(Settings)
    return [name for row in rows for name in (row.name.upper(), *row.metadata["aliases"])]


def free_port() -> int:
    """A port of the loopback on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError):  # gone meanwhile
        stat = Path(f"/proc/{pid}/stat").read_text()
        state, parent = stat.rpartition(")")[2].split()[:2]
        return None if state == "Z" else int(parent)
    return None


def _is_gunicorn(pid: int) -> bool:
    """A worker, not the embedded model's server: a fork keeps its master's command line."""
    with contextlib.suppress(OSError):
        return b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
