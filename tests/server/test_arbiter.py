"""The pipe in which a worker tells that it has booted; reloads are tried in test_reloads.py on the real server."""

import os
from types import SimpleNamespace

import pytest

from parley.server import arbiter
from parley.server.arbiter import BootPipe, ParleyArbiter

pytestmark = pytest.mark.row("RF-21")


def test_a_worker_has_booted_when_it_has_told_so() -> None:
    pipe = BootPipe()
    assert not pipe.has_booted
    pipe.tell()
    assert pipe.has_booted and pipe.has_booted
    pipe.close()


def test_a_worker_that_ends_before_has_not_booted() -> None:
    pipe = BootPipe()
    pipe.keep_reading()  # the only end for writing, as if the worker had taken its copy along
    assert not pipe.has_booted and not pipe.has_booted
    pipe.close()


def test_a_worker_closes_the_masters_ends() -> None:
    older, worker = BootPipe(), SimpleNamespace()
    arbiter.before_fork(worker)
    arbiter.after_fork(SimpleNamespace(boot_pipes={1: older}), worker)
    for closed in (older._read, worker.boot_pipe._read):
        with pytest.raises(OSError):
            os.fstat(closed)
    worker.boot_pipe.keep_reading()
    older.keep_reading()


def test_an_arbiter_that_is_taken_over_waits_for_no_reload() -> None:
    class Started:
        pass

    server = Started()
    # Python lets an object change to a class of the same layout, as gunicorn's and ours have.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arbiter, "ParleyArbiter", type("Taken", (Started,), {}))
        arbiter.take_over(server, lambda _cfg: None, lambda _workers: None)
    assert (server.replaced, server.leaving, server.boot_pipes) == (None, set(), {})  # type: ignore[attr-defined]
    assert issubclass(ParleyArbiter, arbiter.Arbiter)


@pytest.mark.parametrize("others", [1, 0], ids=["another-serves", "the-only-one"])
def test_a_worker_without_room_ends_no_server(monkeypatch: pytest.MonkeyPatch, others: int) -> None:
    def no_process(server: ParleyArbiter) -> int:
        arbiter.before_fork(SimpleNamespace())
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(arbiter.Arbiter, "spawn_worker", no_process)
    server = ParleyArbiter.__new__(ParleyArbiter)
    server.boot_pipes, server.WORKERS, server.boot_pause = {}, dict.fromkeys(range(others)), 0.0
    open_files = len(os.listdir("/proc/self/fd"))
    if others:
        assert [server.spawn_worker(), server.spawn_worker(), server.boot_pause] == [None, None, 2.0]
    else:
        with pytest.raises(BlockingIOError):
            server.spawn_worker()
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_pipe_is_given_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process(server: ParleyArbiter) -> int:
        arbiter.before_fork(SimpleNamespace())
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def no_hook(server: ParleyArbiter) -> int:
        raise BlockingIOError(11, "before any pipe")

    server = ParleyArbiter.__new__(ParleyArbiter)
    server.boot_pipes, server.WORKERS, server.boot_pause = {}, {1: None}, 0.0
    for spawned in (no_process, no_hook):
        monkeypatch.setattr(arbiter.Arbiter, "spawn_worker", spawned)
        # Closed twice, a pipe's ends may by then be somebody else's.
        assert server.spawn_worker() is None
    assert arbiter.newest is None
