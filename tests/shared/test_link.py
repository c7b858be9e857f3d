"""The link to Redis: deadlines, who may ask, when it is down and up again. Real servers, with a proxy between."""

import contextlib
import re
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from redis_links import PATIENT
from redis_servers import RedisServer
from running_server import ROOT
from structlog.testing import capture_logs
from tcp_proxy import TcpProxy
from waiting import wait_until

from parley.checking import shared
from parley.checking.probe import Probe
from parley.settings import Settings
from parley.shared import link as module
from parley.shared import urls
from parley.shared.link import REGISTER, Link, Script, Unanswered, reply_to
from parley.turn_record import TurnRecord

Links = Callable[..., Link]
GENEROUS = 5.0
"""Seconds by which a busy machine may be late."""


def ping(client: Any) -> Any:
    return client.ping()


def reason_of(link: Link, work: Callable[[Any], Any] = ping) -> str:
    with pytest.raises(Unanswered) as raised:
        link.ask("rate", work)
    return raised.value.reason


def test_an_answer_is_returned_and_its_time_counted(link: Link) -> None:
    record = TurnRecord("chat", "r")
    Link.begin_turn(record)

    assert link.ask("rate", ping) is True
    assert record.redis_ms is not None and record.redis_ms > 0
    assert link.details() == {"redis": "ok", "workers": 1}


def test_a_script_is_sent_to_a_server_that_does_not_know_it(link: Link, redis_server: RedisServer) -> None:
    script = Script("return {KEYS[1], ARGV[1]}")

    assert link.ask("rate", lambda client: script.run(client, "k", 7)) == [b"k", b"7"]
    redis_server.client.script_flush()
    assert link.ask("rate", lambda client: script.run(client, ("k",), 8)) == [b"k", b"8"]


def test_workers_are_counted_and_forgotten(links: Links, redis_server: RedisServer) -> None:
    several = [links() for _ in range(3)]
    several[0].beat()
    assert several[0].workers == 3
    assert several[0].share_of(10) == 4 and several[0].share_of(1) == 1

    seconds, _ = redis_server.client.time()
    redis_server.client.zadd("t:workers", {"dead": (seconds - 6) * 1000})
    several[0].beat()
    assert several[0].workers == 3


@pytest.mark.parametrize("poison", [10**12, -1])
def test_no_number_of_workers_is_believed_in_blindly(link: Link, monkeypatch: pytest.MonkeyPatch, poison: int) -> None:
    monkeypatch.setattr(Script, "run", lambda *_: [poison, 0])
    link.beat()
    assert link.workers in (1, module.MOST_WORKERS)


@pytest.mark.row("SH-02")
def test_a_frozen_server_costs_three_waits_and_then_nothing(links: Links, redis_server: RedisServer) -> None:
    link = links(timeout=0.05)
    with capture_logs() as logged, redis_server.frozen():
        started = time.monotonic()
        assert [reason_of(link) for _ in range(5)] == ["timeout"] * 3 + ["down"] * 2
        # The sockets themselves would wait for a beat's time each.
        assert time.monotonic() - started < 2 * module.BEAT_DEADLINE
        started = time.process_time()
        for _ in range(1000):
            reason_of(link)
        assert time.process_time() - started < 1
        link.beat()
    assert [line["event"] for line in logged] == ["redis_down"]

    # On a busy machine an answer may take longer than half of the timeout.
    with capture_logs() as logged:
        for _ in range(100):
            link.beat()
    assert link.is_up and [line["event"] for line in logged] == ["redis_up"]


@pytest.mark.row("SH-02")
def test_one_budget_is_all_that_a_turn_waits(links: Links, redis_server: RedisServer) -> None:
    link = links(timeout=0.3)
    record = TurnRecord("chat", "r")
    Link.begin_turn(record)
    asked: list[Any] = []

    def ask(client: Any) -> None:
        asked.append(client)
        client.ping()

    with redis_server.frozen():
        assert [reason_of(link, ask), reason_of(link, ask)] == ["timeout", "timeout"]
        assert len(asked) == 1
        assert link._failures == 1, "a question that was never asked is no failure"


def test_a_deadline_of_the_callers_own_is_left_alone(links: Links, redis_server: RedisServer) -> None:
    link = links(timeout=GENEROUS)
    with redis_server.frozen(), pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.05) as outer:
        link.ask("rate", ping)
    assert raised.value is outer
    assert link.is_up


@pytest.mark.row("SH-05")
def test_the_rest_of_a_budget_proves_no_outage(links: Links) -> None:
    link = links(timeout=1.0)
    record = TurnRecord("chat", "r")
    for spent_ms, failures in ((960.0, 0), (200.0, 1)):
        Link.begin_turn(record)
        record.redis_ms = spent_ms
        assert reason_of(link, lambda _: gevent.sleep(GENEROUS)) == "timeout"
        assert link._failures == failures


@pytest.mark.row("SH-02")
def test_a_full_gate_is_no_outage(links: Links, redis_server: RedisServer) -> None:
    link = links(timeout=GENEROUS)
    asking = [gevent.spawn(link.ask, "rate", lambda _: gevent.sleep(0.5)) for _ in range(module.CONNECTIONS)]
    gevent.sleep(0)
    link.timeout = 0.05

    assert [reason_of(link) for _ in range(5)] == ["busy"] * 5
    assert link.is_up
    gevent.joinall(asking)
    assert link.ask("rate", ping)


@pytest.mark.row("SH-02", "SH-13")
def test_what_nobody_waits_for_leaves_a_connection(links: Links, redis_server: RedisServer) -> None:
    link = links()
    others = [gevent.spawn(link.ask, "memory", lambda _: gevent.sleep(GENEROUS), 2 * GENEROUS) for _ in range(6)]
    gevent.sleep(0)

    assert link.ask("rate", ping)
    gevent.killall(others)


@pytest.mark.row("SH-03")
def test_a_library_that_can_not_be_loaded_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ImportError("a broken installation")

    monkeypatch.setattr(urls, "load_client", fails)
    link = Link(urls.parse("redis://127.0.0.1"), timeout=1, prefix="t")
    with capture_logs() as logged:
        link.beat()
    assert not link.is_up and [line["event"] for line in logged] == ["redis_down"]


@pytest.mark.row("SH-03")
def test_a_refused_connection_is_believed_at_once(links: Links) -> None:
    with RedisServer() as server:
        link = links(server.url, timeout=0.5)
        server.kill()
        with capture_logs() as logged:
            while link.is_up:
                reason_of(link)
        assert len([line for line in logged if line["event"] == "redis_down"]) == 1

        server.start()
        link.beat()
        assert link.is_up and link.ask("rate", ping)


def test_one_lost_connection_is_no_outage(links: Links, redis_server: RedisServer) -> None:
    with TcpProxy(redis_server.port) as proxy:
        link = links(f"redis://127.0.0.1:{proxy.port}")
        proxy.cut()
        answers = []
        for _ in range(10):
            with contextlib.suppress(Unanswered):
                answers.append(link.ask("rate", ping))
        assert link.is_up and len(answers) >= 8


@pytest.mark.row("SH-05")
def test_a_slow_server_stays_down_and_is_told_once(links: Links, redis_server: RedisServer) -> None:
    with TcpProxy(redis_server.port) as proxy, capture_logs() as logged:
        link = links(f"redis://127.0.0.1:{proxy.port}", timeout=0.05)
        proxy.delay = 0.06
        while link.is_up:
            assert reason_of(link) == "timeout"
        for _ in range(3):
            link.beat()
        assert not link.is_up
        assert [line["event"] for line in logged] == ["redis_down"]

        proxy.delay = 0
        # On a busy machine an answer may take longer than half of the timeout.
        for _ in range(100):
            link.beat()
        assert link.is_up


@pytest.mark.row("SH-04")
def test_a_black_hole_ends_a_beat_in_time(redis_server: RedisServer) -> None:
    with TcpProxy(redis_server.port) as proxy:
        proxy.hold = True
        link = Link(urls.parse(f"redis://127.0.0.1:{proxy.port}"), timeout=0.05, prefix="t")
        started = time.monotonic()
        with capture_logs() as logged:
            link.beat()
            link.beat()
        assert time.monotonic() - started < 2 * module.BEAT_DEADLINE + GENEROUS
        assert [line["event"] for line in logged] == ["redis_down"]
        assert reason_of(link) == "down"
        proxy.hold = False
        link.beat()
        assert link.is_up


@pytest.mark.row("SH-04")
def test_a_name_that_hangs_holds_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from parley.http_client import dns

    lookups = []
    monkeypatch.setattr(module, "BEAT_DEADLINE", 0.1)

    def hang(host: str, port: int) -> list[Any]:
        lookups.append(host)
        time.sleep(1)
        raise OSError("no such name")

    monkeypatch.setattr(dns, "resolve", hang)
    link = Link(urls.parse("redis://hangs.example"), timeout=0.05, prefix="t")
    for _ in range(4):
        link.beat()
    assert lookups == ["hangs.example"] and not link.is_up


WRONG = [
    ("wrong password", "redis://:wrong@127.0.0.1:{port}", "invalid username-password"),
    ("no password", "redis://127.0.0.1:{port}", "NOAUTH|Authentication"),
    ("no rights", "redis://%72eader:reader-secret@127.0.0.1:{port}", "NOPERM|permission"),
]


@pytest.mark.row("SH-11")
@pytest.mark.parametrize(("url", "words"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG])
def test_a_refusal_is_told_with_its_reason(url: str, words: str) -> None:
    users = [
        "--requirepass",
        "the-password",
        "--user",
        "reader",
        "on",
        ">reader-secret",
        "~t:*",
        "+@read",
        "+@connection",
    ]
    with RedisServer(*users) as server:
        link = Link(urls.parse(url.format(port=server.port)), timeout=PATIENT, prefix="t")
        link._deadline = PATIENT
        with capture_logs() as logged:
            link.beat()
            link.beat()
    (line,) = logged
    assert line["event"] == "redis_down" and re.search(words, line["reason"], re.IGNORECASE)
    assert "secret" not in str(line) and "wrong@" not in str(line)


@pytest.mark.row("SH-11")
def test_the_rights_of_the_page_are_enough() -> None:
    (rights,) = re.findall(r"^ACL SETUSER (parley .*)$", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    user = rights.replace("PASSWORD", "parley-secret")
    with RedisServer(*f"--user {user} --user default off".split()) as server:
        url = f"redis://parle%79:parley-secret@127.0.0.1:{server.port}"
        link = Link(urls.parse(url), timeout=PATIENT, prefix="parley")
        link._deadline = PATIENT
        link.beat()
        assert link.is_up
        # All that the limits, the memory and the embeddings ask, too.
        kept = {"MEMORY_STORE": "redis:", "EMBEDDINGS_CACHE": "redis"}
        (found,) = shared.rights(Probe(Settings.from_environ({"REDIS_URL": url, **kept}), ROOT))
        assert found.status == "ok", found.detail


@pytest.mark.row("SH-11")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("config", "set", "maxmemory", "1"), "OOM|maxmemory"),
        (("replicaof", "127.0.0.1", "1"), "read only|READONLY|replica"),
    ],
    ids=["out of memory", "a replica"],
)
def test_a_server_that_takes_no_writes_is_down(links: Links, command: tuple[str, ...], words: str) -> None:
    with RedisServer() as server:
        link = links(server.url)
        server.client.execute_command(*command)
        with capture_logs() as logged:
            link.beat()
        assert not link.is_up
        assert re.search(words, logged[0]["reason"], re.IGNORECASE)
        # The next beat asks whoever stands behind the name by then.
        wait_until(lambda: not [each for each in server.client.client_list() if each["name"] == "parley"], GENEROUS)


@pytest.mark.row("SH-11")
def test_a_key_of_another_type_is_told_and_no_outage(link: Link, redis_server: RedisServer) -> None:
    redis_server.client.set("t:x", "text")
    with capture_logs() as logged:
        assert {reason_of(link, lambda client: client.hgetall("t:x")) for _ in range(5)} == {"error"}
    assert link.is_up
    assert [line["event"] for line in logged] == ["redis_error"]


@pytest.mark.row("SH-11")
@pytest.mark.parametrize(
    "work",
    [
        lambda client: client.get("elsewhere"),
        lambda client: Script("return redis.call('UNLINK', KEYS[1])").run(client, "t:x"),
    ],
    ids=["of keys", "of a script's commands"],
)
def test_rights_of_sessions_alone_cost_no_limit(
    links: Links, redis_server: RedisServer, work: Callable[[Any], Any]
) -> None:
    rights = "on >parley-secret ~t:* +@read +@write +@scripting +@connection +time -unlink"
    redis_server.client.execute_command("acl", "setuser", "sessionless", *rights.split())
    link = links(f"redis://session%6Cess:parley-secret@127.0.0.1:{redis_server.port}")
    with capture_logs() as logged:
        for _ in range(5):
            with pytest.raises(Unanswered, match="error"):
                link.ask("memory", work)
    assert link.is_up and link.ask("rate", ping)
    assert [(line["event"], line["op"]) for line in logged] == [("redis_error", "memory")]

    for _ in range(module.FAILURES):
        reason_of(link, work)
    assert not link.is_up, "a limit that can't be asked for"


@pytest.mark.row("SH-03")
def test_duties_learn_that_a_server_has_forgotten(links: Links, redis_server: RedisServer) -> None:
    link, told = links(), []
    link.duties.append(lambda client, is_forgotten: told.append(is_forgotten))
    link.beat()
    redis_server.client.flushall()
    link.beat()
    link.beat()
    assert told == [False, True, False]


def test_decisions_are_noted_in_the_record_of_the_turn(link: Link) -> None:
    record = TurnRecord("chat", "r")
    Link.begin_turn(record)
    link.count_limit("shared")
    assert record.limits == "shared"
    link.count_limit("share")
    link.count_limit("shared")
    assert record.limits == "local"


def test_random_interruptions_mix_up_no_answers(links: Links, redis_server: RedisServer) -> None:
    import random

    link, wrong, chance = links(timeout=GENEROUS), [], random.Random(7)

    def caller(name: str) -> None:
        for number in range(60):
            word = f"{name}-{number}"
            with gevent.Timeout(chance.choice([0, 0.0005, 1, 1]), False), contextlib.suppress(Unanswered):
                answer = link.ask("rate", lambda client, word=word: reply_to(client, "ECHO", word))  # type: ignore[misc]
                wrong.extend([] if answer == word.encode() else [(word, answer)])

    gevent.joinall([gevent.spawn(caller, f"c{number}") for number in range(20)])
    assert wrong == []
    assert link.ask("rate", ping)
    assert REGISTER.run(link._client, "t:workers", "w", 1000)  # type: ignore[arg-type]


@pytest.mark.row("SH-06")
def test_an_interrupted_read_behind_sentinel_mixes_up_no_answers(
    links: Links, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = ("127.0.0.1", redis_server.port)
    monkeypatch.setattr("redis.sentinel.Sentinel.discover_master", lambda *_: master)
    link = links("redis+sentinel://127.0.0.1:1/main")
    asked: list[Callable[[Any], Any]] = [
        lambda client: module.reply_to(client, "BLPOP", "t:nothing", 0.2),
        lambda client: client.blpop("t:nothing", 0.2),
        lambda client: client.pipeline(transaction=False).blpop("t:nothing", 0.2).execute(),
    ]
    for work in asked:
        with gevent.Timeout(0.05, False):
            link.ask("rate", work)
        assert link.ask("rate", lambda client: module.reply_to(client, "ECHO", "mine"), GENEROUS) == b"mine"


@pytest.mark.row("SH-11")
def test_a_server_that_is_replaced_is_looked_up_again(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    from parley.http_client import dns

    with RedisServer() as old, RedisServer(host="127.0.0.2", port=old.port) as new:
        host = old.host
        monkeypatch.setattr(dns, "_getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (host, old.port))])
        link = links(f"redis://redis.example:{old.port}")
        assert link.is_up
        host = new.host
        old.client.replicaof(new.host, str(new.port))
        link.beat()
        assert not link.is_up
        link.beat()
        assert link.is_up
