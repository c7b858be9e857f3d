"""A real server whose knowledge is in a database: at the start, while something is published, while it is away."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from fake_upstream import FakeUpstream
from heard import ask
from knowledge_folder import published, write_base
from living import LivingKnowledge
from postgres import PASSWORD, Postgres
from running_server import RunningServer, running_server

from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import connect
from parley.knowledge.database.publishing import drop

pytestmark = pytest.mark.server
QUESTION = "When do you open?"


def publish(url: str, folder: Path, text: str, name: str = "") -> None:
    with connect(parse(url)) as connection:
        published(connection, write_base(folder, {"hours": text}), name)


def knowledge(server: RunningServer, upstream: FakeUpstream) -> LivingKnowledge:
    return LivingKnowledge(server, Path(), upstream)


def state(server: RunningServer) -> tuple[int, str, str]:
    answered = requests.get(f"{server.url}/ready", timeout=30)
    details = answered.json()["details"]
    return answered.status_code, details["kb"], details["database"]


@pytest.mark.row("DB-01", "DB-03", "DB-08", "DB-14")
def test_a_server_lives_through_the_absences_of_its_database(
    server: Postgres, url: str, settings: dict[str, str], upstream: FakeUpstream, tmp_path: Path
) -> None:
    publish(url, tmp_path / "kb", "We open at 1 sharp.")
    publish(url, tmp_path / "shop", "The shop opens at 7.", "shop")
    server.stop()
    try:
        with running_server(settings) as started:
            kb = knowledge(started, upstream)
            assert requests.get(f"{started.url}/health", timeout=30).status_code == 200
            not_ready = requests.get(f"{started.url}/ready", timeout=30)
            assert (not_ready.status_code, not_ready.json()["reason"]) == (503, "the knowledge is being read")
            server.start()
            kb.wait_until(lambda: state(started) == (200, "ok", "ok"))
            assert "at 1 sharp" in kb.told(QUESTION) and "opens at 7" in kb.told(QUESTION, kb="shop")
            for number in range(2, 5):
                publish(url, tmp_path / "kb", f"We open at {number} sharp.")
                # Between two states there is nothing: each question finds the old text or the new one.
                assert f"at {number} sharp" in (told := kb.told(QUESTION)) or f"at {number - 1} sharp" in told
                kb.wait_until(lambda number=number: f"at {number} sharp" in kb.told(QUESTION))
            server.stop()
            assert all("at 4 sharp" in kb.told(QUESTION) for _ in range(20))
            kb.wait_until(lambda: state(started) == (200, "ok", "down"))
            assert kb.metric("parley_database_up") == 0
            server.start()
            publish(url, tmp_path / "kb", "We open at 12 sharp.")
            with connect(parse(url)) as connection:
                drop(connection, "shop")
            kb.wait_until(lambda: "at 12 sharp" in kb.told(QUESTION))
            kb.wait_until(lambda: ask(started, "rag", kb="shop").status == 404)
            assert state(started) == (200, "ok", "ok")
            assert len(kb.logged("database_down")) == len(kb.logged("database_up")) == 1
            assert kb.metric('parley_rag_lookups_total{result="found"}'.replace("{", "\\{")) > 0
            assert PASSWORD not in started.output() and "Traceback" not in started.output()
    finally:
        if server._process is None:
            server.start()


@pytest.mark.row("DB-02")
def test_a_start_without_the_database_serves_the_copies(
    server: Postgres, url: str, settings: dict[str, str], upstream: FakeUpstream, tmp_path: Path
) -> None:
    publish(url, tmp_path / "kb", "We open at 3 sharp.")
    with running_server(settings) as started:
        kb = knowledge(started, upstream)
        kb.wait_until(lambda: state(started) == (200, "ok", "ok"))
    server.stop()
    try:
        with running_server(settings) as started:
            kb = knowledge(started, upstream)
            kb.wait_until(lambda: state(started) == (200, "degraded", "down"))
            assert "at 3 sharp" in kb.told(QUESTION)
            server.start()
            kb.wait_until(lambda: state(started) == (200, "ok", "ok"))
            assert "at 3 sharp" in kb.told(QUESTION)
    finally:
        if server._process is None:
            server.start()


@pytest.mark.row("DB-08")
def test_no_question_fails_while_two_workers_change_over(
    url: str, settings: dict[str, str], upstream: FakeUpstream, tmp_path: Path
) -> None:
    publish(url, tmp_path / "kb", "We open at 0 sharp.")
    told: list[str] = []
    with running_server({**settings, "WEB_CONCURRENCY": "2"}) as started:
        kb = knowledge(started, upstream)
        kb.wait_until(lambda: state(started) == (200, "ok", "ok"))
        enough = threading.Event()

        def callers() -> None:
            while not enough.is_set():
                told.append(kb.told(QUESTION))

        thread = threading.Thread(target=callers)
        thread.start()
        for number in range(1, 11):
            publish(url, tmp_path / "kb", f"We open at {number} sharp.")
            kb.wait_until(lambda number=number: len(told) > number)  # type: ignore[misc]
        for _ in range(10):
            kb.wait_until(lambda: "at 10 sharp" in told[-1])
        enough.set()
        thread.join(30)

    assert len(told) > 10 and all("sharp" in text for text in told)


@pytest.mark.row("DB-15")
def test_a_worker_holds_no_more_bases_than_it_may(
    server: Postgres, url: str, settings: dict[str, str], upstream: FakeUpstream, tmp_path: Path
) -> None:
    hours = {"north": 1, "south": 2, "east": 3, "west": 4}
    for name, hour in hours.items():
        publish(url, tmp_path / name, f"We open at {hour} sharp.", name)
    with running_server({**settings, "KB_RESIDENT": "2"}) as started:
        kb = knowledge(started, upstream)

        def loads(name: str) -> int:
            return len([line for line in kb.logged("knowledge_loaded") if line["kb"] == name])

        kb.wait_until(lambda: state(started) == (200, "ok", "ok"))
        assert kb.logged("knowledge_loaded") == [] and kb.metric("parley_kb_resident_passages") == 0
        for name, hour in hours.items():
            assert f"at {hour} sharp" in kb.told(QUESTION, kb=name)
        assert ask(started, "rag", kb="nowhere").status == 404
        assert (kb.metric("parley_kb_resident_passages"), kb.metric("parley_kb_evictions_total")) == (2, 2)

        with ThreadPoolExecutor(8) as callers:
            answers = list(callers.map(lambda _: kb.ask(QUESTION, kb="north"), range(16)))
        assert all(answer.status == 200 and b"citations" in answer.body for answer in answers)
        kb.wait_until(lambda: loads("north") == 2)
        # One that is not held is published anew: nothing is loaded before somebody asks.
        publish(url, tmp_path / "south", "We open at 12 sharp.", "south")
        publish(url, tmp_path / "north", "We open at 11 sharp.", "north")
        kb.wait_until(lambda: "at 11 sharp" in kb.told(QUESTION, kb="north"))
        assert loads("south") == 1 and "at 12 sharp" in kb.told(QUESTION, kb="south")

        publish(url, tmp_path / "new", "We open at 9 sharp.", "new")
        kb.wait_until(lambda: ask(started, "rag", kb="new", waiting="off").status == 200)
        publish(url, tmp_path / "late", "We open at 8 sharp.", "late")
        kb.wait_until(lambda: kb.metric("parley_kb_passages") == 6)
        server.stop()
        try:
            kb.wait_until(lambda: state(started)[2] == "down")
            # By its copy on this machine; one that has none costs the answer its context.
            assert "at 3 sharp" in kb.told(QUESTION, kb="east")
            assert "sharp" not in kb.told(QUESTION, kb="late") and state(started) == (200, "degraded", "down")
        finally:
            server.start()
        kb.wait_until(lambda: "at 8 sharp" in kb.told(QUESTION, kb="late"))
        assert state(started) == (200, "ok", "ok") and len(kb.logged("knowledge_not_loaded")) == 1
        assert "Traceback" not in started.output()


@pytest.mark.row("DB-11")
@pytest.mark.parametrize("fault", ["no tables", "no rights"])
def test_a_database_that_cannot_be_used_is_told_with_the_remedy(
    server: Postgres, empty_url: str, url: str, settings: dict[str, str], fault: str
) -> None:
    server.execute("DROP OWNED BY reader", url) if _has_role(server) else server.execute(
        f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"
    )
    bad = server.database() if fault == "no tables" else url.replace("owner-canary", "reader")
    with running_server({**settings, "DATABASE_URL": bad}) as started:
        kb = LivingKnowledge(started, Path(), None)  # type: ignore[arg-type]
        kb.wait_until(lambda: bool(kb.logged("database_schema")))

        assert requests.get(f"{started.url}/ready", timeout=30).status_code == 503
        (line,) = kb.logged("database_schema")
        assert ("flask db init" if fault == "no tables" else "grant it USAGE") in line["fault"]


def _has_role(server: Postgres) -> bool:
    return bool(server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'reader'"))
