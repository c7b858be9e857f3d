"""Sessions and vectors that all machines share through a real Redis, and what callers notice when it fails: nothing."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from exchange import CHAT, RAG
from fake_upstream import Call, FakeUpstream, Step, answer, whole
from redis_servers import RedisServer
from running_server import RunningServer, ServerDidNotStart, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

KEY, OTHER_KEY = "caller-key-0123456789", "another-key-0123456789"
SECRET = "tangerine-4711"
PASSAGES = 12


def vectors(call: Call) -> list[Step]:
    if not call.path.endswith("/embeddings"):
        return answer("Noted.")
    rows = [{"index": at, "embedding": [1.0, 0.5]} for at in range(len(call.json["input"]))]
    return whole(json.dumps({"data": rows}).encode(), headers={"connection": "close"})


class Machines(NamedTuple):
    """Two servers, the first of two workers, that share a Redis, and the upstream of both."""

    first: RunningServer
    second: RunningServer
    redis: RedisServer
    upstream: FakeUpstream


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "kb.json").write_text(json.dumps([{"text": f"Passage number {at}."} for at in range(PASSAGES)]))
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        upstream = stack.enter_context(FakeUpstream())
        upstream.script = vectors
        env = {
            "LLM_BASE_URL": upstream.base_url,
            "API_KEYS": f"{KEY},{OTHER_KEY}",
            "REDIS_URL": redis.url,
            # The longest, so that a busy machine is no failing store.
            "REDIS_TIMEOUT": "1000",
            "MEMORY": "full",
            "MEMORY_STORE": "redis:",
            "KB_DIR": str(folder),
            "KB_POLL": "0",
            "WAITING": "off",
            "RAG_TIER": "auto",
            "EMBEDDINGS_BASE_URL": upstream.base_url,
            "EMBEDDINGS_CACHE": "redis",
        }
        first = stack.enter_context(running_server(env, argv=("-w", "2")))
        wait_until(lambda: first.output().count("embeddings_ready") == 2, 30, tell=first.output)
        encoded = len(texts_encoded(upstream))
        assert PASSAGES <= encoded <= 2 * PASSAGES
        second = stack.enter_context(running_server(env))
        wait_until(lambda: "embeddings_ready" in second.output(), 30, tell=second.output)
        assert len(texts_encoded(upstream)) == encoded, "the second machine encodes nothing"
        assert "memory_failed" not in first.output() + second.output()
        yield Machines(first, second, redis, upstream)


def texts_encoded(upstream: FakeUpstream) -> list[str]:
    return [text for call in upstream.calls if call.path.endswith("/embeddings") for text in call.json["input"]]


@pytest.fixture
def session() -> str:
    return f"room/{uuid.uuid4().hex}"


def ask(server: RunningServer, session: str, text: str, path: str = CHAT, key: str = KEY) -> dict[str, Any]:
    """Ask on a fresh connection, so any worker; return the log line, which is written behind the memory."""
    request_id = uuid.uuid4().hex
    headers = {"x-api-key": key, "x-session-id": session, "x-request-id": request_id, "connection": "close"}
    body = {"messages": [{"role": "user", "content": text}], "stream": True}
    response = requests.post(server.url + path, json=body, headers=headers, timeout=30)
    assert response.status_code == 200 and "Noted" in response.text, response.text
    return server.wait_for_end(request_id)


def forget(server: RunningServer, session: str, key: str = KEY) -> requests.Response:
    url = f"{server.url}/sessions/{session.replace('/', '%2F')}"
    return requests.delete(url, headers={"x-api-key": key}, timeout=30)


def is_up(machines: Machines) -> bool:
    """Return true if the workers of both machines have all been seen to use Redis, several times over."""
    servers = [machines.first] * 4 + [machines.second]
    return all(ask(server, uuid.uuid4().hex, "Hello?")["memory"] == "0/0" for server in servers)


@pytest.mark.row("SH-13")
def test_machines_share_a_session(machines: Machines, session: str) -> None:
    first, second = machines.first, machines.second
    asked = [(first, CHAT), (first, RAG), (second, CHAT), (first, CHAT), (second, RAG)]
    for number, (server, path) in enumerate(asked):
        assert ask(server, session, f"Question {number} on {SECRET}", path)["memory"] == f"{2 * number}/{2 * number}"
    read = [each["content"] for each in machines.upstream.calls[-1].json["messages"] if each["role"] == "user"]
    assert len(read) == 5 and all(f"Question {number}" in text for number, text in enumerate(read))

    assert ask(second, session, "Hello?", key=OTHER_KEY)["memory"] == "0/0"
    assert forget(second, session, OTHER_KEY).status_code == 204
    assert ask(first, session, "Still there?")["memory"] == "10/10"
    assert forget(second, session).status_code == 204
    assert ask(first, session, "And now?")["memory"] == "0/0"


@pytest.mark.row("SH-13")
def test_words_are_in_redis_alone_and_for_a_time(machines: Machines, session: str) -> None:
    ask(machines.first, session, f"My word is {SECRET}.")

    client = machines.redis.client
    kept = [key for key in client.keys("parley:{m:*") if SECRET in client.hget(key, "data")]
    assert kept and all(0 < client.ttl(key) <= 1800 for key in kept)
    assert session not in str(client.keys("*")) and KEY not in str(client.keys("*"))
    metrics = requests.get(f"{machines.first.url}/metrics", headers={"x-api-key": KEY}, timeout=20).text
    assert SECRET not in machines.first.output() + machines.second.output() + metrics
    assert 'parley_redis_seconds_count{op="memory"}' in metrics
    assert 'parley_redis_seconds_count{op="vectors"}' in metrics


@pytest.mark.row("SH-13")
@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_a_redis_that_fails_costs_the_memory_alone(machines: Machines, session: str, how: str) -> None:
    redis, servers = machines.redis, (machines.first, machines.second)
    ask(machines.first, session, "Remember this.")
    if how == "frozen":
        redis.freeze()
    else:
        redis.kill()
    try:
        for server in servers * 2:
            for path in (CHAT, RAG):
                end = ask(server, session, "And without?", path)
                assert (end["memory"], end["outcome"]) == ("failed", "ok")
        # Words that may be there have not been deleted.
        refused = forget(machines.second, session)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    finally:
        if how == "frozen":
            redis.thaw()
        else:
            redis.start()

    wait_until(lambda: is_up(machines), 30)
    # What was said meanwhile is lost; a Redis that comes back empty has nothing else, either.
    before = 2 if how == "frozen" else 0
    assert ask(machines.first, session, "Are you back?")["memory"] == f"{before}/{before}"
    assert ask(machines.second, session, "Are you?")["memory"] == f"{before + 2}/{before + 2}"
    assert forget(machines.first, session).status_code == 204
    metrics = requests.get(f"{machines.second.url}/metrics", headers={"x-api-key": KEY}, timeout=20).text
    (lost,) = [line for line in metrics.splitlines() if line.startswith("parley_memory_lost_total")]
    assert float(lost.split()[1]) >= 1
    assert "Traceback" not in machines.first.output() + machines.second.output()


@pytest.mark.row("SH-13")
@pytest.mark.parametrize("named", ["MEMORY_STORE=redis:", "EMBEDDINGS_CACHE=redis"])
def test_what_is_kept_in_redis_stops_a_start_without_one(named: str, tmp_path: Path) -> None:
    variable, _, value = named.partition("=")
    with pytest.raises(ServerDidNotStart) as raised, running_server({variable: value, "KB_DIR": str(tmp_path)}):
        pass
    (line,) = [line for line in raised.value.output.splitlines() if "REDIS_URL" in line]
    assert raised.value.returncode == 1 and line.startswith(f"parley: {named} needs REDIS_URL")
