"""Sessions in a real Redis: several workers, values of others, a server that is away."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from redis_links import PATIENT
from redis_servers import RedisServer
from simulated_calls import PLATFORMS, Platform, SharedStore, SimulatedCall
from structlog.testing import capture_logs
from waiting import wait_until

from parley.memory.conversation import MAX_BYTES, MAX_TURNS, StoredTurn, decode, encode, history_of, stored_turn
from parley.memory.redis_store import WRITES_AT_ONCE, RedisStore
from parley.memory.sessions import Sessions, session_key
from parley.memory.stores import Store, StoreFailed
from parley.shared.link import CONNECTIONS, Link
from parley.turn_record import TurnRecord

Links = Callable[..., Link]
KEY = session_key("anybody", "room")
TURN = stored_turn("hello", "hi", "hi", closed=False, turn="", started=1.0)


@pytest.fixture
def store(link: Link) -> RedisStore:
    return RedisStore(link, PATIENT)


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "You are Mia."}, {"role": "user", "content": text}]


def end(sessions: Sessions, text: str, started: float, key: str = KEY) -> bool:
    """Remember a turn that came without a history; return false if the store fails."""
    history = history_of(ask(text))
    assert history
    turn = stored_turn(text, "a", "a", closed=False, turn="", started=started)
    return sessions.remember(key, history, turn, mode="full")


def said(sessions: Sessions) -> list[str]:
    """The users' texts that a model would read."""
    found = sessions.recall(KEY, ask("later"), "", mode="full", with_tools=True)
    assert found
    return [each["content"] for each in found.messages if each["role"] == "user"]


def test_what_is_put_is_got_until_its_time_is_over(store: RedisStore, redis_server: RedisServer) -> None:
    assert store.get("a") is None
    assert store.put("a", b"one", 1800, 0)
    entry = store.get("a")
    assert entry and entry.data == b"one" and entry.version > 0
    assert 1_700_000 < redis_server.client.pttl("t:{m:a}") <= 1_800_000

    assert store.put("a", b"two", 0.05, entry.version)
    wait_until(lambda: store.get("a") is None)
    assert store.put("a", b"three", 10, 0)


def test_a_write_after_another_one_is_refused(store: RedisStore) -> None:
    store.put("a", b"one", 10, 0)
    first = store.get("a")
    assert first

    assert not store.put("a", b"two", 10, 0)
    assert store.put("a", b"two", 10, first.version)
    assert not store.put("a", b"three", 10, first.version)
    assert store.delete("a") and not store.delete("a")
    assert store.put("a", b"four", 10, 0)
    assert not store.put("a", b"five", 10, first.version)


@pytest.mark.row("SH-13")
def test_machines_that_end_turns_at_once_lose_none(links: Links) -> None:
    workers = [Sessions(RedisStore(links(), PATIENT), ttl=60) for _ in range(6)]
    # None is the beginning of another one: that would be a turn that grew.
    texts = [f"q{number:02}" for number in range(36)]

    ended = [gevent.spawn(end, workers[number % 6], text, number + 1.0) for number, text in enumerate(texts)]
    gevent.joinall(ended, raise_error=True)

    assert all(each.value for each in ended)
    assert said(workers[0]) == said(workers[1]) == [*texts, "later"]


class SharedRedis(SharedStore):
    """Sessions of simulated calls, read by one worker and written by another."""

    def __init__(self, reader: Store, writer: Store) -> None:
        self._reader, self._writer = reader, writer

    def get(self, key: str) -> tuple[StoredTurn, ...]:
        entry = self._reader.get(key)
        return decode(entry.data) if entry else ()

    def put(self, key: str, turns: tuple[StoredTurn, ...]) -> None:
        entry = self._writer.get(key)
        assert self._writer.put(key, encode(turns), 60, entry.version if entry else 0)


@pytest.mark.row("SH-13", "MM-01", "MM-02", "MM-03")
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda one: one.name)
def test_calls_over_machines_lose_and_double_nothing(platform: Platform, links: Links) -> None:
    reader, writer = (RedisStore(links(), PATIENT) for _ in range(2))
    for seed in range(3):
        chance, shared = random.Random(f"{seed} {platform.name}"), SharedRedis(reader, writer)
        calls = [SimulatedCall(chance, f"room-{seed}-{number}", platform, shared) for number in range(2)]
        for _ in range(chance.randint(1, 10 + (platform.window or 0) * 3 // 4)):
            for call in calls:
                call.play(1)
        assert [call.mistakes[:1] for call in calls] == [[], []], seed


def shaped(**fields: Any) -> bytes:
    return json.dumps([{"user": "poison", **fields}]).encode()


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


POISON = {
    "a text": ("set", "words"),
    "a list": ("rpush", "words"),
    "no version": ("hset", "data", shaped()),
    "no data": ("hset", "version", "7"),
    "version 0": ("hset", "version", "0", "data", shaped()),
    "a negative version": ("hset", "version", "-7", "data", shaped()),
    "a version of letters": ("hset", "version", "7x", "data", shaped()),
    "a long version": ("hset", "version", "7" * 40, "data", shaped()),
    "too large": ("hset", "version", "7", "data", shaped(said="x" * MAX_BYTES)),
    "no JSON": ("hset", "version", "7", "data", b"\x80\x04pickle"),
    "no UTF-8": ("hset", "version", "7", "data", b'[{"user":"\xff\xfe"}]'),
    "another shape": ("hset", "version", "7", "data", b'{"turns":[]}'),
    "another release": ("hset", "version", "7", "data", b'[{"user":["a"]}]'),
    "too many turns": ("hset", "version", "7", "data", json.dumps([{"user": "x"}] * (MAX_TURNS + 1)).encode()),
    "nested": ("hset", "version", "7", "data", f'[{{"user":"x","exchange":[{{"a":{nested(9000)}}}]}}]'.encode()),
    "nested in a call": (
        *("hset", "version", "7", "data"),
        f'[{{"user":"x","exchange":[{{"role":"assistant","tool_calls":[{{"id":"1","x":{nested(400)}}}]}}]}}]'.encode(),
    ),
    "an exchange without roles": ("hset", "version", "7", "data", shaped(exchange=[{"content": "x"}])),
    "a call that is none": (
        *("hset", "version", "7", "data"),
        shaped(exchange=[{"role": "assistant", "tool_calls": [1]}]),
    ),
    "calls that are none": ("hset", "version", "7", "data", shaped(exchange=[{"role": "assistant", "tool_calls": 7}])),
    "content that is none": ("hset", "version", "7", "data", shaped(exchange=[{"role": "assistant", "content": 7}])),
    "a result of nothing": ("hset", "version", "7", "data", shaped(exchange=[{"role": "tool", "content": "x"}])),
}


@pytest.mark.row("SH-13", "SH-15")
@pytest.mark.parametrize("poison", POISON)
def test_poison_counts_as_nothing_and_is_told_once(store: RedisStore, redis_server: RedisServer, poison: str) -> None:
    command, *values = POISON[poison]
    redis_server.client.execute_command(command, f"t:{{m:{KEY}}}", *values)
    sessions = Sessions(store, ttl=60)

    with capture_logs() as logged:
        assert said(sessions) == said(sessions) == ["later"]
        assert end(sessions, "first", 1.0)
        assert said(sessions) == ["first", "later"]

    assert [line["event"] for line in logged] == ["memory_unreadable"]
    assert "poison" not in str(logged)
    assert redis_server.client.ttl(f"t:{{m:{KEY}}}") > 0


@pytest.mark.row("SH-15")
@pytest.mark.parametrize(
    "session",
    ["room", "a:b}{m:anybody:c", "a\0b", "\r\nFLUSHALL\r\n", "*", "🎧", "x" * 131_072],
    ids=["plain", "marks", "NUL", "a command", "a pattern", "a picture", "128 KB"],
)
def test_no_name_of_a_session_is_a_key_of_another_holder(
    store: RedisStore, redis_server: RedisServer, session: str
) -> None:
    sessions = Sessions(store, ttl=60)
    holders = ["anybody", "0123456789abcdef"]
    assert all(end(sessions, "x", 1.0, session_key(holder, session)) for holder in holders)

    names = redis_server.client.keys("*m:*")
    assert {name.rpartition(":")[0] for name in names} == {f"t:{{m:{holder}" for holder in holders}
    assert all(name.endswith("}") and len(name.rpartition(":")[2]) == 65 for name in names)
    assert sessions.forget(session_key(holders[0], session))
    assert redis_server.client.keys("*m:*") == [name for name in names if holders[1] in name]


@pytest.mark.row("SH-13")
def test_a_caller_waits_for_the_rest_of_the_budget_alone(links: Links, redis_server: RedisServer) -> None:
    link = links(timeout=5)
    record = TurnRecord("chat", "r")
    Link.begin_turn(record)
    reader, writer = RedisStore(link), RedisStore(link, PATIENT)
    assert writer.put("a", b"x", 60, 0) and record.redis_ms == 0
    assert reader.get("a") and record.redis_ms

    record.redis_ms = 4_950.0
    with redis_server.frozen():
        started = time.monotonic()
        with pytest.raises(StoreFailed, match="timeout"):
            reader.get("a")
        assert time.monotonic() - started < 4
    with pytest.raises(StoreFailed, match="timeout"):
        reader.get("a")
    entry = writer.get("a")
    assert entry and entry.data == b"x"


@pytest.mark.row("SH-13")
def test_a_frozen_redis_costs_the_memory_and_no_turn(links: Links, redis_server: RedisServer) -> None:
    link = links()
    link.timeout = 0.05
    sessions = Sessions(RedisStore(link, 0.05), ttl=60, reader=RedisStore(link))
    with redis_server.frozen(), capture_logs() as logged:
        assert sessions.recall(KEY, ask("x"), "", mode="full", with_tools=True) is None
        assert not end(sessions, "x", 1.0) and not sessions.forget(KEY)
        assert not link.is_up

    assert [line["event"] for line in logged] == ["memory_failed", "redis_down"]
    link.timeout = PATIENT
    link.beat()
    assert end(sessions, "x", 1.0)


def test_turns_that_end_leave_callers_their_connections(store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.frozen():
        ending = [gevent.spawn(store.put, str(number), b"x", 60, 0) for number in range(20)]
        gevent.sleep(0.1)
        assert store._link._gate.counter == CONNECTIONS - WRITES_AT_ONCE
    gevent.joinall(ending, raise_error=True)
    assert all(each.value for each in ending)


def test_random_interruptions_mix_up_no_sessions(store: RedisStore) -> None:
    chance, wrong = random.Random(7), []

    def caller(name: str) -> None:
        for number in range(40):
            key = f"{name}-{number}"
            with gevent.Timeout(chance.choice([0, 0.0005, PATIENT, PATIENT]), False):
                store.put(key, key.encode(), 60, 0)
                entry = store.get(key)
                wrong.extend([] if entry and entry.data == key.encode() else [key])

    gevent.joinall([gevent.spawn(caller, f"c{number}") for number in range(20)], raise_error=True)
    assert wrong == []
