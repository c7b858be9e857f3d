"""gunicorn.conf.py: its values, and the starts that it refuses in one line."""

import gc
import os
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parley import settings as parley_settings
from parley.server import master, metric_files
from parley.server.metric_files import MetricFolder

CONF = Path(__file__).parents[1] / "gunicorn.conf.py"
Load = Callable[..., dict[str, Any]]
WORKER = SimpleNamespace(boot_pipe=SimpleNamespace(keep_writing=lambda: None))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that runs the file under these settings and gives its names."""

    read = parley_settings.load.__wrapped__

    def run(**settings: str) -> dict[str, Any]:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(master, "load", read)  # the usual one reads the environment once a process
        return runpy.run_path(str(CONF))

    return run


def start(conf: dict[str, Any], warnings: list[str] | None = None, **changed: Any) -> None:
    """Call `on_starting` with gunicorn's usual settings and these changes."""
    cfg = {"preload_app": False, "max_requests": 0, "max_requests_jitter": 0, "workers": 1, "address": [("::1", 8000)]}
    cfg |= {"worker_class_str": "gevent", "worker_tmp_dir": conf["worker_tmp_dir"], "chdir": str(Path.cwd())}
    warn = (warnings if warnings is not None else []).append
    log = SimpleNamespace(warning=lambda message, *values: warn(message % values))
    conf["on_starting"](SimpleNamespace(cfg=SimpleNamespace(**{**cfg, **changed}), log=log))


def test_one_greenlet_a_connection_and_time_for_a_stop(load: Load) -> None:
    conf = load(GRACEFUL_TIMEOUT="41", MAX_STREAMS="10")

    assert (conf["worker_class"], conf["graceful_timeout"], conf["preload_app"]) == ("gevent", 41, False)
    assert conf["streams"] == 10 and conf["worker_connections"] > 10


def test_a_bad_setting_ends_the_start_in_one_line(load: Load) -> None:
    with pytest.raises(SystemExit, match=r"^parley: MAX_STREAMS\b.*$"):
        load(MAX_STREAMS="many")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"preload_app": True}, "--preload"),
        ({"max_requests": 100}, "max_requests_jitter"),
        ({"max_requests": 100, "max_requests_jitter": 10}, "two workers"),
        ({"address": [("127.0.0.1", 70_000)]}, "PORT"),
    ],
)
def test_a_start_that_cannot_work_is_refused(load: Load, changed: dict[str, Any], named: str) -> None:
    with pytest.raises(SystemExit, match=named):
        start(load(), **changed)


def test_a_proxy_that_no_upstream_can_use_is_refused(load: Load) -> None:
    with pytest.raises(SystemExit, match="HTTPS_PROXY"):
        start(load(HTTPS_PROXY="socks5://proxy.example:1080", LLM_API_KEY="k"))


def test_a_usual_start_says_nothing(load: Load) -> None:
    warnings: list[str] = []
    start(load(MAX_STREAMS="10"), warnings)
    assert warnings == []


def test_another_worker_class_is_warned_of(load: Load) -> None:
    warnings: list[str] = []
    start(load(MAX_STREAMS="10"), warnings, worker_class_str="gthread")
    assert len(warnings) == 1 and "gthread" in warnings[0] and "-k gevent" in warnings[0]


@pytest.fixture
def collected() -> Iterator[None]:
    """Have garbage collected again after a test in which it was turned off."""
    yield
    gc.enable()


@pytest.mark.usefixtures("collected")
def test_a_fork_collects_no_garbage_until_it_has_booted(load: Load) -> None:
    load()["post_fork"](SimpleNamespace(), WORKER)
    assert not gc.isenabled()


@pytest.mark.usefixtures("collected")
def test_the_hooks_keep_the_shared_metrics_folder(load: Load, tmp_path: Path) -> None:
    folder = MetricFolder(str(tmp_path), 1)
    server, hooks = SimpleNamespace(parley_metrics=folder), load()
    hooks["post_fork"](server, WORKER)
    assert metric_files.is_free(os.open(Path(folder.path, metric_files.OWNER_LOCK), os.O_RDWR))
    hooks["on_exit"](server)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("collected")
def test_the_hooks_do_without_shared_metrics(load: Load) -> None:
    hooks = load()
    hooks["post_fork"](SimpleNamespace(), WORKER)
    hooks["child_exit"](SimpleNamespace(), None)
    hooks["on_exit"](SimpleNamespace())
