"""Limits of all workers and machines through a real Redis, and what callers notice when it fails: nothing."""

import concurrent.futures
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from callers import has_ended
from fake_upstream import HANG, FakeUpstream, answer, chunks, events
from redis_servers import RedisServer
from running_server import RunningServer, ServerDidNotStart, free_port, post, receive_until, running_server
from tcp_proxy import TcpProxy
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
KEY = "door-key-0123456789"
PATIENT = {"TTFT_TIMEOUT": "60", "PRECOMMIT_TIMEOUT": "60", "IDLE_TIMEOUT": "60", "API_KEYS": KEY}
LIMITS = {"RATE_LIMIT": "1000000/minute", "MAX_STREAMS_PER_KEY": "1000"}
LEASE_SECONDS = 15
MUCH_LATER = 0.5
"""Seconds by which a busy machine may be late; what is held to be slow takes longer."""


@pytest.fixture(scope="module")
def _valkey() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(_valkey: RedisServer) -> RedisServer:
    """Return a server without keys, but for those that say which workers there are."""
    client = _valkey.client
    for key in client.scan_iter():
        if not key.endswith(":workers"):
            client.delete(key)
    return _valkey


def call(server: RunningServer, path: str = CHAT, **body: object) -> requests.Response:
    return requests.post(f"{server.url}{path}", json={**HELLO, **body}, headers={"x-api-key": KEY}, timeout=30)


def statuses(servers: list[RunningServer], count: int) -> list[int]:
    """Call so many times, of which each server gets its part, eight at once."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda number: call(servers[number % len(servers)]).status_code, range(count)))


def details(server: RunningServer) -> dict[str, object]:
    answer = requests.get(f"{server.url}/ready", headers={"x-api-key": KEY}, timeout=20).json()
    # The knowledge may still be read; Redis is never a reason.
    assert answer["status"] == "ready" or "knowledge" in answer["reason"]
    found: dict[str, object] = answer["details"]
    return found


def events_of(server: RunningServer, *names: str) -> list[str]:
    return [name for line in server.lines() for name in names if f'"{name}"' in line]


@pytest.mark.row("SH-10")
def test_two_machines_keep_one_rate_and_then_their_shares(first: FakeUpstream) -> None:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        env = {**PATIENT, "LLM_BASE_URL": first.base_url, "LLM_API_KEY": "sk-upstream-0123"}
        env |= {"REDIS_URL": redis.url, "RATE_LIMIT": "60/minute", "WEB_CONCURRENCY": "2"}
        # The longest, so that a busy machine lets no call be counted by its worker alone.
        env["REDIS_TIMEOUT"] = "1000"
        machines = [stack.enter_context(running_server(env)) for _ in range(2)]
        for machine in machines:
            wait_until(lambda machine=machine: details(machine)["workers"] == 4)  # type: ignore[misc]

        assert statuses(machines, 160).count(200) == 60
        assert {end["limits"] for end in machines[0].request_ends()} == {"shared"}
        redis.kill()
        more = statuses(machines, 80).count(200)
        assert more <= 30, "with all load on one worker before"
        wait_until(lambda: details(machines[0])["redis"] == "down")


@pytest.mark.row("SH-09")
def test_workers_share_the_places_of_a_key(
    quick_servers: Servers, first: FakeUpstream, redis_server: RedisServer
) -> None:
    server = quick_servers(REDIS_URL=redis_server.url, MAX_STREAMS_PER_KEY="3", WEB_CONCURRENCY="2", **PATIENT)
    with contextlib.ExitStack() as stack:
        first.script = [*events(chunks("Hello there")[:3]), HANG]
        for _ in range(3):
            connection = stack.enter_context(server.connect())
            connection.sendall(post(CHAT, {**HELLO, "stream": True}, x_api_key=KEY))
            receive_until(connection, b"Hello")
        for path in ENDPOINTS:
            refused = call(server, path)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        first.script = answer("Hello there")
        # Barge-in: the call before ends in the moment in which the next one begins, at whichever worker.
        connection.close()
        assert call(server).status_code == 200
    (key,) = [key for key in redis_server.client.scan_iter() if key.endswith("streams")] or ["none"]
    wait_until(lambda: redis_server.client.zcard(key) == 0)
    assert KEY not in key


@pytest.mark.row("SH-08", "SH-09")
def test_a_killed_worker_s_places_are_free_after_a_lease(first: FakeUpstream, redis_server: RedisServer) -> None:
    env = {**PATIENT, "LLM_BASE_URL": first.base_url, "LLM_API_KEY": "sk-upstream-0123", "MAX_STREAMS_PER_KEY": "100"}
    env |= {"REDIS_URL": redis_server.url, "WEB_CONCURRENCY": "2", "REDIS_PREFIX": "killed"}
    with running_server(env) as server, contextlib.ExitStack() as stack:
        first.script = [*events(chunks("Hello there")[:3]), HANG]
        opened = []
        for number in range(20):
            connection = stack.enter_context(server.connect())
            connection.sendall(post(CHAT, {**HELLO, "stream": True}, x_api_key=KEY))
            receive_until(connection, b"Hello")
            if number % 2:
                connection.close()
            else:
                opened.append(connection)
        (key,) = redis_server.client.keys("killed:*streams")
        wait_until(lambda: redis_server.client.zcard(key) == 10)

        os.kill(server.worker_pids()[0], signal.SIGKILL)
        started = time.monotonic()
        time.sleep(MUCH_LATER)  # what the worker held ends with it
        ended = [connection for connection in opened if has_ended(connection)]
        left = redis_server.client.zcard(key)
        assert left == 10 or time.monotonic() - started > LEASE_SECONDS - 6, "nobody else's is touched"
        wait_until(
            lambda: redis_server.client.zcard(key) == 10 - len(ended), timeout=LEASE_SECONDS + 1 + 10 * MUCH_LATER
        )
        assert not [connection for connection in opened if connection not in ended and has_ended(connection)]
    wait_until(lambda: redis_server.client.zcard(key) == 0)


@pytest.mark.row("SH-01")
def test_no_redis_at_the_start_is_one_warning(first: FakeUpstream) -> None:
    port = free_port()
    env = {**PATIENT, "LLM_BASE_URL": first.base_url, "LLM_API_KEY": "sk-upstream-0123", **LIMITS}
    with running_server({**env, "REDIS_URL": f"redis://127.0.0.1:{port}"}) as server:
        assert call(server).status_code == 200
        assert details(server)["redis"] == "down"
        assert events_of(server, "redis_down", "limits_local") == ["redis_down"]
        (end,) = server.request_ends()
        assert (end["limits"], end["redis_ms"]) == ("local", 0.0)

        with RedisServer(port=port):
            wait_until(lambda: details(server)["redis"] == "ok", timeout=1.5 + 10 * MUCH_LATER)
            assert call(server).status_code == 200
            assert server.request_ends()[-1]["limits"] == "shared"


@pytest.mark.row("SH-02", "SH-04")
@pytest.mark.parametrize("how", ["frozen", "black hole"])
def test_a_silent_redis_costs_a_few_calls_its_timeout(
    quick_servers: Servers, first: FakeUpstream, redis_server: RedisServer, how: str
) -> None:
    with TcpProxy(redis_server.port) as proxy:
        server = quick_servers(
            REDIS_URL=f"redis://127.0.0.1:{proxy.port}", REDIS_PREFIX=how.replace(" ", "-"), **LIMITS, **PATIENT
        )
        assert details(server)["redis"] == "ok"
        with contextlib.ExitStack() as stack:
            if how == "frozen":
                stack.enter_context(redis_server.frozen())
            else:
                proxy.hold = True
                stack.callback(setattr, proxy, "hold", False)
            served = [call(server, path).status_code for path in (CHAT,) * 8 + (RAG,)]
        assert served == [200] * 9
        waits = [end["redis_ms"] for end in server.request_ends()]
        assert len([wait for wait in waits if wait > 20]) <= 4
        assert max(waits) <= 60 + 1000 * MUCH_LATER and waits[-1] == 0
        assert events_of(server, "redis_down", "limits_local") == ["redis_down", "limits_local"]
        wait_until(lambda: details(server)["redis"] == "ok")
        wait_until(lambda: call(server).status_code == 200 and server.request_ends()[-1]["limits"] == "shared")


@pytest.mark.row("SH-03")
def test_a_redis_that_restarts_empty_learns_of_open_streams(quick_servers: Servers, first: FakeUpstream) -> None:
    with RedisServer() as redis, contextlib.ExitStack() as stack:
        server = quick_servers(REDIS_URL=redis.url, MAX_STREAMS_PER_KEY="2", **PATIENT)
        first.script = [*events(chunks("Hello there")[:3]), HANG]
        connection = stack.enter_context(server.connect())
        connection.sendall(post(CHAT, {**HELLO, "stream": True}, x_api_key=KEY))
        receive_until(connection, b"Hello")
        first.script = answer("Hello there")
        redis.kill()
        assert [call(server, path).status_code for path in ENDPOINTS] == [200] * 3
        redis.start()
        wait_until(lambda: [redis.client.zcard(key) for key in redis.client.scan_iter("*streams")] == [1], timeout=10)
        assert call(server).status_code == 200


@pytest.mark.row("SH-05")
def test_a_redis_at_a_distance_still_counts_for_all(
    quick_servers: Servers, first: FakeUpstream, redis_server: RedisServer
) -> None:
    with TcpProxy(redis_server.port) as proxy:
        settings = {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}", "REDIS_PREFIX": "far", "REDIS_TIMEOUT": "500"}
        server = quick_servers(**settings, **PATIENT, RATE_LIMIT="5/minute", MAX_STREAMS_PER_KEY="9")
        proxy.delay = 0.01
        assert statuses([server], 12).count(200) == 5
        assert events_of(server, "redis_down") == []
        assert {end["limits"] for end in server.request_ends()} == {"shared"}


@pytest.mark.row("SH-12")
def test_an_operator_may_refuse_calls_without_redis(quick_servers: Servers, first: FakeUpstream) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    server = quick_servers(REDIS_URL=url, LIMITS_WITHOUT_REDIS="refuse", RATE_LIMIT="9/minute", **PATIENT)
    for path in ENDPOINTS:
        for stream in (True, False):
            refused = call(server, path, stream=stream)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["code"] == "limits_unavailable"
    assert not first.calls
    assert requests.get(f"{server.url}/ready", timeout=20).status_code == 200

    server = quick_servers(REDIS_URL=url, LIMITS_WITHOUT_REDIS="open", RATE_LIMIT="2/minute", **PATIENT)
    assert statuses([server], 6) == [200] * 6


@pytest.mark.row("SH-11")
def test_no_part_of_the_url_that_is_secret_leaves(quick_servers: Servers, first: FakeUpstream) -> None:
    user, password = "canary-user", "canary%2Dpassword"
    with RedisServer("--requirepass", "another-password") as redis:
        url = f"redis://{user}:{password}@127.0.0.1:{redis.port}"
        server = quick_servers(REDIS_URL=url, **LIMITS, **PATIENT)
        assert call(server).status_code == 200
        shown = (
            server.output()
            + str(details(server))
            + requests.get(f"{server.url}/metrics", headers={"x-api-key": KEY}, timeout=20).text
        )
    assert "redis_down" in shown and "canary" not in shown
    assert 'parley_redis_failures_total{op="beat",reason="refused"}' in shown


def test_a_missing_client_library_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['redis'] = None\n")
    settings = {"REDIS_URL": "redis://127.0.0.1", "PYTHONPATH": str(tmp_path)}
    with pytest.raises(ServerDidNotStart) as raised, running_server(settings):
        pass
    (line,) = [line for line in raised.value.output.splitlines() if "REDIS_URL" in line]
    assert line == "parley: REDIS_URL needs the package redis: pip install -r requirements-shared.txt"


@pytest.mark.row("SH-11")
def test_an_unsafe_connection_is_warned_of(quick_servers: Servers) -> None:
    url = f"rediss://127.0.0.1:{free_port()}?ssl_cert_reqs=none"
    assert "accepts any certificate" in quick_servers(REDIS_URL=url).output()
