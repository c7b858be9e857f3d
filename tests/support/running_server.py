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
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
START_TIMEOUT = 60.0
GATHERED_SECONDS = 0.05
"""The server writes its log lines a little later than it makes them, several together."""
LEAST_KEY_CHARACTERS = 12
OWN_PORTS = range(10_000, 32_000)
"""Ports that the system gives to nobody who takes any: one that is chosen is bound a little later."""


class ServerDidNotStart(Exception):
    """It ended (`returncode`) or did not answer `GET /health` in time (None); `output` is what it printed."""

    def __init__(self, returncode: int | None, output: str) -> None:
        super().__init__(f"return code {returncode}\n{output}")
        self.returncode = returncode
        self.output = output


class RunningServer:
    """The server's process and what it prints."""

    def __init__(
        self, command: Sequence[str], port: int, env: Mapping[str, str], cwd: Path, host: str = "127.0.0.1"
    ) -> None:
        self.host = host
        self.port = port
        self.url = f"http://{host}:{port}"
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._printed = b""
        self._keys = keys_in(env)
        self._process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.pid = self._process.pid

    def output(self) -> str:
        """All that was printed so far, on stdout and stderr."""
        if self._process.poll() is None:
            time.sleep(GATHERED_SECONDS)
        return self._output()

    def _output(self) -> str:
        if not self._log.closed:
            # The offset is the server's too: pread leaves it where it is.
            self._printed = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0)
        return self._printed.decode(errors="replace")

    def read_log(self, offset: int) -> bytes:
        """What was printed from this byte on, for whoever reads along."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size - offset, offset)

    def lines(self) -> list[str]:
        """The output's lines."""
        return self.output().splitlines()

    def request_ends(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The log lines that end a request, so far: of all requests, or of one."""
        return self._ends(self.output(), request_id)

    @staticmethod
    def _ends(output: str, request_id: str | None) -> list[dict[str, Any]]:
        whole = output.rpartition("\n")[0]  # without a line that is being written
        of_it = request_id or ""
        logged = [json.loads(line) for line in whole.splitlines() if line.startswith("{") and of_it in line]
        ends = [line for line in logged if line["event"] == "request_end"]
        return [line for line in ends if request_id in (None, line["id"])]

    def wait_for_end(self, request_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """The one log line that ends this request; AssertionError if it does not come in time, or comes twice."""
        deadline = time.monotonic() + timeout
        while not (ends := self._ends(self._output(), request_id)):
            if time.monotonic() > deadline:
                raise AssertionError(f"no request_end of {request_id} within {timeout} s")
            time.sleep(0.01)
        (end,) = ends
        return end

    def connect(self) -> socket.socket:
        """A connection to the server, for a client that does what no library would."""
        return socket.create_connection((self.host, self.port), timeout=30.0)

    def refuses(self) -> bool:
        """Whether a new connection is refused; one that is reset came while the server was about to stop listening."""
        try:
            with contextlib.suppress(ConnectionResetError):
                self.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def worker_pids(self) -> list[int]:
        """The workers that live now, oldest first; read from /proc, so on Linux only."""
        return sorted(pid for pid in _processes() if _parent(pid) == self.pid and _is_gunicorn(pid))

    def wait_for_exit(self, timeout: float = 30.0) -> int:
        """The return code, once the server has ended by itself."""
        return self._process.wait(timeout)

    def is_listening(self, pid: int) -> bool:
        """Whether this worker still takes connections; read from /proc, so on Linux only."""
        sockets = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        wanted = {f"socket:[{row[9]}]" for row in sockets if row[3] == "0A" and row[1].endswith(f":{self.port:04X}")}
        held = set()
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                held.add(os.readlink(file))
        return not wanted.isdisjoint(held)

    def signal(self, number: int) -> None:
        """Send a signal to gunicorn's master."""
        self._process.send_signal(number)

    def stop(self, timeout: float = 20.0) -> int:
        """SIGTERM, and SIGKILL for all that still lives after `timeout` seconds; gives the return code."""
        return self._stop(signal.SIGTERM, timeout)

    def close(self) -> None:
        """Leave no process behind; the output can be read on. Whatever was tested, no key may stand in it."""
        self._stop(signal.SIGQUIT, 20.0)  # sooner than SIGTERM
        self._kill()
        printed = self.output()
        self._log.close()
        assert not [key for key in self._keys if key in printed], "a key in the log"

    def wait_until_healthy(self, timeout: float = START_TIMEOUT) -> None:
        """Raises ServerDidNotStart when it ends before `GET /health` answers 200, or takes too long."""
        deadline = time.monotonic() + timeout
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerDidNotStart(self._process.returncode, self.output())
            time.sleep(0.02)

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=1.0)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self, how: int, timeout: float) -> int:
        self.signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        self._kill()
        return self._process.wait()

    def _kill(self) -> None:
        # The group outlives its leader while a worker lives, and only then.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Held:
    """What a process holds now, and the seconds of CPU that it has used; read from /proc, so on Linux only."""

    fds: int
    threads: int
    rss_bytes: int
    cpu_seconds: float


def held_by(pid: int) -> Held:
    """The figures of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    rss_bytes = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    fds = len(os.listdir(f"/proc/{pid}/fd"))
    return Held(fds, int(fields[17]), rss_bytes, ticks / os.sysconf("SC_CLK_TCK"))


def hooked(directory: Path, code: str) -> tuple[str, str]:
    """Arguments for gunicorn: its usual configuration, and `code`, run in each worker that has loaded the app."""
    file = directory / "hooked.conf.py"
    lines = (
        f"exec(compile(open({str(ROOT / 'gunicorn.conf.py')!r}).read(), 'gunicorn.conf.py', 'exec'))",
        "usual = post_worker_init",
        "def post_worker_init(worker):",
        f"    exec({code!r}, {{'worker': worker}})",
        "    usual(worker)",
    )
    file.write_text("\n".join([*lines, ""]))
    return ("-c", str(file))


QUICK = {"RAG_TIER": "lexical"}
"""The embedded encoder would be loaded by every server; tests that want it ask for it."""


@contextlib.contextmanager
def running_server(
    env: Mapping[str, str],
    *,
    argv: Sequence[str] = (),
    cwd: Path = ROOT,
    blank: Iterable[str] | None = None,
    wrapped: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    start_timeout: float = START_TIMEOUT,
) -> Iterator[RunningServer]:
    """The server, healthy, for the length of a `with` block; `argv` are further arguments for gunicorn.

    `blank` are the variables that are empty unless `env` has them; by default every setting's names.
    `wrapped` is a command that becomes the one behind it: `("nice",)`.
    """
    port = port or free_port()
    gunicorn = (sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"{host}:{port}")
    names = setting_names() if blank is None else blank
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, "PYTHONUNBUFFERED": "1", **dict.fromkeys(names, ""), **QUICK, **env}
    server = RunningServer([*wrapped, *gunicorn, *argv, "app:app"], port, environment, cwd, host)
    try:
        server.wait_until_healthy(start_timeout)
        # One of several workers may answer before the others have started.
        workers = int(env.get("WEB_CONCURRENCY") or 1)
        wait_until(lambda: workers == 1 or server.output().count("recordings_loaded") >= workers)
        yield server
    finally:
        server.close()


def copy_project(folder: Path) -> None:
    """Copy what a server needs, to be changed.

    With what is compiled, which would take longer than the rest of a start, but for files that are being written now.
    """
    for name in ("app.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, folder)
    for name in ("blueprints", "parley", "kb_data", "audio_assets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))


def post(path: str, body: Any, **headers: str) -> bytes:
    """A request as bytes; `x_request_id="1"` becomes the header `x-request-id: 1`, and may replace one of ours."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"host": "parley", "content-type": "application/json", "content-length": str(len(content))}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def receive_until(connection: socket.socket, wanted: bytes) -> bytes:
    """What comes, up to these bytes or the connection's end."""
    received = b""
    while wanted not in received and (more := connection.recv(65536)):
        received += more
    return received


def payloads(stream: bytes) -> list[bytes]:
    """The payloads of a whole event stream of ours, which holds nothing else but the comment that names passages."""
    *frames, rest = stream.split(b"\n\n")
    events = [frame for frame in frames if not frame.startswith(b": citations ")]
    assert rest == b"" and all(event.startswith(b"data: ") for event in events), stream
    return [event.removeprefix(b"data: ") for event in events]


def keys_in(env: Mapping[str, str]) -> list[str]:
    """The keys that a server is given, as far as they are long enough to be told from words."""
    fallbacks = re.findall(r'"api_key": ?"([^"]+)"', env.get("LLM_FALLBACKS", ""))
    keys = [env.get("LLM_API_KEY", ""), env.get("OPENAI_API_KEY", ""), *env.get("API_KEYS", "").split(","), *fallbacks]
    return [key.strip() for key in keys if len(key.strip()) >= LEAST_KEY_CHARACTERS]


def setting_names() -> list[str]:
    """The variables of all settings, aliases included."""
    from parley.settings import Settings  # here, so that the rest needs no Parley at all

    rows = dataclasses.fields(Settings)
    return [name for row in rows for name in (row.name.upper(), *row.metadata["aliases"])]


def free_port() -> int:
    """Return a port of the loopback on which nobody listens now."""
    while True:
        # Not by hypothesis's seed, which processes that run tests at once have in common.
        port = secrets.choice(OWN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


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
