"""A worker drains in order at its stop, and measures itself while it runs."""

import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gunicorn.workers.ggevent import GeventWorker
from prometheus_client import REGISTRY

from parley.errors import ServerShuttingDown
from parley.server import worker as parley_worker
from parley.server.worker import ParleyWorker, drain_at_stop, measure
from parley.telemetry import logs


class Connections:
    """The table of connections, as far as the worker tells it something."""

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.overdue = 0

    def end_silent(self, older_than: float) -> None:
        self.ended.append(older_than)

    def end_overdue(self) -> None:
        self.overdue += 1


class RunningTurn:
    def __init__(self) -> None:
        self.reasons: list[BaseException] = []

    def interrupt(self, reason: BaseException) -> None:
        self.reasons.append(reason)


@pytest.fixture
def greenlets() -> Iterator[list[gevent.Greenlet]]:
    """Yield a list whose greenlets are killed after the test."""
    started: list[gevent.Greenlet] = []
    yield started
    gevent.killall(started)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parley_worker, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(parley_worker, "MEASURE_SECONDS", 0.001)


def services(grace: float, *turns: RunningTurn) -> Any:
    return SimpleNamespace(
        draining=False,
        settings=SimpleNamespace(graceful_timeout=grace),
        toolbox=None,
        agents=None,
        playground="off",
        use_checked=lambda tools, agents: None,
        admission=SimpleNamespace(running=list(turns), limit=0),
        upstream=SimpleNamespace(breaker_states=lambda: {"an-upstream": "open"}),
        warmed=[],
    )


def test_a_worker_drains_once_gunicorn_stops_it(greenlets: list[gevent.Greenlet]) -> None:
    worker = SimpleNamespace(alive=True, connections=Connections())
    turn = RunningTurn()
    within = services(3600, turn)
    greenlets.append(gevent.spawn(drain_at_stop, worker, within))
    gevent.sleep(0.02)
    assert not within.draining and worker.connections.ended == []

    worker.alive = False
    gevent.sleep(0.02)

    assert within.draining and set(worker.connections.ended) == {parley_worker.IDLE_SECONDS}
    assert turn.reasons == []


def test_turns_are_ended_shortly_before_gunicorn_cuts_them(greenlets: list[gevent.Greenlet]) -> None:
    turn = RunningTurn()
    worker = SimpleNamespace(alive=False, connections=Connections())
    greenlets.append(gevent.spawn(drain_at_stop, worker, services(parley_worker.LEAD_SECONDS, turn)))
    gevent.sleep(0.02)

    assert turn.reasons and {type(reason) for reason in turn.reasons} == {ServerShuttingDown}


def test_lag_and_breakers_are_measured_and_the_overdue_end(greenlets: list[gevent.Greenlet]) -> None:
    connections: Any = Connections()
    before = REGISTRY.get_sample_value("parley_loop_lag_seconds_count") or 0
    greenlets.append(gevent.spawn(measure, connections, services(25)))
    gevent.sleep(0.02)

    assert connections.overdue > 1
    assert (REGISTRY.get_sample_value("parley_loop_lag_seconds_count") or 0) > before
    assert REGISTRY.get_sample_value("parley_breaker_open", {"upstream": "an-upstream"}) == 1


def prepared(worker: Any, worker_class: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Prepare a worker of a class, and return its services."""
    within = services(25)
    within.warm = lambda: within.warmed.append(True)
    worker.is_of_reload = False
    within.warm_files = lambda: None
    worker.app = SimpleNamespace(wsgi=lambda: SimpleNamespace(extensions={"parley": within}))
    worker.cfg = SimpleNamespace(worker_class_str=worker_class, keepalive=95)
    worker.worker_connections = 100
    worker.alive = True
    monkeypatch.setattr(logs, "write_in_thread", lambda: None)
    monkeypatch.setattr(gevent, "spawn", lambda *_: None)
    thresholds = gc.get_threshold()
    gc.disable()  # as after a fork
    try:
        parley_worker.prepare(worker, 7)
        assert gc.isenabled() and gc.get_threshold() == (5_000, 20, 100) and gc.get_freeze_count()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    return within


def test_a_gevent_worker_becomes_ours_and_is_warmed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = GeventWorker.__new__(GeventWorker)

    within = prepared(worker, "gevent", monkeypatch)

    assert type(worker) is ParleyWorker and within.admission.limit == 7 and within.warmed == [True]


def test_a_worker_of_another_class_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = SimpleNamespace()

    within = prepared(worker, "sync", monkeypatch)

    assert type(worker) is SimpleNamespace and within.admission.limit == 7 and within.warmed == []
