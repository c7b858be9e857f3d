"""The soak of `make soak`, for a few seconds: that it runs, judges and counts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.server

SOAK = Path(__file__).resolve().parent.parent / "bench" / "soak.py"


@pytest.mark.parametrize("options", [("--faults", "0.2"), ("--no-gc",)], ids=["many faults", "no garbage collector"])
def test_a_short_soak_keeps_every_promise(options: tuple[str, ...]) -> None:
    command = [sys.executable, str(SOAK), "--minutes", "0.15", "--talkers", "20", "--seed", "7", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == "" and run.stdout.rstrip().endswith("broken promises: none")
    counted = re.search(r"(\d+) turns, (\d+) faulty, {'ok': (\d+)", run.stdout)
    assert counted and all(int(count) > 5 for count in counted.groups())
