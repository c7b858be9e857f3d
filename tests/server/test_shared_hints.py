"""What workers tell one another of an upstream through a real Redis: two servers, two upstreams in common."""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fake_upstream import Call, FakeUpstream, refusal
from heard import ask, fallback_to, says
from redis_servers import RedisServer
from running_server import RunningServer
from servers import Servers
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.row("SH-14")]

PREFIX = "hints"
BROKEN = "broken"
"""Question of a caller whose server does not reach the first upstream."""
LIMITED = refusal(429, {"message": "slow down"}, {"retry-after": "30"})
OVERLOADED = refusal(503, {"message": "no"})
PATIENT = {"TTFT_TIMEOUT": "20", "PRECOMMIT_TIMEOUT": "20", "IDLE_TIMEOUT": "20", "REDIS_TIMEOUT": "1000"}
"""A busy machine is neither a failure of an upstream nor of Redis."""


@pytest.fixture(scope="module")
def _valkey() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def keys(first: FakeUpstream, our_key: str) -> tuple[str, str]:
    """Return the names of the first upstream's keys: of its limit, and of those who find it sick."""
    name = hashlib.sha256(f"{first.base_url}\0{our_key}".encode()).hexdigest()[:16]
    return f"{PREFIX}:{{{name}}}:limited", f"{PREFIX}:{{{name}}}:sick"


@pytest.fixture
def both(
    servers: Servers,
    first: FakeUpstream,
    second: FakeUpstream,
    _valkey: RedisServer,
    keys: tuple[str, str],
) -> tuple[RunningServer, RunningServer]:
    """Return two servers, of which the second has heard nothing of the upstreams, and asks the first one first."""
    settings = {"REDIS_URL": _valkey.url, "REDIS_PREFIX": PREFIX, "LLM_FALLBACKS": fallback_to(second), **PATIENT}
    one, other = (servers(alone=name, **settings) for name in ("one", "other"))
    _valkey.client.delete(*keys)
    first.script, second.script = says("First."), says("Second.")
    wait_until(lambda: details(one)["workers"] == 2 and not avoided(other))
    return one, other


def details(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{server.url}/ready", timeout=20).json()["details"]
    return found


def avoided(server: RunningServer) -> dict[str, str]:
    return dict(details(server).get("upstreams_avoided", {}))


def told(server: RunningServer) -> list[tuple[str, str]]:
    """Return what the log says of hints, so far."""
    lines = [
        json.loads(line) for line in server.lines() if '"upstream_avoided"' in line or '"upstream_resumed"' in line
    ]
    return [(line["event"], line["reason"]) for line in lines]


def limit(server: RunningServer, valkey: RedisServer, key: str, first: FakeUpstream, second: FakeUpstream) -> float:
    """Let the first upstream refuse a server's question for half a minute; return the moment when others may know."""
    first.script, second.script = LIMITED, OVERLOADED
    ask(server, "json")
    first.script, second.script = says("First."), says("Second.")
    started = time.monotonic()
    wait_until(lambda: valkey.client.exists(key))
    return started


def let_beat(valkey: RedisServer) -> None:
    """Wait until each server has read twice what Redis holds."""
    for _ in range(2):
        before = dict(valkey.client.zrange(f"{PREFIX}:workers", 0, -1, withscores=True))
        wait_until(
            lambda before=before: all(  # type: ignore[misc]
                score > before[name]
                for name, score in valkey.client.zrange(f"{PREFIX}:workers", 0, -1, withscores=True)
                if name in before
            )
        )


# In this order: the first server keeps a limit for longer than the pause of its breaker.


def test_a_broken_network_of_one_server_moves_nobody(
    both: tuple[RunningServer, RunningServer],
    first: FakeUpstream,
    second: FakeUpstream,
    _valkey: RedisServer,
    keys: tuple[str, str],
) -> None:
    one, other = both

    def script(call: Call) -> Any:
        return OVERLOADED if BROKEN in str(call.json["messages"]) else says("First.")(call)

    first.script = script
    broken = {"messages": [{"role": "user", "content": BROKEN}]}

    def fail() -> bool:
        # The first upstream is asked in any case, as the last one left.
        second.script = OVERLOADED
        ask(one, "json", **broken)
        second.script = says("Second.")
        return bool(_valkey.client.exists(keys[1]))

    wait_until(fail)
    let_beat(_valkey)
    assert avoided(other) == {}
    heard = ask(other)
    heard.answered("First.")
    assert heard.end["attempts"] == 1

    # Another worker says so, too.
    (vote,) = _valkey.client.zrange(keys[1], 0, -1)
    until = (_valkey.client.time()[0] + 50) * 1000
    _valkey.client.zadd(keys[1], {vote: until, "another": until})
    wait_until(lambda: avoided(other) == {"primary": "sick"})
    heard = ask(other)
    heard.answered("Second.")
    assert heard.calls(first) == []


def test_a_limit_of_one_server_is_kept_by_the_other(
    both: tuple[RunningServer, RunningServer],
    first: FakeUpstream,
    second: FakeUpstream,
    _valkey: RedisServer,
    keys: tuple[str, str],
) -> None:
    one, other = both
    ask(other).answered("First.")
    started = limit(one, _valkey, keys[0], first, second)
    wait_until(lambda: avoided(other) == {"primary": "limited"})
    # At the next beat of each; the rest is for a busy machine.
    assert time.monotonic() - started < 2 + 10
    for way in ("chat", "json"):
        heard = ask(other, way)
        heard.answered("Second.")
        assert heard.calls(first) == [] and heard.end["attempts"] == 1
    with _valkey.frozen():
        ask(other).answered("Second.")
    wait_until(lambda: details(other)["redis"] == "ok")

    # The last one left is asked all the same, and its answer ends what others said.
    second.script = OVERLOADED
    ask(other).answered("First.")
    second.script = says("Second.")
    assert avoided(other) == {}
    ask(other).answered("First.")
    let_beat(_valkey)
    ask(other).answered("First.")
    begun = ("upstream_avoided", "limited")
    assert told(other)[-2:] == [begun, ("upstream_resumed", "answered")] and told(other).count(begun) == 1


def test_poison_in_redis_moves_nobody(
    both: tuple[RunningServer, RunningServer], _valkey: RedisServer, keys: tuple[str, str]
) -> None:
    _, other = both
    limited, sick = keys
    _valkey.client.lpush(limited, "x")
    _valkey.client.zadd(sick, {str(number): 10**18 for number in range(1000)})
    let_beat(_valkey)
    ask(other).answered("First.")
    assert details(other)["redis"] == "ok" and avoided(other) == {}
