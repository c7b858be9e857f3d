"""The soaks of `make soak`, for a few seconds: that they run, judge and count."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
SOAK = BENCH / "soak.py"
WHOLE = {"status": 200, "ended": True, "text": "a:0 a:1 ", "done": True}
TOLD = {"status": 200, "ended": True, "text": "a:0 ", "error": "upstream_disconnected"}


@pytest.mark.parametrize(
    ("fault", "heard", "found"),
    [
        (None, WHOLE, None),
        (None, {**WHOLE, "text": "a:0 "}, "wrong words"),
        (None, {**WHOLE, "text": "a:0 b:1 "}, "wrong words"),
        (None, {**WHOLE, "done": False}, "silent truncation"),
        (None, {**WHOLE, "ended": False}, "body cut"),
        (None, {**WHOLE, "hung": True}, "hang"),
        (None, TOLD, "unexplained error upstream_disconnected"),
        (None, {"status": 502, "error": "upstream_error"}, "unexplained status 502"),
        ("cut", TOLD, None),
        ("cut", {**TOLD, "done": True}, "DONE and error"),
        ("cut", {**TOLD, "done": True, "error": None}, "wrong words"),
        ("status", {"status": 502, "error": "upstream_error"}, None),
        ("status", {"status": 502}, "unexplained status 502"),
        (None, {"left": True}, None),
    ],
)
def test_the_judgement_on_an_answer(
    monkeypatch: pytest.MonkeyPatch, fault: str | None, heard: dict[str, Any], found: str | None
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import talkers
    from planned_upstream import Plan

    plan = Plan("a", count=2, fault=fault)
    assert talkers.broken_promise(plan, talkers.CHAT, talkers.Heard(0.0, **heard)) == found


@pytest.mark.server
def test_a_short_soak_of_tools_keeps_every_promise() -> None:
    command = [sys.executable, str(BENCH / "tool_soak.py"), "--faults", "150", "--talkers", "8"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == "" and run.stdout.rstrip().endswith("broken promises: none")
    counted = re.search(r"(\d+) turns, (\d+) faults of (\d+) kinds", run.stdout)
    assert counted is not None, run.stdout
    turns, faults, kinds = map(int, counted.groups())
    assert turns > 20 and faults >= 150 and kinds > 30


MANY_FAULTS = ("--faults", "0.2", "--strangers", "30")
NO_COLLECTOR = ("--no-gc", "--strangers", "0")


@pytest.mark.server
@pytest.mark.parametrize("options", [MANY_FAULTS, NO_COLLECTOR], ids=["many faults", "no garbage collector"])
def test_a_short_soak_keeps_every_promise(options: tuple[str, ...]) -> None:
    command = [
        sys.executable,
        str(SOAK),
        "--minutes",
        "0.15",
        "--talkers",
        "20",
        "--strangers",
        "30",
        "--seed",
        "7",
        *options,
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == "" and run.stdout.rstrip().endswith("broken promises: none")
    counted = re.search(r"(\d+) turns, (\d+) faulty, \{.*'ok': (\d+)", run.stdout)
    assert counted is not None, run.stdout
    assert all(int(count) > 5 for count in counted.groups())
