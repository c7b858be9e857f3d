"""The shield: callers who leave, servers that freeze, pools that are full, texts of libpq with secrets in them.

What needs gevent's patched sockets runs in a process of its own, as a worker does.
"""

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres import OWNER, PASSWORD, Postgres
from running_server import ROOT, free_port

from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import DatabaseFailed, connect, conninfo, translated

HEAD = """
from gevent import monkey; monkey.patch_all()
import sys, time, json, gevent
from parley.telemetry import logs
from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import Connections, DatabaseBusy, DatabaseFailed
url = sys.argv[1]
made = Connections(parse(url), 2)
def ask(connection):
    return connection.execute("SELECT 1").fetchone()[0]
def sleep(seconds):
    return lambda connection: connection.execute(f"SELECT pg_sleep({seconds}), 2").fetchone()[1]
def attempt(work, deadline, **how):
    started = time.monotonic()
    try:
        return made.run("search", work, deadline, **how)
    except DatabaseFailed as failed:
        return [failed.reason, str(failed), time.monotonic() - started]
def first():
    while (got := attempt(ask, 2, probes=True)) != 1:
        gevent.sleep(0.05)
lags = []
def measure():
    while True:
        due = time.monotonic() + 0.005
        gevent.sleep(0.005)
        lags.append(time.monotonic() - due)
"""


def worker(code: str, url: str) -> Any:
    """Return what the code prints last, as JSON, in a patched process."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code, url],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def steps(code: str, url: str) -> Iterator[Callable[[], Any]]:
    """Yield a function that lets the code in a patched process read a line, and returns the list that it prints next.

    The block begins when the code has printed its first one.
    """
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + code, url],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        stdin = process.stdin
        # Other lines are those of the log.
        printed = (json.loads(line) for line in process.stdout if line.startswith("["))
        next(printed)

        def go_on() -> Any:
            stdin.write("\n")
            stdin.flush()
            return next(printed)

        yield go_on


@pytest.fixture
def url(server: Postgres) -> str:
    """Return the URL of a database; nothing here needs tables."""
    return server.url()


@pytest.mark.row("DB-05", "DB-06")
def test_five_interrupted_waiters_leave_a_pool_of_two_whole(url: str) -> None:
    code = """
first()
holders = [gevent.spawn(attempt, sleep(0.6), 5) for _ in range(2)]
gevent.sleep(0.1)
waiters = [gevent.spawn(attempt, ask, 5) for _ in range(2)]
gevent.sleep(0.05)
# Of five callers two find a place in the line; all are interrupted, in each way that there is.
more = [gevent.spawn(attempt, ask, 5) for _ in range(3)]
gevent.sleep(0.05)
for one in [*waiters, *more]:
    one.kill()
def impatient():
    with gevent.Timeout(0.05, False):
        return attempt(ask, 5)
[gevent.spawn(impatient).join() for _ in range(5)]
gevent.joinall(holders)
gevent.sleep(0.2)
print(json.dumps([[attempt(ask, 2) for _ in range(20)], [one.value for one in holders]]))
"""
    answers, held = worker(code, url)

    assert answers == [1] * 20 and held == [2, 2]


@pytest.mark.row("DB-06")
def test_callers_who_leave_in_a_thousand_statements_cost_nothing(url: str) -> None:
    code = """
import random
first()
random.seed(5)
slow = []
def caller(number):
    def work(connection):
        connection.execute("SET statement_timeout = 2000")
        return connection.execute("SELECT pg_sleep(0.004), %s::int", [number]).fetchone()[1]
    got = attempt(work, 1)
    return got == number or got[0]
left = wrong = 0
for number in range(1000):
    one = gevent.spawn(caller, number)
    one.join(random.uniform(0, 0.008))
    started = time.monotonic()
    if not one.ready():
        one.kill()
        left += 1
        slow.append(time.monotonic() - started)
    elif one.value not in (True, "busy"):
        wrong += 1
while made._workers:
    gevent.sleep(0.01)
print(json.dumps([left, wrong, sorted(slow)[len(slow) // 2], [attempt(ask, 2) for _ in range(20)]]))
"""
    left, wrong, cancelled, answers = worker(code, url)

    assert left > 100 and wrong == 0 and cancelled < 0.02 and answers == [1] * 20


@pytest.mark.row("DB-05")
def test_a_frozen_server_costs_its_deadline_three_times(server: Postgres, url: str) -> None:
    code = """
first()
gevent.spawn(measure)
print([], flush=True)
sys.stdin.readline()
lags.clear()
frozen = [attempt(ask, 0.3) for _ in range(5)]
print(json.dumps([frozen, lags]), flush=True)
sys.stdin.readline()
first()
print(json.dumps([attempt(ask, 2) for _ in range(20)]))
"""
    with steps(code, url) as go_on:
        server.freeze()
        try:
            frozen, lags = go_on()
        finally:
            server.thaw()
        answers = go_on()

    assert [reason for reason, _, _ in frozen] == ["timeout"] * 3 + ["refused"] * 2
    assert all(0.29 < seconds < 2 for _, _, seconds in frozen[:3])
    assert all(seconds < 0.25 for _, _, seconds in frozen[3:])
    # A loop that is held up has few passes, each of a deadline.
    assert statistics.median(lags) < 0.05 and answers == [1] * 20


@pytest.mark.row("DB-07")
def test_a_pool_in_use_is_busy_at_once_and_no_outage(url: str) -> None:
    code = """
first()
holders = [gevent.spawn(attempt, sleep(0.5), 3) for _ in range(4)]
while not made._workers.full():
    gevent.sleep(0)
busy = [attempt(ask, 3) for _ in range(5)]
state = made.state
gevent.joinall(holders)
print(json.dumps([busy, state, [one.value for one in holders], attempt(ask, 2)]))
"""
    busy, state, held, answer = worker(code, url)

    assert [reason for reason, _, _ in busy] == ["busy"] * 5 and max(seconds for _, _, seconds in busy) < 1
    assert (state, held, answer) == ("ok", [2] * 4, 1)


@pytest.mark.row("DB-03")
def test_after_a_restart_the_pool_heals_by_itself(server: Postgres, url: str) -> None:
    code = """
first()
print([], flush=True)
sys.stdin.readline()
down = [attempt(ask, 0.3, probes=True)[0] for _ in range(4)]
print(json.dumps([down, made.state]), flush=True)
sys.stdin.readline()
first()
print(json.dumps([[attempt(ask, 2) for _ in range(20)], made.state]))
"""
    with steps(code, url) as go_on:
        server.stop()
        try:
            down, state = go_on()
        finally:
            server.start()
        answers = go_on()

    # The second one waits for a connection, and is told why there is none.
    assert down[0] in ("refused", "timeout") and set(down[2:]) == {"refused"}
    assert state == "down" and answers == [[1] * 20, "ok"]


@pytest.mark.parametrize(
    "variable", ["PGHOST", "PGPORT", "PGPASSWORD", "PGSSLMODE", "PGOPTIONS", "PGUSER", "PGPASSFILE"]
)
def test_no_variable_of_libpq_adds_to_the_url(url: str, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, {"PGSSLMODE": "verify-full", "PGOPTIONS": "-c nonsense=1"}.get(variable, "192.0.2.1"))

    with connect(parse(url)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("reads", [True, False])
def test_time_limits_are_ours_and_no_statement_is_prepared(url: str, reads: bool) -> None:
    told = conninfo(parse(url), reads=reads)

    assert "connect_timeout=2" in told and "tcp_user_timeout=2000" in told
    assert ("prefer-standby" in told) is reads


def test_errors_show_neither_user_nor_password_nor_query(server: Postgres, tmp_path: Path) -> None:
    bad = f"postgresql://{OWNER}:wrong-canary-1@127.0.0.1:{server.port}/postgres?sslpassword=query-canary-2"
    addresses = [bad, f"postgresql://user-canary-3:{PASSWORD}@127.0.0.1:{free_port()}/db-shown"]
    told = []
    for address in map(parse, addresses):
        with pytest.raises(DatabaseFailed) as caught, translated(address):
            connect(address)
        told.append(f"{caught.value} {address!r}")

    assert not any(canary in text for text in told for canary in (OWNER, "canary-1", "canary-2", "canary-3", PASSWORD))
