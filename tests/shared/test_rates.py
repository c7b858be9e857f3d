"""RATE_LIMIT over several workers, at a real server."""

import gevent
import pytest
from redis_servers import RedisServer

from parley.errors import LimitsUnavailable, RateLimited
from parley.shared.link import Link
from parley.shared.rates import SLICES, SharedRate


def rate_of(link: Link, rate: str = "5/minute", without: str = "share") -> SharedRate:
    return SharedRate(link, rate, lambda holder: f"digest-of-{holder}", without)


def admitted(rate: SharedRate, tries: int, holder: str = "key-1") -> int:
    count = 0
    for _ in range(tries):
        try:
            rate.take(holder)
        except RateLimited:
            continue
        count += 1
    return count


@pytest.mark.row("SH-10")
def test_workers_keep_one_limit_for_each_key(links: object, redis_server: RedisServer) -> None:
    first, second = (rate_of(links()) for _ in range(2))  # type: ignore[operator]

    assert admitted(first, 3) == 3
    assert admitted(second, 9) == 2
    assert admitted(first, 1) == 0
    assert admitted(second, 9, "key-2") == 5
    assert set(redis_server.client.keys()) == {"t:workers", "t:{digest-of-key-1}:rate", "t:{digest-of-key-2}:rate"}


def test_a_refusal_tells_when_the_next_turn_may_begin(link: Link) -> None:
    rate = rate_of(link, "2/hour")
    assert admitted(rate, 2) == 2

    with pytest.raises(RateLimited) as refused:
        rate.take("key-1")
    seconds = int(refused.value.headers["retry-after"])
    assert 3600 - 60 <= seconds <= 3600 + 60
    assert refused.value.headers["x-ratelimit-limit"] == "2"


@pytest.mark.row("SH-10")
def test_never_more_than_the_limit_in_any_stretch(link: Link) -> None:
    rate, begun = rate_of(link, "5/second"), []
    with gevent.Timeout(20):
        while not begun or begun[-1] - begun[0] < 2_500_000:
            if admitted(rate, 1):
                seconds, micros = link.ask("rate", lambda client: client.time(), 5)
                begun.append(seconds * 1_000_000 + micros)
            gevent.sleep(0.003)

    # The time was asked for after each turn, so that a turn may seem later than it was counted by one question.
    busiest = max(len([moment for moment in begun if first <= moment < first + 980_000]) for first in begun)
    assert busiest <= 5
    assert len(begun) >= 8


@pytest.mark.row("SH-10")
def test_only_the_servers_clock_counts(links: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    first, second = (rate_of(links()) for _ in range(2))  # type: ignore[operator]
    assert admitted(first, 5) == 5
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)

    assert admitted(second, 5) == 0


def test_slices_expire_and_no_key_is_kept_for_ever(link: Link, redis_server: RedisServer) -> None:
    rate = rate_of(link, "3/second")
    assert admitted(rate, 5) == 3
    key = "t:{digest-of-key-1}:rate"
    assert 0 < redis_server.client.pttl(key) <= 1000 * (SLICES + 2) / SLICES + 1
    gevent.sleep(1.1)

    assert admitted(rate, 5) == 3
    assert redis_server.client.hlen(key) <= SLICES + 1


@pytest.mark.row("SH-15")
@pytest.mark.parametrize("value", ["x", "-5", "1e999", "nan", ""])
def test_poison_in_a_slice_breaks_nothing(link: Link, redis_server: RedisServer, value: str) -> None:
    redis_server.client.hset("t:{digest-of-key-1}:rate", mapping={"x": "9", "1": value, "99999999999999": "9"})
    rate = rate_of(link)

    assert admitted(rate, 9) == 5
    assert link.is_up


@pytest.mark.row("SH-01")
@pytest.mark.parametrize(("without", "expected"), [("share", 2), ("open", 9)])
def test_without_redis_each_worker_has_its_share(link: Link, without: str, expected: int) -> None:
    rate = rate_of(link, without=without)
    link.state, link.workers = "down", 3

    assert admitted(rate, 9) == expected


@pytest.mark.row("SH-12")
def test_without_redis_a_turn_may_be_refused(link: Link) -> None:
    rate = rate_of(link, without="refuse")
    link.state = "down"

    with pytest.raises(LimitsUnavailable) as refused:
        rate.take("key-1")
    assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")
    assert refused.value.headers == {"retry-after": "1"}


@pytest.mark.row("SH-10")
def test_a_fall_does_not_begin_with_an_empty_stretch(link: Link) -> None:
    rate = rate_of(link)
    assert admitted(rate, 4) == 4
    link.state, link.workers = "down", 1

    assert admitted(rate, 9) == 1


@pytest.mark.row("SH-11")
def test_a_key_of_another_type_is_counted_here(link: Link, redis_server: RedisServer) -> None:
    redis_server.client.set("t:{digest-of-key-1}:rate", "text")
    rate = rate_of(link)

    assert admitted(rate, 9) == 5
    assert admitted(rate, 9, "key-2") == 5
    assert link.is_up
