"""Where the CPU time of a request (S0) and of a chunk (S3) goes, by py-spy's samples of Parley's worker under load.

    python bench/hotspots.py
    python bench/hotspots.py --targets parley@../before,parley      two checkouts side by side

A part of `make bench`. Tracing a process needs the right to (root, or ptrace_scope 0).
"""

import argparse
import collections
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measuring import documents, figures, tables
from measuring.machine import LOAD_CORE, build
from measuring.scenarios import measure, start_load, warm_up
from measuring.targets import Running, find, running_target
from measuring.upstream import Upstream, running_upstream
from measuring.versions import about

SECONDS = 6
RATE_HZ = 500
LOADS = {
    "S0": (f"--clients 1 --seconds {SECONDS + 2} --tokens 1", "ms a request", 1000),
    "S3": (f"--clients 500 --seconds {SECONDS + 2} --tokens 100", "us a chunk", 1),
}
"""The load, and its figure with what makes microseconds of it."""
PARTS = {
    "gunicorn": ("gunicorn/",),
    "Flask, Werkzeug": ("flask/", "werkzeug/", "flask_cors/", "blinker/"),
    "gevent: greenlets, timers, sockets": ("gevent/",),
    "log line, metrics": ("structlog/", "prometheus_client/", "parley/logs.py", "parley/log_output.py"),
    "reading the request, its limits": ("parley/admission.py", "limits/", "parley/wire/request.py"),
    "the upstream: connections, HTTP": ("parley/upstream/",),
    "events and chunks": ("parley/wire/",),
    "the client's connection": ("parley/client_connection.py",),
    "the turn, and what holds it together": ("parley/", "blueprints/"),
}
"""Whose code it was: the innermost frame that belongs to one of these; the first that fits."""
REST = "anything else"


@dataclass(frozen=True)
class Profile:
    """Microseconds of CPU by part, for one request or chunk."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        """Of all parts together."""
        return sum(self.parts.values())


def main() -> None:
    """Measure without the profiler, sample with it, print, and keep where that is asked for."""
    options = _options()
    sampler = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if not sampler:
        sys.exit("bench: py-spy is needed: pip install -r requirements-bench.txt")
    build()
    profiles: dict[str, Profile] = {}
    for name in options.targets.split(","):
        with running_upstream() as upstream, running_target(name, find(name), upstream.base_url) as running:
            warm_up(running, upstream)
            for scenario in LOADS:
                profiles[f"{scenario}: {name.partition('@')[2] or name}"] = _profile(
                    sampler, scenario, running, upstream
                )
    text = documents.dated(about(), _table(profiles))
    print(f"\n## hotspots\n\n{text}")
    if options.write_docs:
        documents.put("hotspots", text)


def _profile(sampler: str, scenario: str, running: Running, upstream: Upstream) -> Profile:
    """What the scenario costs by itself, divided among the parts by samples of the same load."""
    load, figure, to_us = LOADS[scenario]
    cost = figures.of_target({scenario: measure(scenario, running, upstream)})[f"{scenario} {figure}"] or 0.0
    loading = start_load(running, load)
    counts = _samples(sampler, running)
    loading.communicate()
    return Profile({part: cost * to_us * count / counts.total() for part, count in counts.items()})


def _samples(sampler: str, running: Running) -> collections.Counter[str]:
    """How many samples of the worker's main thread fell into each part."""
    assert running.tree
    worker = running.tree.pids()[-1]
    with tempfile.NamedTemporaryFile("r", suffix=".raw") as stacks:
        how = ["--threads", "--rate", str(RATE_HZ), "--duration", str(SECONDS), "--format", "raw"]
        command = [sampler, "record", *how, "--output", stacks.name, "--pid", str(worker)]
        subprocess.run(["taskset", "-c", str(LOAD_CORE), *command], check=True, capture_output=True)
        counts: collections.Counter[str] = collections.Counter()
        for line in stacks:
            stack, _, count = line.rpartition(" ")
            thread, *frames = stack.split(";")
            if f"({worker})" in thread:  # its main thread bears its id; the others write the log, or wait
                counts[part_of(frames)] += int(count)
    return counts


def part_of(frames: list[str]) -> str:
    """Whose code a stack stood in, outermost frame first, each as `function (file:line)`."""
    for frame in reversed(frames):
        file = frame.rpartition("(")[2]
        for part, prefixes in PARTS.items():
            if file.startswith(prefixes):
                return part
    return REST


def _table(profiles: dict[str, Profile]) -> str:
    rows = [
        [part, *(tables.number(profile.parts.get(part, 0.0), 1) for profile in profiles.values())]
        for part in (*PARTS, REST)
        if any(profile.parts.get(part) for profile in profiles.values())
    ]
    together = ["**together**", *(f"**{tables.number(profile.total, 1)}**" for profile in profiles.values())]
    return tables.markdown(["CPU, µs", *profiles], [*rows, together])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default="parley", help="parley, or parley@FOLDER for another checkout, by commas")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
