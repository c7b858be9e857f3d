"""A real server whose knowledge is too large to be held: from memory to the database and back, and when it is away."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from fake_upstream import FakeUpstream
from knowledge_folder import published, write_base
from living import LivingKnowledge
from pgbouncer import pgbouncer
from postgres import PASSWORD, Postgres, missing
from running_server import RunningServer, running_server

from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import connect

pytestmark = pytest.mark.server
QUESTION = "When do you open?"
TEXTS = {"price": "A day costs twelve euros.", "seat": "A child seat is free.", "lock": "A lock comes with each."}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley' AND wait_event_type = 'Lock'"


@pytest.fixture
def settings(settings: dict[str, str]) -> dict[str, str]:
    return {**settings, "KB_RESIDENT": "2"}


def publish(url: str, folder: Path, hour: int, rest: dict[str, Any] = TEXTS) -> None:
    with connect(parse(url)) as connection:
        published(connection, write_base(folder, {"hours": f"We open at {hour} sharp.", **rest}), "", resident=2)


def knowledge(server: RunningServer, upstream: FakeUpstream) -> LivingKnowledge:
    return LivingKnowledge(server, Path(), upstream)


@contextlib.contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextlib.contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def locked(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """Make every search wait, as on a database that is too slow."""
    with connect(parse(url)) as holder, connect(parse(url)) as looker, holder.transaction():
        holder.execute("LOCK TABLE parley.passage IN ACCESS EXCLUSIVE MODE")
        yield looker


@pytest.mark.row("DB-04", "DB-05", "DB-06")
def test_a_large_base_is_searched_where_it_is(
    server: Postgres, url: str, settings: dict[str, str], upstream: FakeUpstream, tmp_path: Path
) -> None:
    folder = tmp_path / "kb"
    publish(url, folder, 1, {})
    with running_server(settings) as started:
        kb = knowledge(started, upstream)
        kb.wait_until(lambda: "at 1 sharp" in kb.told(QUESTION))
        publish(url, folder, 2)
        kb.wait_until(lambda: "at 2 sharp" in kb.told(QUESTION))
        kb.wait_until(lambda: any(line.get("searched") for line in kb.logged("knowledge_loaded")))
        assert "at 2 sharp" in kb.told(QUESTION) and kb.metric("parley_kb_passages") == 4
        searches = kb.metric(r'parley_database_seconds_count\{op="search"\}')
        for absent in (frozen(server), stopped(server)):
            with absent:
                before = len(kb.logged("request_end"))
                told = [kb.told(QUESTION) for _ in range(6)]
                assert not any("sharp" in text for text in told)
                kb.wait_until(lambda before=before: len(kb.logged("request_end")) == before + 6)  # type: ignore[misc]
                # The first ones pay the deadline, then nobody asks it any more.
                *slow, later = [line["lookup_ms"] for line in kb.logged("request_end")][before:]
                assert max(slow) < 1500 and later < 250
                assert requests.get(f"{started.url}/ready", timeout=10).status_code == 200
            kb.wait_until(lambda: "at 2 sharp" in kb.told(QUESTION))
        with locked(url) as looker:
            assert "sharp" not in kb.told(QUESTION)
            # A statement that nobody waits for any more ends at the server, too.
            kb.wait_until(lambda: looker.execute(WAITING).fetchone() == (0,))
        kb.wait_until(lambda: "at 2 sharp" in kb.told(QUESTION))
        assert kb.metric(r'parley_database_seconds_count\{op="search"\}') > searches > 0
        publish(url, folder, 3, {})
        kb.wait_until(lambda: "at 3 sharp" in kb.told(QUESTION))
        assert kb.logged("database_down") and kb.logged("database_up")
        assert PASSWORD not in started.output() and "Traceback" not in started.output()


@pytest.mark.row("DB-07", "DB-12")
def test_searches_beyond_the_pool_wait_and_a_pooler_is_no_fault(
    server: Postgres, url: str, settings: dict[str, str], upstream: FakeUpstream, tmp_path: Path
) -> None:
    if not Path("/usr/sbin/pgbouncer").exists():
        missing("pgbouncer")
    publish(url, tmp_path / "kb", 5)
    with pgbouncer(server) as port:
        behind = url.replace(f":{server.port}/", f":{port}/")
        more = {"DATABASE_URL": behind, "DATABASE_POOL": "1", "DATABASE_TIMEOUT": "20", "RAG_TIMEOUT": "20"}
        with running_server({**settings, **more}) as started:
            kb = knowledge(started, upstream)
            kb.wait_until(lambda: "at 5 sharp" in kb.told(QUESTION))
            told: list[str] = []
            callers = [threading.Thread(target=lambda: told.append(kb.told(QUESTION))) for _ in range(12)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join(60)
            assert len(told) == 12 and not kb.logged("rag_degraded") and "Traceback" not in started.output()
