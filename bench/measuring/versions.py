"""Date, machine and versions, for whoever reads the figures later."""

import datetime
import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path

from measuring.machine import CORES

SERVED = ("gunicorn", "gevent", "flask")


def about(*more: str, beside: tuple[str, ...] = ()) -> dict[str, str]:
    """What a measurement was made with: `more` packages took part, and those that `beside` tells of."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    versions = [f"Python {platform.python_version()}", *_packages(*SERVED, *more), *_nginx(), *beside]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{models[0] if models else platform.machine()}, {len(CORES)} cores, Linux {platform.release()}",
        "versions": ", ".join(versions),
    }


def of_command(command: str, package: str) -> str:
    """The version of a package in the environment that a command belongs to."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    python = Path(command).parent / "python"
    return (
        f"{package} {subprocess.run([python, '-c', code], capture_output=True, text=True, check=True).stdout.strip()}"
    )


def _packages(*names: str) -> list[str]:
    installed = {found.metadata["name"].lower(): found.version for found in importlib.metadata.distributions()}
    return [f"{name} {installed[name]}" for name in names if name in installed]


def _nginx() -> list[str]:
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not binary:
        return []
    said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False).stderr
    return [said.strip().rpartition(": ")[2].replace("/", " ")]
