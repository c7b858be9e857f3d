"""Checks of Redis, at real servers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_servers import RedisServer
from running_server import free_port
from waiting import wait_until

from parley.checking import shared
from parley.checking.examination import examine
from parley.checking.probe import Probe
from parley.checking.report import Finding
from parley.settings import Settings

USER = ["--requirepass", "the-password", "--user", "reader", "on", ">reader-word", "~*", "+@read", "+@connection"]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Yield a server with a user that may only read."""
    with RedisServer(*USER) as server:
        yield server


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a busy machine needs."""
    monkeypatch.setattr(shared, "SECONDS", 20.0)


def found(url: str, **settings: str) -> list[Finding]:
    settings_of = Settings.from_environ({"REDIS_URL": url, **settings})
    return list(examine(Probe(settings_of, Path()), only=("SH",)))


def test_a_good_server_is_well_and_left_as_it_was(server: RedisServer) -> None:
    import redis

    kept = {"MEMORY_STORE": "redis:", "EMBEDDINGS_CACHE": "redis"}
    first, second = found(f"redis://:the-password@127.0.0.1:{server.port}", REDIS_TIMEOUT="1000", **kept)
    assert (first.status, second.status) == ("ok", "ok")
    assert "answers in" in first.detail and "the-password" not in first.detail
    with redis.Redis(port=server.port, password="the-password") as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("user", "statuses", "word"),
    [(":wrong-word@", ["fail", "skip"], "invalid"), ("%72eader:reader-word@", ["ok", "fail"], "permission")],
    ids=["wrong password", "no rights"],
)
def test_a_refusal_is_told(server: RedisServer, user: str, statuses: list[str], word: str) -> None:
    findings = found(f"redis://{user}127.0.0.1:{server.port}", REDIS_TIMEOUT="1000")

    assert [one.status for one in findings] == statuses
    assert word in "".join(one.detail for one in findings).lower()
    assert not [one for one in findings if "reader" in one.detail + one.fix or "-word" in one.detail]


def test_in_a_cluster_the_page_names_one_more_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    (rights,) = re.findall(r"^ACL SETUSER parley on >PASSWORD (.*)$", page, re.MULTILINE)
    (more,) = re.findall(r"In a cluster the user needs `(\S+)`", page)
    # The bus of a cluster's server listens 10 000 ports above it.
    while (port := free_port()) > 55_000:
        pass
    with RedisServer("--cluster-enabled", "yes", port=port) as server:
        server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: "cluster_state:ok" in str(server.client.execute_command("CLUSTER", "INFO")))
        for allowed, statuses in ((rights, ["fail", "skip"]), (f"{rights} {more}", ["ok", "ok"])):
            server.client.execute_command("ACL", "SETUSER", "parley", "reset", "on", ">a-word", *allowed.split())
            findings = found(f"redis+cluster://parle%79:a-word@127.0.0.1:{port}", REDIS_TIMEOUT="1000")
            assert [one.status for one in findings] == statuses


def test_nobody_there_is_told() -> None:
    port = free_port()
    first, _ = found(f"redis://127.0.0.1:{port}")
    assert first.status == "fail" and f"redis://127.0.0.1:{port}/0" in first.detail and first.fix


def test_without_redis_there_is_nothing_to_check() -> None:
    assert found("") == []


COUNTER = ["--user", "counter", "on", ">counter-word", "~*", "+@all"]


@pytest.mark.parametrize(
    ("forbidden", "settings", "step"),
    [
        ("-hset", {"MEMORY_STORE": "redis:"}, "MEMORY_STORE, writing"),
        ("-unlink", {"EMBEDDINGS_CACHE": "redis"}, "EMBEDDINGS_CACHE, removing"),
    ],
    ids=["sessions", "embeddings"],
)
def test_a_right_that_is_missing_is_told_by_what_needs_it(forbidden: str, settings: dict[str, str], step: str) -> None:
    with RedisServer(*COUNTER, forbidden) as server:
        url = f"redis://%63ounter:counter-word@127.0.0.1:{server.port}"
        assert found(url, REDIS_TIMEOUT="1000", **settings)[1].detail.startswith(step)
        assert found(url, REDIS_TIMEOUT="1000")[1].status == "ok"
