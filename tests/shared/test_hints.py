"""Hints between workers on their upstreams, at a real server: told, heeded, refuted, over; and poison in their keys."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from redis_servers import RedisServer
from structlog.testing import capture_logs

from parley.errors import UpstreamError, UpstreamRefused
from parley.shared.hints import MOST_MS, Hints, names_of
from parley.shared.link import Link
from parley.upstream.health import UpstreamHealth

pytestmark = pytest.mark.row("SH-14")
LATE_MS = 10_000
"""Milliseconds by which a busy machine may be late."""


@dataclass
class Api:
    """An upstream reduced to its place at an API."""

    name: str
    account: str
    model: str = "m"
    limits_are_callers: bool = False


class Worker:
    """A worker with two upstreams, of which the first has the account `one`, and its link, told when to beat."""

    def __init__(self, link: Link, *apis: Api) -> None:
        self.link = link
        self.upstreams = [UpstreamHealth(api) for api in apis or (Api("primary", "one"), Api("fallback-1", "two"))]  # type: ignore[arg-type]
        self.first = self.upstreams[0]
        self.hints = Hints(link, self.upstreams)

    def limit(self, retry_after: str = "30") -> None:
        self.first.failed(UpstreamRefused(429, {}, headers={"retry-after": retry_after}))

    def break_network(self) -> None:
        for _ in range(5):
            self.first.failed(UpstreamError(""))

    def beat(self) -> list[Any]:
        """Beat, and return what was logged."""
        with capture_logs() as logged:
            self.link.beat()
        assert self.link.is_up
        return [(line["event"], line["upstream"], line["reason"]) for line in logged]


@pytest.fixture
def workers(links: Callable[[], Link]) -> Callable[..., list[Worker]]:
    """Return a function that makes workers, all of which know how many they are."""

    def make(count: int = 2, *apis: Api) -> list[Worker]:
        made = [Worker(links(), *apis) for _ in range(count)]
        for worker in made:
            worker.link.beat()
        return made

    return make


Workers = Callable[..., list[Worker]]


def now_ms(server: RedisServer) -> int:
    seconds, microseconds = server.client.time()
    return int(seconds * 1000 + microseconds / 1000)


AVOIDED, RESUMED = "upstream_avoided", "upstream_resumed"


def test_a_limit_is_kept_by_all(workers: Workers, redis_server: RedisServer) -> None:
    one, other = workers()
    one.limit()
    assert one.beat() == [] and other.beat() == [(AVOIDED, "primary", "limited")]
    assert [upstream.hinted for upstream in other.upstreams] == ["limited", ""]
    assert other.hints.details() == {"upstreams_avoided": {"primary": "limited"}}
    assert one.first.hint is None and one.hints.details() == {}, "its own word is no hint"
    assert other.beat() == one.beat() == [], "told once"

    key = "t:{one}:limited"
    assert 30_000 - LATE_MS < redis_server.client.pttl(key) <= 30_000
    assert 30_000 - LATE_MS < int(redis_server.client.get(key)) - now_ms(redis_server) <= 30_000
    assert set(redis_server.client.scan_iter()) == {"t:workers", key}


def test_what_redis_knows_is_not_told_again(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    from parley.shared import hints

    (one,) = workers(1)
    told, run = [], hints.EXCHANGE.run
    monkeypatch.setattr(hints.EXCHANGE, "run", lambda *given: (told.append(given[3:5]), run(*given))[1])
    one.break_network()
    one.limit()
    one.beat()
    one.beat()
    assert [[time > 0 for time in news] for news in told] == [[True, True], [False, False], *[[False, False]] * 2]


@pytest.mark.parametrize("asked", ["86400", "Sat, 01 Jan 2050 00:00:00 GMT"], ids=["a day", "a date"])
def test_a_long_limit_is_kept_for_a_minute(workers: Workers, redis_server: RedisServer, asked: str) -> None:
    one, other = workers()
    one.limit(asked)
    one.beat()
    other.beat()
    assert other.first.hint and MOST_MS - LATE_MS < (other.first.hint.until - time.monotonic()) * 1000 <= MOST_MS
    assert redis_server.client.pttl("t:{one}:limited") <= MOST_MS


def test_what_is_no_limit_is_told_to_nobody(workers: Workers, redis_server: RedisServer) -> None:
    one, other = workers()
    one.limit("0")
    one.first.failed(UpstreamError("", status=503, headers={"retry-after": "30"}))
    one.beat()
    assert other.beat() == [] and set(redis_server.client.scan_iter()) == {"t:workers"}


def test_a_hint_ends_with_its_time(workers: Workers, redis_server: RedisServer) -> None:
    one, other = workers()
    one.limit()
    one.beat()
    other.beat()
    redis_server.client.pexpire("t:{one}:limited", 1)
    while redis_server.client.exists("t:{one}:limited"):
        pass
    assert other.beat() == [(RESUMED, "primary", "over")]
    assert other.first.hint is None and other.beat() == []


def test_an_own_answer_ends_what_others_said(workers: Workers) -> None:
    one, other, third = workers(3)
    one.limit()
    for worker in (one, other, third):
        worker.beat()
    other.first.succeeded()
    assert other.beat() == [(RESUMED, "primary", "answered")]
    assert other.beat() == [] and other.first.hint is None and third.first.hinted == "limited"

    # A limit that is reached later is another one, though it may end earlier.
    third.limit("20")
    third.beat()
    assert other.beat() == [(AVOIDED, "primary", "limited")]


def test_an_answer_during_a_beat_counts(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    from parley.shared import hints

    one, other = workers()
    one.limit()
    one.beat()
    other.beat()
    run = hints.EXCHANGE.run

    def answered(client: Any, keys: list[str], *arguments: Any) -> Any:
        if keys[0] == "t:{one}:limited":
            other.first.succeeded()
        return run(client, keys, *arguments)

    monkeypatch.setattr(hints.EXCHANGE, "run", answered)
    assert other.beat() == [] and other.first.hint is None
    monkeypatch.undo()
    assert other.beat() == [(RESUMED, "primary", "answered")] and other.first.hint is None


@pytest.mark.parametrize(
    ("count", "sick", "is_heeded"),
    [(2, 1, False), (3, 1, False), (3, 2, True), (4, 2, True), (5, 2, False), (5, 3, True)],
    ids=["1 of 2", "1 of 3", "2 of 3", "2 of 4", "2 of 5", "3 of 5"],
)
def test_half_of_the_workers_must_find_it_sick(workers: Workers, count: int, sick: int, is_heeded: bool) -> None:
    *others, last = workers(count)
    for worker in others[:sick]:
        worker.break_network()
        worker.beat()
    assert last.beat() == ([(AVOIDED, "primary", "sick")] if is_heeded else [])
    assert last.first.hinted == ("sick" if is_heeded else "")


def test_votes_end_with_the_breakers_pause(workers: Workers, redis_server: RedisServer) -> None:
    one, other, third = workers(3)
    for worker in (one, other):
        worker.break_network()
        worker.beat()
    third.beat()
    assert third.first.hint and third.first.hint.until - time.monotonic() <= 5
    votes = redis_server.client.zrange("t:{one}:sick", 0, -1, withscores=True)
    assert {name for name, _ in votes} == {one.link.worker, other.link.worker}
    assert all(0 < until - now_ms(redis_server) <= 5_000 for _, until in votes)
    assert 0 < redis_server.client.pttl("t:{one}:sick") <= MOST_MS

    # One vote less is too few.
    redis_server.client.zadd("t:{one}:sick", {one.link.worker: now_ms(redis_server)})
    assert third.beat() == [(RESUMED, "primary", "over")]


def test_an_own_answer_refutes_the_votes_so_far(workers: Workers, redis_server: RedisServer) -> None:
    _, _, third = workers(3)
    now = now_ms(redis_server)
    redis_server.client.zadd("t:{one}:sick", {"a": now + 20_000, "b": now + 21_000})
    assert third.beat() == [(AVOIDED, "primary", "sick")]
    third.first.succeeded()
    assert third.beat() == [(RESUMED, "primary", "answered")]
    assert third.beat() == []

    redis_server.client.zadd("t:{one}:sick", {"a": now + 30_000})
    assert third.beat() == [], "one new vote"
    redis_server.client.zadd("t:{one}:sick", {"b": now + 30_000})
    assert third.beat() == [(AVOIDED, "primary", "sick")]


def test_a_frozen_server_changes_nothing(workers: Workers, redis_server: RedisServer) -> None:
    one, other = workers()
    one.limit()
    one.beat()
    other.beat()
    other.link._deadline = 0.1
    with redis_server.frozen():
        other.link.beat()
        assert not other.link.is_up and other.first.hinted == "limited"
        other.first.heed("limited", 0)
        assert other.first.hinted == "" and other.hints.details() == {}, "it ends by itself"


def test_a_server_that_has_forgotten_is_told_again(workers: Workers, redis_server: RedisServer) -> None:
    one, other = workers()
    one.limit()
    one.beat()
    redis_server.client.flushall()
    one.beat()
    assert other.beat() == [(AVOIDED, "primary", "limited")]


def test_what_redis_has_missed_is_told_later(workers: Workers, links: Callable[[], Link]) -> None:
    one, other = workers()
    with RedisServer() as server:
        elsewhere = Worker(links(server.url))  # type: ignore[call-arg]
        elsewhere.limit()
        server.kill()
        elsewhere.link.beat()
        server.start()
        elsewhere.link.beat()
        assert server.client.exists("t:{one}:limited")
    assert one.beat() == other.beat() == []


POISON: dict[str, Callable[[Any, int], Any]] = {
    "no number": lambda client, now: client.set("t:{one}:limited", "soon"),
    "nan": lambda client, now: client.set("t:{one}:limited", "nan"),
    "inf": lambda client, now: client.set("t:{one}:limited", "inf"),
    "-inf": lambda client, now: client.set("t:{one}:limited", "-inf"),
    "empty": lambda client, now: client.set("t:{one}:limited", ""),
    "far future": lambda client, now: client.set("t:{one}:limited", str(now * 10)),
    "more than a minute": lambda client, now: client.set("t:{one}:limited", str(now + 3_600_000)),
    "huge": lambda client, now: client.set("t:{one}:limited", "9" * 1_000_000),
    "bytes": lambda client, now: client.set("t:{one}:limited", b"\xff\0\xfe"),
    "a list": lambda client, now: client.lpush("t:{one}:limited", "1"),
    "votes of the far future": lambda client, now: client.zadd("t:{one}:sick", {str(n): now * 10 for n in range(9)}),
    "votes without an end": lambda client, now: client.zadd("t:{one}:sick", {str(n): "inf" for n in range(9)}),
    "100 000 votes": lambda client, now: client.zadd("t:{one}:sick", {str(n): n for n in range(100_000)}),
    "votes as text": lambda client, now: client.set("t:{one}:sick", "text"),
    "votes as a set": lambda client, now: client.sadd("t:{one}:sick", "a", "b", "c"),
}


@pytest.mark.parametrize("poison", POISON)
def test_poison_in_the_keys_does_no_harm(workers: Workers, redis_server: RedisServer, poison: str) -> None:
    one, other = workers()
    POISON[poison](redis_server.client, now_ms(redis_server))
    assert other.beat() == [] and other.first.hint is None

    # Neither does it keep a worker from telling what it knows.
    one.break_network()
    one.limit()
    assert one.beat() == []
    assert other.beat() == [(AVOIDED, "primary", "limited")]


@pytest.mark.parametrize("reply", [[0, 10**18, 10**18, 10**18, 10**18], [-1, -1, -1, -1, -1]])
def test_no_answer_of_a_server_is_believed_in_blindly(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, reply: list[int]
) -> None:
    from parley.shared import hints

    one, _ = workers()
    monkeypatch.setattr(hints.EXCHANGE, "run", lambda *_: reply)
    one.beat()
    hint = one.first.hint
    assert hint is None if reply[1] < 0 else hint and hint.until - time.monotonic() <= MOST_MS / 1000


def test_a_user_without_the_rights_loses_the_hints_alone(links: Callable[..., Link]) -> None:
    rights = "on >parley-secret ~t:workers ~t:{two}:* +@read +@write +@scripting +@connection +time"
    with RedisServer(*f"--user parley {rights} --user default off".split()) as server:
        worker = Worker(links(f"redis://parle%79:parley-secret@127.0.0.1:{server.port}"))
        # As at a start, when no beat has been yet.
        worker.link.state, worker.link._was_up = "down", False
        with capture_logs() as logged:
            worker.link.beat()
            worker.link.beat()
        assert worker.link.is_up
        assert [(line["event"], line["op"]) for line in logged] == [("redis_error", "hints")]


def test_one_upstream_alone_asks_for_nothing(workers: Workers, redis_server: RedisServer) -> None:
    (alone,) = workers(1, Api("primary", "one"))
    redis_server.client.set("t:{one}:limited", now_ms(redis_server) + 30_000)
    assert alone.beat() == [] and alone.first.hint is None
    # Others learn from it all the same.
    alone.limit()
    alone.beat()
    assert redis_server.client.pttl("t:{one}:limited") > 0


def test_a_limit_of_a_callers_own_token_is_told_to_nobody(workers: Workers, redis_server: RedisServer) -> None:
    (worker,) = workers(1, Api("primary", "one", limits_are_callers=True), Api("fallback-1", "two"))
    worker.limit()
    worker.beat()
    assert not redis_server.client.exists("t:{one}:limited")


def test_an_upstream_of_this_machine_is_nobody_elses() -> None:
    assert names_of([Api("embedded", ""), Api("fallback-1", "two")]) == ["", "two"]  # type: ignore[list-item]


def test_models_of_one_account_are_limited_apart() -> None:
    apis = [Api("primary", "one", "big"), Api("fallback-1", "one", "small"), Api("fallback-2", "one", "big")]
    small = hashlib.sha256(b"one\0small").hexdigest()[:16]
    assert names_of(apis) == ["one", small, "one"]
