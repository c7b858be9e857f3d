"""The scenarios, and one measurement of a target in one of them."""

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from measuring.machine import BUILD, LOAD_CORE
from measuring.targets import KEY, Running
from measuring.upstream import Upstream

HELD = 2000
HELD_SECONDS = 4.0
LEAVERS = 10
WATCHED_SECONDS = 3.0
REST_SECONDS = 4.0

Result = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """What the upstream says, how the load asks, and what it is for."""

    meaning: str
    tokens: int
    interval_us: int
    load: str
    together: int = 1


SCENARIOS = {
    "S0": Scenario("short streams, one after the other", 1, 0, "--answers 1000 --tokens 1"),
    "S1": Scenario("a stream of 64 chunks at full speed", 64, 0, "--answers 300 --tokens 64"),
    "S2": Scenario("50 streams, a chunk each 10 ms", 100, 10_000, "--clients 50 --answers 150 --tokens 100"),
    "S3": Scenario("500 streams, a chunk each 20 ms", 100, 20_000, "--clients 500 --answers 1000 --tokens 100"),
    "S4": Scenario(
        "100 streams at full speed", 200, 0, "--clients 100 --seconds 4 --tokens 200 --limit 30", together=8
    ),
    "S6": Scenario("JSON answers, 32 at once", 64, 0, "--clients 32 --seconds 3 --tokens 64 --whole --limit 20"),
    "S5": Scenario("2 000 streams held, a chunk a second", 100_000, 1_000_000, f"--clients {HELD} --ramp 500 --hold 7"),
}
LEAVING = {"talking": (200_000, -1), "silent": (1000, 3)}
"""Callers who leave after three words, while the upstream says one each 200 ms, and while it says nothing."""


def warm_up(target: Running, upstream: Upstream) -> None:
    """Short calls until all that is loaded or connected late has been."""
    upstream.set(20)
    start_load(target, "--clients 4 --answers 200 --limit 30").communicate()


def measure(name: str, target: Running, upstream: Upstream) -> Result:
    """The figures of one scenario: the load generator's (see src/load.c), and what the target spent."""
    if name == "leave":
        return {kind: leave(target, upstream, *how) for kind, how in LEAVING.items()}
    scenario = SCENARIOS[name]
    upstream.set(scenario.tokens, scenario.interval_us, together=scenario.together)
    before_kib = target.memory_kib()
    load = Load(target, upstream, scenario.load)
    held = _while_held(target, load) if "--hold" in scenario.load else {}
    result = load.result()
    if held:
        held["lost"] = HELD - result["open_at_end"]
        held["kib_a_stream"] = (held.pop("memory_kib") - before_kib) / max(result["open_at_end"], 1)
    _let_rest(upstream)
    return {**result, **held}


class Load:
    """A load generator that runs, and what target and upstream spend meanwhile."""

    def __init__(self, target: Running, upstream: Upstream, arguments: str) -> None:
        self._target, self._upstream = target, upstream
        self._before = self._spent()
        self.process = start_load(target, arguments)

    def result(self) -> Result:
        """When it has ended: its figures, with the CPU time of both others."""
        heard: Result = json.loads(self.process.communicate()[0])
        spent = zip(self._spent(), self._before, strict=True)
        names = ("target_cpu", "target_waited", "upstream_cpu")
        return heard | dict(zip(names, (after - before for after, before in spent), strict=True))

    def _spent(self) -> tuple[float, float, float]:
        return self._target.cpu_seconds(), self._target.waited_seconds(), self._upstream.tree.cpu_seconds()


def start_load(target: Running, arguments: str) -> subprocess.Popen[str]:
    """The load generator on its own core, asking this target."""
    where = ["--port", str(target.port), "--path", target.path, "--key", KEY]
    command = ["taskset", "-c", str(LOAD_CORE), str(BUILD / "load"), *where, *arguments.split()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _while_held(target: Running, load: Load) -> Result:
    """What a target spends on streams that say little; `cpu_share` is the part of a core."""
    assert load.process.stdout
    held: Result = json.loads(load.process.stdout.readline())
    time.sleep(1)  # after the rush
    before = target.cpu_seconds()
    time.sleep(HELD_SECONDS)
    return {**held, "cpu_share": (target.cpu_seconds() - before) / HELD_SECONDS, "memory_kib": target.memory_kib()}


def leave(target: Running, upstream: Upstream, interval_us: int, stall_at: int) -> list[float | None]:
    """Milliseconds until the upstream saw each caller leave; None, and the last, where it did not see it in time."""
    upstream.set(100_000, interval_us, stall_at=stall_at)
    taken: list[float | None] = []
    while len(taken) < LEAVERS and None not in taken:
        seen = upstream.stats()["left_early"]
        left_ns = _listen_and_leave(target)
        deadline = time.monotonic() + WATCHED_SECONDS
        while (stats := upstream.stats())["left_early"] == seen and time.monotonic() < deadline:
            time.sleep(0.005)
        gone = stats["left_early"] > seen
        taken.append((stats["last_left_ns"] - left_ns) / 1e6 if gone else None)
    return taken


def _listen_and_leave(target: Running) -> int:
    """Hear three words of a stream and hang up; the moment on the monotonic clock."""
    body = b'{"model":"fake","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
    head = (
        f"POST {target.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
    )
    with socket.create_connection(("127.0.0.1", target.port), 10) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        heard = b""
        while b" w00002_" not in heard:
            received = connection.recv(65536)
            if not received:
                raise RuntimeError(f"no stream to leave: {heard[:300]!r}")
            heard += received
        return time.monotonic_ns()


def _let_rest(upstream: Upstream) -> None:
    """Until the target has noticed that all have left, or for a while."""
    deadline = time.monotonic() + REST_SECONDS
    while upstream.stats()["open_streams"] and time.monotonic() < deadline:
        time.sleep(0.05)
