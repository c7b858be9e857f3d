"""The machine that measures: the C tools, one core for the target and another for the load, and what /proc tells."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
SOURCES, BUILD = BENCH / "src", BENCH / "build"
TOOLS = ("upstream", "load", "delay")
START_SECONDS = 60.0

CORES = sorted(os.sched_getaffinity(0))
TARGET_CORE, LOAD_CORE = CORES[0], CORES[-1]


def build() -> None:
    """Compile the C tools where they are missing or older than a source; ends the program where that can't be done."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        sys.exit(
            "bench: a C compiler is needed for the upstream and the load generator: apt-get install -y gcc libc6-dev"
        )
    BUILD.mkdir(exist_ok=True)
    newest = max(source.stat().st_mtime for source in SOURCES.iterdir())
    for tool in TOOLS:
        binary, source = BUILD / tool, SOURCES / f"{tool}.c"
        if not binary.exists() or binary.stat().st_mtime < newest:
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", binary, source, "-lm"], check=True)


def free_port() -> int:
    """A port of the loopback on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Tree:
    """A program and all processes that it starts: they run in a session of their own, which it leads."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cores: Sequence[int],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: IO[bytes] | None = None,
    ) -> None:
        output = log or subprocess.DEVNULL
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def pids(self) -> list[int]:
        """Its live processes, oldest first."""
        return sorted(pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._has(pid))

    def cpu_seconds(self) -> float:
        """User and system time of all its threads, to the nanosecond."""
        return self._schedstat(0)

    def waited_seconds(self) -> float:
        """How long its threads could have run, had others not been on the core."""
        return self._schedstat(1)

    def memory_kib(self) -> int:
        """Its proportional set size: a page that two processes share counts once."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total

    def wait_for(self, port: int) -> None:
        """Until it listens there. Raises RuntimeError where it ends before, or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.process.args!r} does not listen on port {port}")

    def stop(self) -> None:
        """End all of it, gently at first."""
        for number, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 2.0)):
            # The leader tells the others; whoever outlives it is told directly.
            for pid in [self.process.pid] if number == signal.SIGTERM else self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
            if not self.pids():
                return

    def _schedstat(self, field: int) -> float:
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):  # gone meanwhile
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    total += int((thread / "schedstat").read_text().split()[field])
        return total / 1e9

    def _has(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            state, _parent, _group, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
            return int(session) == self.process.pid and state != "Z"
        return False


@contextlib.contextmanager
def running(tree: Tree, port: int) -> Iterator[Tree]:
    """The program, listening, for the length of a `with` block."""
    try:
        tree.wait_for(port)
        yield tree
    finally:
        tree.stop()
