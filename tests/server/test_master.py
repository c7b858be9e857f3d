"""The master refuses what can't work, in one line, and gives several workers a folder for their metrics."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parley.server import master, open_files
from parley.setting_types import StoreSetting
from parley.settings import Settings


class Log:
    """gunicorn's logger, as far as the master uses it."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str, *values: object) -> None:
        self.warnings.append(text % values)


def server(**changes: Any) -> Any:
    """Return gunicorn's arbiter, as far as the master uses it, with these settings of gunicorn's."""
    usual = {
        "preload_app": False,
        "max_requests": 0,
        "max_requests_jitter": 0,
        "workers": 1,
        "address": [("127.0.0.1", 8000)],
        "worker_tmp_dir": None,
        "worker_class_str": "gevent",
        "chdir": str(Path.cwd()),
    }
    return SimpleNamespace(cfg=SimpleNamespace(**{**usual, **changes}), log=Log())


@pytest.fixture(autouse=True)
def _limits_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "raise_for", lambda _streams: None)


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the folders that are named to the workers."""
    folders: list[str] = []
    monkeypatch.setattr(master, "share_metrics", folders.append)
    return folders


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"preload_app": True}, "--preload"),
        ({"max_requests": 1000, "workers": 2}, "max_requests_jitter"),
        ({"max_requests": 1000, "max_requests_jitter": 50}, "two workers"),
        ({"workers": 0}, "WEB_CONCURRENCY (or --workers)"),
        ({"chdir": "/"}, "--chdir: .env was looked for in"),
        ({"address": [("127.0.0.1", 65_536)]}, "expected a port from 0 to 65535"),
        ({"address": ["/run/parley.sock", ("::", -1)]}, "expected a port from 0 to 65535"),
    ],
    ids=str,
)
def test_settings_of_gunicorn_that_can_not_work_are_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(SystemExit) as ended:
        master.prepare(server(**changes), Settings(), 1000)

    assert str(ended.value).startswith("parley: ") and fault in str(ended.value)
    assert "\n" not in str(ended.value)


@pytest.mark.parametrize(
    "changes",
    [{}, {"max_requests": 1000, "max_requests_jitter": 50, "workers": 2}, {"address": ["/run/a.sock"]}],
    ids=str,
)
def test_what_can_work_is_accepted(changes: dict[str, Any]) -> None:
    assert master.config_fault(server(**changes).cfg) is None


def test_gunicorn_needs_a_folder_that_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none_is_writable() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none_is_writable)

    assert "set TMPDIR" in (master.config_fault(server().cfg) or "")
    assert master.config_fault(server(worker_tmp_dir=str(tmp_path)).cfg) is None


@pytest.mark.parametrize(
    ("memory", "kind", "workers", "works"),
    [
        ("full", "memory", 2, False),
        ("tools", "memory", 3, False),
        ("full", "memory", 1, True),
        ("full", "sqlite", 4, True),
        ("off", "memory", 4, True),
    ],
)
def test_several_workers_do_not_remember_each_for_itself(memory: str, kind: str, workers: int, works: bool) -> None:
    fault = master.memory_fault(Settings(memory=memory, memory_store=StoreSetting(kind)), workers)

    assert (fault is None) == works


def test_a_proxy_is_checked_only_for_upstreams_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example")

    assert "HTTPS_PROXY" in (master.proxy_fault(Settings(llm_base_url="https://api.example.com/v1")) or "")
    assert master.proxy_fault(Settings(llm_base_url="http://127.0.0.1:9/v1")) is None


def test_a_start_that_serves_worse_than_it_could_warns() -> None:
    starting = server(worker_class_str="sync")

    master.prepare(starting, Settings(max_streams=1000), 10)

    assert [warning.partition(" serves")[0] for warning in starting.log.warnings] == [
        "worker class sync",
        "MAX_STREAMS is lowered to 10 by the limit of open files (ulimit -n)",
    ]


def test_several_workers_share_a_folder_that_goes_at_the_end(tmp_path: Path, shared: list[str]) -> None:
    starting = server(workers=2, worker_tmp_dir=str(tmp_path))

    master.prepare(starting, Settings(), 1000)

    assert shared == [starting.parley_metrics.path] and list(tmp_path.iterdir()) == [Path(shared[0])]
    starting.parley_metrics.remove()
    assert list(tmp_path.iterdir()) == []


def test_one_worker_needs_no_folder(tmp_path: Path, shared: list[str]) -> None:
    starting = server(worker_tmp_dir=str(tmp_path))

    master.prepare(starting, Settings(), 1000)

    assert shared == [] and list(tmp_path.iterdir()) == [] and not hasattr(starting, "parley_metrics")


def test_on_a_full_disk_workers_do_without_a_shared_folder(
    tmp_path: Path, shared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "posix_fallocate", full)
    starting = server(workers=2, worker_tmp_dir=str(tmp_path))

    master.prepare(starting, Settings(), 1000)

    assert shared == [] and list(tmp_path.iterdir()) == []
    assert starting.log.warnings == ["no space for temporary files: /metrics shows one worker at a time"]


def test_a_bad_setting_ends_the_start_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad() -> Settings:
        return Settings.from_environ({"HEARTBEAT": "now and then"})

    monkeypatch.setattr(master, "load", bad)
    with pytest.raises(SystemExit) as ended:
        master.load_settings()

    assert str(ended.value).startswith("parley: HEARTBEAT: expected seconds")
