"""Two hosts behind a balancer share a Redis and a database: limits, knowledge, and what callers notice of failures.

Nothing is simulated but the model: `tests/support/several_hosts.py`. All hosts have the same settings, and beta's clock
is five seconds ahead of the others' in every test.

    python -m pytest -q -s -m hosts tests/test_several_hosts.py      prints the counts of each load
"""

import contextlib
import math
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests
from callers import CALLERS, LONG, OpenStream, Turn, calling, failed, has_ended, summary, take_turn
from exchange import CHAT, RAG
from fake_upstream import Call, Step, answer, chunks, completion, event, events
from running_server import post, receive_until
from several_hosts import RATE, SKEW_SECONDS, STREAMS, WORKERS, Deployment, Host, several_hosts
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.hosts]
LEASE_SECONDS = 15
LATE_SECONDS = 5.0
"""Seconds by which a busy machine may be late."""
ENDLESS = "Never stop."
KEYS_OF_A_LOAD = 60
"""So many that no limit is in the way of a load, nor a worker's share of it."""
TURNS_OF_A_LOAD = 20
"""Turns that a load makes before, while and after something happens, at least."""
STREAMED = {"stream": True, "waiting": "off"}
HOUR = re.compile(r"open at (\d+) sharp")


@pytest.fixture(scope="module")
def _deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with several_hosts(tmp_path_factory.mktemp("hosts")) as deployment:
        deployment.upstream.script = script
        yield deployment


@pytest.fixture
def deployment(_deployed: Deployment) -> Iterator[Deployment]:
    """Yield the hosts, all of which are well; the test is at the bridge that joins them."""
    _deployed.mend()
    _deployed.upstream.calls.clear()
    yield _deployed
    _deployed.upstream.wait_until(lambda: _deployed.upstream.open_calls == 0)


def script(call: Call) -> Iterator[Step]:
    """Answer with the hours that the knowledge tells; some questions have longer answers."""
    asked = call.json["messages"][-1]["content"]
    words = " ".join(HOUR.findall(asked)) or "Hello there"
    if not call.json.get("stream"):
        yield from completion(words)
    elif ENDLESS in asked:
        yield from events(chunks(words)[:3])
        while True:
            yield 0.1
            yield event(chunks("and")[1])
    else:
        yield from answer(words if LONG not in asked else "so " * 30, interval=0.03)


def take_turns(url: str, key: str, count: int) -> list[Turn]:
    """Make so many turns with one key, as many at once as it may, and hear each to its end."""
    with ThreadPoolExecutor(STREAMS) as pool:
        return list(pool.map(lambda _: take_turn(url, key, stream=False), range(count)))


def statuses(turns: Sequence[Turn]) -> Counter[int]:
    return Counter(turn.status for turn in turns)


@contextlib.contextmanager
def open_stream(host: Host, key: str) -> Iterator[OpenStream]:
    """Yield a stream that has begun and does not end by itself."""
    with host.server.connect() as connection:
        body = {"messages": [{"role": "user", "content": ENDLESS}], "stream": True}
        connection.sendall(post(CHAT, body, x_api_key=key))
        assert b" 200 " in receive_until(connection, b"Hello").partition(b"\r\n")[0]
        yield OpenStream(connection, host.address)


def has_knowledge(turns: Sequence[Turn]) -> bool:
    """Return whether each answer from the knowledge holds both passages, and both of one revision."""
    hours = [turn.words.split() for turn in turns if turn.path == RAG and turn.is_whole]
    return bool(hours) and all(len(two) == 2 and two[0] == two[1] for two in hours)


def turns_of_each(deployment: Deployment) -> list[Turn]:
    """Return turns with the knowledge at each host, so many that both of its workers have had some, most likely."""
    hosts = zip(deployment.keys(len(deployment.hosts)), deployment.hosts, strict=True)
    return [take_turn(host.server.url, key, RAG, **STREAMED) for key, host in hosts for _ in range(8)]


def told_again(hosts: Sequence[Host], event: str) -> Callable[[], bool]:
    """Return a function that tells whether all workers of these hosts have logged an event once more since now."""
    before = [host.logged(event) for host in hosts]
    return lambda: all(host.logged(event) >= old + WORKERS for host, old in zip(hosts, before, strict=True))


def wait_for_more(turns: Sequence[Turn]) -> None:
    """Wait until a load has made some more turns."""
    enough = len(turns) + TURNS_OF_A_LOAD
    wait_until(lambda: len(turns) >= enough)


def date_of(host: Host) -> str:
    """Return the time of day that a host tells."""
    return requests.get(f"{host.server.url}/health", timeout=10).headers["date"]


# --- limits ---


@pytest.mark.row("SH-10", "MH-04")
def test_both_hosts_keep_one_rate(deployment: Deployment) -> None:
    (key,) = deployment.keys(1)
    turns = take_turns(deployment.balancer.url, key, 3 * RATE)
    counts = statuses(turns)
    print(f"\n{RATE}/minute over two hosts: {dict(counts)}")
    assert counts.keys() == {200, 429} and RATE - 2 <= counts[200] <= RATE + 2
    assert {turn.host for turn in turns if turn.is_whole} == {host.address for host in deployment.hosts}


@pytest.mark.row("SH-09", "MH-04")
def test_both_hosts_keep_one_number_of_streams(deployment: Deployment) -> None:
    (key,) = deployment.keys(1)
    asked = post(CHAT, {"messages": [{"role": "user", "content": ENDLESS}], "stream": True}, x_api_key=key)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(deployment.balancer.connect()) for _ in range(6 * STREAMS)]

        def begin(connection: socket.socket) -> bytes:
            connection.sendall(asked)
            return receive_until(connection, b"\r\n\r\n")

        with ThreadPoolExecutor(len(connections)) as pool:
            heads = list(pool.map(begin, connections))
        begun = [head for head in heads if b" 200 " in head.partition(b"\r\n")[0]]
        assert len(begun) == STREAMS
        assert all(b" 429 " in head.partition(b"\r\n")[0] for head in heads if head not in begun)
        # Which of the two has the places is left to chance.
        asked_hosts = {re.findall(rb"(?i)x-served-by: ([\d.]+)", head)[0].decode() for head in heads}
        assert asked_hosts == {host.address for host in deployment.hosts}
    # As soon as they are gone, and not only when their leases are over.
    left = time.monotonic()
    wait_until(lambda: take_turn(deployment.balancer.url, key).is_whole)
    assert time.monotonic() - left < LEASE_SECONDS - LATE_SECONDS


@pytest.mark.row("MH-04")
def test_the_clock_of_redis_alone_counts(deployment: Deployment) -> None:
    (key,) = deployment.keys(1)
    clocks = [parsedate_to_datetime(date_of(host)) for host in deployment.hosts]
    assert (clocks[1] - clocks[0]).total_seconds() >= SKEW_SECONDS - 1, "beta's clock is ahead"
    client = deployment.redis.client
    with open_stream(deployment.alpha, key), open_stream(deployment.beta, key):
        places = {name: client.zrange(name, 0, -1, withscores=True) for name in client.scan_iter("*:streams")}
        turns = {name: client.hkeys(name) for name in client.scan_iter("*:rate")}
        now, _ = client.time()
        ends = [score / 1000 for found in places.values() for _, score in found]
        assert len(ends) >= 2 and max(ends) <= now + 1 + LEASE_SECONDS
        # A slice of a minute's rate is a second.
        assert max(int(second) for found in turns.values() for second in found) <= now


# --- knowledge ---


@pytest.mark.row("DB-08")
def test_both_hosts_take_over_what_is_published(deployment: Deployment) -> None:
    with calling(deployment.balancer.url, deployment.keys(KEYS_OF_A_LOAD)) as turns:
        for number, publish in ((2, deployment.publish_by_command), (3, deployment.publish)):
            is_loaded = told_again(deployment.hosts, "knowledge_loaded")
            publish(number)
            published = time.monotonic()
            wait_until(is_loaded)
            print(f"\npublished: known to all workers after {time.monotonic() - published:.2f} s", end="")
            assert {turn.words for turn in turns_of_each(deployment)} == {f"{number} {number}"}
    print(f"\n{summary(turns)}")
    assert failed(turns) == [] and has_knowledge(turns)


# --- failures ---


@pytest.mark.row("MH-03")
def test_a_host_that_is_cut_off_serves_on(deployment: Deployment) -> None:
    key, *others = deployment.keys(1 + KEYS_OF_A_LOAD)
    beta = deployment.beta
    share = WORKERS * math.ceil(RATE / (len(deployment.hosts) * WORKERS))
    shared = take_turns(deployment.balancer.url, key, 20)
    is_loaded, is_down, is_up = (told_again([beta], event) for event in ("knowledge_loaded", "redis_down", "redis_up"))
    with calling(deployment.balancer.url, others) as turns:
        with deployment.network.parted(beta.name, "redis", "database"):
            with ThreadPoolExecutor(2) as pool:
                cut = list(pool.map(lambda host: take_turns(host.server.url, key, 2 * RATE), deployment.hosts))
            wait_until(is_down)
            # What is published meanwhile comes to beta later.
            deployment.publish(4)
            assert beta.details()["redis"] == "down"
            assert has_knowledge([take_turn(beta.server.url, others[0], RAG, **STREAMED)])
        healed = time.monotonic()
        wait_until(is_up)
        took = time.monotonic() - healed
        wait_until(is_loaded)
    print(f"\nbeta without Redis and database: {summary(turns)}; shared again {took:.2f} s later")
    before, at_alpha, at_beta = (statuses(some) for some in (shared, *cut))
    print(f"one key: {dict(before)} before, then {dict(at_alpha)} at alpha and {dict(at_beta)} at beta")
    assert failed(turns) == [] and has_knowledge(turns)
    assert {*before, *at_alpha, *at_beta} == {200, 429} and 0 < at_beta[200] <= share
    assert RATE - 2 <= before[200] + at_alpha[200] <= RATE + 2
    assert took <= 1.5 + 2 * LATE_SECONDS


@pytest.mark.row("SH-03")
def test_a_killed_redis_fails_no_turn(deployment: Deployment) -> None:
    with calling(deployment.balancer.url, deployment.keys(KEYS_OF_A_LOAD)) as turns:
        wait_for_more(turns)
        is_down, is_up = (told_again(deployment.hosts, event) for event in ("redis_down", "redis_up"))
        deployment.redis.kill()
        wait_until(is_down)
        wait_for_more(turns)
        deployment.start_redis()
        back = time.monotonic()
        wait_until(is_up)
        took = time.monotonic() - back
        wait_for_more(turns)
    print(f"\nRedis killed and started empty: {summary(turns)}; shared again {took:.2f} s after it was back")
    assert failed(turns) == [] and not any(turn.is_refused for turn in turns)
    assert took <= 1.5 + LATE_SECONDS


@pytest.mark.row("MH-02")
def test_a_rolling_restart_is_not_noticed(deployment: Deployment) -> None:
    restarted = {}
    with calling(deployment.balancer.url, deployment.keys(KEYS_OF_A_LOAD)) as turns:
        wait_for_more(turns)
        for host in deployment.hosts:
            restarted[host.address] = deployment.restart(host)
        wait_for_more(turns)
    heard_out = [turn for turn in turns if turn.began < restarted.get(turn.host, 0) < turn.ended]
    print(f"\nboth hosts restarted, one after the other: {summary(turns)}; {len(heard_out)} were open at a stop")
    assert failed(turns) == [] and not any(turn.is_refused for turn in turns) and has_knowledge(turns)
    assert heard_out


@pytest.mark.row("MH-01", "SH-08")
def test_a_killed_host_takes_only_its_own_streams(deployment: Deployment) -> None:
    key, *others = deployment.keys(1 + KEYS_OF_A_LOAD)
    alpha, beta = deployment.hosts
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(open_stream(host, key)) for host in (alpha, alpha, beta, beta)]
        pool = stack.enter_context(ThreadPoolExecutor(1))
        with calling(deployment.balancer.url, others) as turns:
            wait_for_more(turns)
            killed = time.monotonic()
            beta.kill()
            dead = time.monotonic()
            freed = pool.submit(time_of_a_place, deployment, key, killed + LEASE_SECONDS + 1 + LATE_SECONDS)
            wait_for_more(turns)
            assert [has_ended(stream.connection) for stream in opened] == [False, False, True, True]
            deployment.replace(beta)
            wait_until(lambda: any(turn.began > dead and turn.host == beta.address for turn in turns))
        took = freed.result() - killed
        assert [has_ended(stream.connection) for stream in opened[:2]] == [False, False]
    print(f"\nbeta killed: {summary(turns)}; its places free after {took:.1f} s")
    broken = failed(turns)
    assert all(turn.host == beta.address and turn.began < dead for turn in broken)
    assert len(broken) <= CALLERS and not any(turn.is_refused for turn in turns) and has_knowledge(turns)
    assert LEASE_SECONDS - 6 < took <= LEASE_SECONDS + 1 + LATE_SECONDS


def time_of_a_place(deployment: Deployment, key: str, latest: float) -> float:
    """Return the time at which a key has a place again; it asks four times a second."""
    turn = take_turn(deployment.balancer.url, key)
    while turn.is_refused and time.monotonic() < latest:
        time.sleep(0.25)
        turn = take_turn(deployment.balancer.url, key)
    assert turn.is_whole or turn.is_refused
    return turn.began
