"""MAX_STREAMS_PER_KEY over several workers, at a real server: taken, renewed, given back, expired."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis_servers import RedisServer
from tcp_proxy import TcpProxy

from parley.errors import ClientGone, LimitsUnavailable, RateLimited
from parley.shared import leases as module
from parley.shared import urls
from parley.shared.leases import LEASE_MS, SharedPlaces
from parley.shared.link import Link
from parley.shared.local import Place
from parley.shared.rates import SharedRate
from parley.turn_record import TurnRecord

KEY = "t:{digest-of-key-1}:streams"
LIMIT = 3


def name_of(holder: str) -> str:
    return f"digest-of-{holder}"


def places_of(link: Link, limit: int = LIMIT, without: str = "share") -> SharedPlaces:
    return SharedPlaces(link, limit, name_of, without)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places are asked for again soon."""
    monkeypatch.setattr(module, "PAUSES", (0.001, 0.002))


def settle() -> None:
    gevent.sleep(0.05)


@pytest.mark.row("SH-09")
def test_places_are_shared_and_given_back(links: object, redis_server: RedisServer) -> None:
    first, second = (places_of(links()) for _ in range(2))  # type: ignore[operator]
    held = [first.take("key-1", 1), first.take("key-1", 2), second.take("key-1", 1)]

    for places in (first, second):
        with pytest.raises(RateLimited, match="this key may hold 3 conversations at a time"):
            places.take("key-1", 3)
    second.take("key-2", 2)
    first.give(held[0])
    settle()
    assert redis_server.client.zcard(KEY) == 2
    second.take("key-1", 2)
    assert redis_server.client.zcard(KEY) == 3


def test_a_place_that_is_just_being_given_back_is_waited_for(links: object) -> None:
    first, second = (places_of(links(), 1) for _ in range(2))  # type: ignore[operator]
    held = first.take("key-1", 1)
    gevent.spawn_later(0.001, first.give, held)

    assert second.take("key-1", 1)


@pytest.mark.row("SH-09")
def test_whoever_leaves_while_a_place_is_asked_for_holds_none(link: Link, redis_server: RedisServer) -> None:
    places = places_of(link, 1)
    places.take("key-1", 1)

    @contextlib.contextmanager
    def leaves() -> Iterator[None]:
        raise ClientGone
        yield

    with pytest.raises(ClientGone):
        places.take("key-1", 2, leaves)
    settle()
    assert redis_server.client.zcard(KEY) == 1 and len(places._held["t:{digest-of-key-1}:streams"]) == 1


@pytest.mark.row("SH-09")
def test_a_late_renewal_revives_no_place(link: Link, redis_server: RedisServer) -> None:
    places = places_of(link)
    given, kept = places.take("key-1", 1), places.take("key-1", 2)
    places.give(given)
    settle()

    # As a renewal that was under way when the place was given back.
    link.ask("beat", lambda client: module.RENEW.run(client, KEY, LEASE_MS, "XX", given.slot, kept.slot))
    assert redis_server.client.zrange(KEY, 0, -1) == [kept.slot]


@pytest.mark.row("SH-05", "SH-10")
@pytest.mark.parametrize("end", ["the budget", "Redis"])
def test_what_redis_has_said_of_places_stands(link: Link, links: Callable[..., Link], end: str) -> None:
    """A turn that finds no place waits for one; by its own count there would be one."""
    others = places_of(links(), 1)
    others.take("key-1", 1)
    record = TurnRecord("chat", "r")
    Link.begin_turn(record)

    @contextlib.contextmanager
    def ending() -> Iterator[None]:
        yield
        if end == "Redis":
            link.state = "down"
        record.redis_ms = 1000.0

    with pytest.raises(RateLimited):
        places_of(link, 1).take("key-1", 1, ending)
    assert link._failures == 0


@pytest.mark.row("SH-09", "SH-10")
def test_place_and_rate_are_asked_for_together(link: Link, redis_server: RedisServer) -> None:
    asked, run = [], link.ask
    rate = SharedRate(link, "3/hour", name_of, "share")
    places = SharedPlaces(link, 2, name_of, "share", rate)

    def count(op: str, *rest: Any) -> Any:
        asked.append(op)
        return run(op, *rest)

    link.ask = count  # type: ignore[method-assign]
    held = [places.take("key-1", running) for running in (1, 2)]
    assert asked == ["admit"] * 2
    with pytest.raises(RateLimited, match="may hold 2 conversations at a time"):
        places.take("key-1", 3)
    places.give(held.pop())
    settle()
    # The third of the hour: what got no place was not counted.
    places.give(places.take("key-1", 2))
    settle()
    with pytest.raises(RateLimited, match="may begin 3 conversations per hour") as refused:
        places.take("key-1", 2)
    assert int(refused.value.headers["retry-after"]) > 3500
    settle()
    assert redis_server.client.zrange(KEY, 0, -1) == [held[0].slot], "who may not begin holds no place"
    rate.take("key-2")
    assert redis_server.client.hvals("t:{digest-of-key-2}:rate") == ["1"]


@pytest.mark.row("SH-01", "SH-11")
@pytest.mark.parametrize("wrong", ["t:{digest-of-key-1}:rate", "", KEY], ids=["rate broken", "down", "places broken"])
def test_without_an_answer_both_are_counted_here(link: Link, redis_server: RedisServer, wrong: str) -> None:
    places = SharedPlaces(link, 9, name_of, "share", SharedRate(link, "3/hour", name_of, "share"))
    if wrong:
        redis_server.client.set(wrong, "text")
    else:
        link.state = "down"

    for running in (1, 2, 3):
        places.take("key-1", running)
    with pytest.raises(RateLimited, match="may begin 3 conversations per hour"):
        places.take("key-1", 4)
    with pytest.raises(RateLimited, match="may hold 9 conversations at a time"):
        places.take("key-1", 10)
    assert len(places._held["t:{digest-of-key-1}:streams"]) == 3


def expiries(server: RedisServer) -> dict[str, float]:
    return dict(server.client.zrange(KEY, 0, -1, withscores=True))


@pytest.mark.row("SH-08")
def test_places_are_renewed_every_few_beats(
    link: Link, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(link)
    place = places.take("key-1", 1)
    link.beat()
    before = expiries(redis_server)[place.slot]
    link.beat()
    assert expiries(redis_server)[place.slot] == before, "not at each beat"

    monkeypatch.setattr(module, "RENEW_SECONDS", 0.0)
    gevent.sleep(0.01)
    link.beat()
    assert expiries(redis_server)[place.slot] > before
    assert 0 < redis_server.client.pttl(KEY) <= LEASE_MS


@pytest.mark.row("SH-05", "SH-11")
def test_many_keys_are_renewed_in_one_round_trip(links: Callable[..., Link], redis_server: RedisServer) -> None:
    with TcpProxy(redis_server.port) as proxy:
        link = links(f"redis://127.0.0.1:{proxy.port}")
        places = places_of(link)
        held = [places.take(f"key-{number}", 1) for number in range(80)]
        # One key of another type says nothing of the server.
        redis_server.client.set(held[0].key, "text")
        redis_server.client.script_flush()
        for place in held[1:]:
            redis_server.client.zadd(place.key, {"dead": 1})
        proxy.delay = 0.01
        link.beat()
    assert link.is_up
    assert [redis_server.client.zrange(place.key, 0, -1) for place in held[1:]] == [[place.slot] for place in held[1:]]


@pytest.mark.row("SH-08")
def test_what_a_dead_worker_held_is_free_after_a_lease(links: object, redis_server: RedisServer) -> None:
    dead, living = (places_of(links()) for _ in range(2))  # type: ignore[operator]
    for running in (1, 2, 3):
        dead.take("key-1", running)
    with pytest.raises(RateLimited):
        living.take("key-1", 1)
    age(redis_server, LEASE_MS - 8000)
    with pytest.raises(RateLimited):
        living.take("key-1", 1)

    age(redis_server, 8001)
    assert living.take("key-1", 1)
    assert redis_server.client.zcard(KEY) == 1


def age(server: RedisServer, milliseconds: int) -> None:
    """Make all places older, as time would."""
    for slot in server.client.zrange(KEY, 0, -1):
        server.client.zincrby(KEY, -milliseconds, slot)


@pytest.mark.row("SH-03")
def test_an_emptied_server_learns_of_all_places(link: Link, redis_server: RedisServer) -> None:
    places = places_of(link, 1000)
    held = [places.take("key-1", running) for running in range(1, 451)]
    redis_server.client.flushall()

    link.beat()
    assert redis_server.client.zcard(KEY) == len(held)


@pytest.mark.row("SH-03")
def test_turns_admitted_without_redis_are_made_known(link: Link, redis_server: RedisServer) -> None:
    places = places_of(link)
    link.state = "down"
    places.take("key-1", 1)
    places.give(places.take("key-1", 2))
    settle()
    assert redis_server.client.zcard(KEY) == 0

    link.beat()
    assert link.is_up and redis_server.client.zcard(KEY) == 1


@pytest.mark.row("SH-03", "SH-09")
def test_turns_that_ended_without_redis_are_made_known(
    link: Link, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(link)
    held = [places.take(f"key-{number}", 1) for number in (1, 1, 2)]
    link.state = "down"
    for place in held:
        places.give(place)
    settle()
    assert redis_server.client.zcard(KEY) == 2

    link.beat()
    assert redis_server.client.keys("*:streams") == []
    assert not places._untold

    monkeypatch.setattr(module, "LEASE_MS", 0)
    link.state = "down"
    for _ in range(3):
        places.give(places.take("key-1", 1))
        settle()
    assert len(places._untold) == 1, "what has expired is not told"


@pytest.mark.row("SH-01")
@pytest.mark.parametrize(("without", "most"), [("share", 2), ("open", None)])
def test_without_redis_a_worker_has_its_share(link: Link, without: str, most: int | None) -> None:
    places = places_of(link, 5, without)
    assert places.most == 5
    link.state, link.workers = "down", 3

    assert places.most == most
    places.take("key-1", 2)
    if without == "share":
        with pytest.raises(RateLimited):
            places.take("key-1", 3)
    else:
        places.take("key-1", 100)


@pytest.mark.row("SH-12")
def test_without_redis_a_turn_may_be_refused(link: Link) -> None:
    places = places_of(link, without="refuse")
    link.state = "down"

    with pytest.raises(LimitsUnavailable):
        places.take("key-1", 1)
    assert not places._held


@pytest.mark.row("SH-15")
@pytest.mark.parametrize("holder", ["a}b", "*", "x:streams", "\0", "k" * 1000])
def test_a_holder_can_name_no_key_of_another(link: Link, redis_server: RedisServer, holder: str) -> None:
    from parley.admission import Keyring

    keyring = Keyring([holder])
    places = SharedPlaces(link, 1, keyring.lasting_name, "share")
    places.take("key-1", 1)

    (key,) = [key for key in redis_server.client.scan_iter() if key != "t:workers"]
    assert len(key) == len("t:{}:streams") + 16
    assert keyring.lasting_name("anybody") == "anybody"


def until(holds: Callable[[], bool]) -> None:
    """Let greenlets run until it is true."""
    with gevent.Timeout(20):
        while not holds():
            gevent.sleep(0.001)


class Workers(RuleBasedStateMachine):
    """Two workers take and give places, renew them, die, and lose what Redis knew."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.server.client.flushall()
        self.workers: list[tuple[Link, SharedPlaces, list[Place]]] = []
        self.forgotten = False
        for _ in range(2):
            self.start()

    def start(self) -> None:
        link = Link(urls.parse(self.server.url), timeout=5, prefix="t")
        self.workers.append((link, places_of(link), []))
        link.beat()

    def teardown(self) -> None:
        for link, _, _ in self.workers:
            assert link._client is not None
            link._client.close()

    @property
    def open(self) -> int:
        return sum(len(held) for _, _, held in self.workers)

    @rule(number=some.integers(0, 1))
    def take(self, number: int) -> None:
        _, places, held = self.workers[number]
        try:
            held.append(places.take("key-1", len(held) + 1))
        except RateLimited:
            known = self.server.client.zcard(KEY)
            assert known >= LIMIT

    @precondition(lambda self: self.open)
    @rule(number=some.integers(0, 1))
    def give(self, number: int) -> None:
        _, places, held = self.workers[number]
        if held:
            place = held.pop()
            places.give(place)
            until(lambda: self.server.client.zscore(KEY, place.slot) is None)

    @rule(number=some.integers(0, 1))
    def renew(self, number: int) -> None:
        link, places, _ = self.workers[number]
        places._renewed -= module.RENEW_SECONDS
        link.beat()

    @rule(number=some.integers(0, 1))
    def die(self, number: int) -> None:
        link, _, _ = self.workers.pop(number)
        assert link._client is not None
        link._client.close()
        self.start()

    @rule()
    def forget(self) -> None:
        self.server.client.flushall()
        for link, _, _ in self.workers:
            link.beat()

    @rule()
    def freeze(self) -> None:
        for link, _, _ in self.workers:
            link.state = "down"
        for link, _, _ in self.workers:
            link.beat()

    @rule()
    def let_a_lease_pass(self) -> None:
        for _ in range(3):
            age(self.server, LEASE_MS // 3)
            for link, places, _ in self.workers:
                places._renewed -= module.RENEW_SECONDS
                link.beat()
        # What dead workers held is gone where a worker that lives holds something; elsewhere the key itself expires.
        if self.open:
            assert self.server.client.zcard(KEY) == self.open, "leaked"

    @invariant()
    def no_more_than_the_limit(self) -> None:
        assert self.open <= LIMIT


def test_no_history_leaks_places_or_exceeds_the_limit(redis_server: RedisServer) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Workers.server = redis_server
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Workers,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            # A failure is told as it came: to look for a smaller one would take minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
