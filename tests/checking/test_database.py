"""Checks of the database, at a real PostgreSQL: each of them well, and each with what it is there to find."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from postgres import OWNER, PASSWORD, Postgres, needed_wheel, postgres
from running_server import free_port

from app import create_app
from parley.checking.examination import examine
from parley.checking.probe import Probe
from parley.checking.report import Finding
from parley.knowledge.database.address import parse
from parley.settings import Settings
from parley.shared.link import Link

READER = "reader-canary"
MAKE_READER = f"""CREATE ROLE "{READER}" LOGIN PASSWORD '{PASSWORD}'"""
GRANT = 'GRANT USAGE ON SCHEMA parley TO "{0}"; GRANT SELECT ON ALL TABLES IN SCHEMA parley TO "{0}"'
PUBLISHED = (
    "INSERT INTO parley.base (name, revision, passages, encoder, terms_version, language) "
    "VALUES ('shop', 1, 3, '{}', 1, 'en')"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Yield a PostgreSQL with a second role, which may connect and nothing else."""
    with postgres(needed_wheel()) as started:
        started.execute(MAKE_READER)
        yield started


@pytest.fixture(scope="module")
def url(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a database with Parley's tables, as their owner."""
    url = server.database()
    made = flask(url, tmp_path_factory.mktemp("init"), "db", "init")
    assert made.exit_code == 0, made.output
    return url


def settings_of(url: str, folder: Path) -> Settings:
    return Settings(database_url=parse(url), embeddings_cache=folder, rag_tier="lexical")


def flask(url: str, folder: Path, *arguments: str) -> Result:
    return create_app(settings_of(url, folder)).test_cli_runner().invoke(args=arguments)


def found(url: str, folder: Path) -> dict[str, Finding]:
    """Return the last finding of each check; none of them tells who asks."""
    findings = list(examine(Probe(settings_of(url, folder), folder), only=("DB",)))
    assert not [word for word in (OWNER, READER, PASSWORD) if word in repr(findings)]
    return {one.id: one for one in findings}


def statuses(findings: dict[str, Finding]) -> str:
    return " ".join(one.status for one in findings.values())


def test_a_reader_of_published_knowledge_is_well(server: Postgres, url: str, tmp_path: Path) -> None:
    server.execute(GRANT.format(READER), url)
    server.execute(PUBLISHED.format(""), url)
    reader = found(url.replace(OWNER, READER), tmp_path)
    server.execute("DELETE FROM parley.base", url)

    assert statuses(reader) == "ok ok ok ok ok"
    assert "PostgreSQL" in reader["DB-1"].detail and "shop: 3 passages" in reader["DB-5"].detail


def test_an_owner_of_empty_tables_is_warned(url: str, tmp_path: Path) -> None:
    owner = found(url, tmp_path)

    assert statuses(owner) == "ok ok ok warn warn"
    assert "may write" in owner["DB-4"].detail and "docs/security.md" in owner["DB-4"].fix
    assert owner["DB-5"].fix == "flask kb publish"


def test_a_way_that_others_can_read_is_warned_of(url: str, tmp_path: Path) -> None:
    # An address of this machine that is none of the loopback's.
    remote = found(url.replace("127.0.0.1", "0.0.0.0") + "?sslmode=disable", tmp_path)

    assert remote["DB-2"].status == "warn" and "verify-full" in remote["DB-2"].fix


def test_a_database_without_tables_ends_the_checks(server: Postgres, tmp_path: Path) -> None:
    findings = found(server.database(), tmp_path)

    assert statuses(findings) == "ok ok fail skip skip"
    assert "CREATE EXTENSION vector" in findings["DB-3"].detail and "flask db init" in findings["DB-3"].fix


def test_a_role_without_rights_ends_the_checks(server: Postgres, tmp_path: Path) -> None:
    url = server.database()
    flask(url, tmp_path, "db", "init")
    findings = found(url.replace(OWNER, READER), tmp_path)

    assert "fail" in statuses(findings) and findings["DB-5"].status == "skip"
    assert "permission denied" in repr(findings) or "may not read" in repr(findings)


@pytest.mark.parametrize("fault", ["refused", "password"])
def test_a_database_that_takes_nobody_ends_the_checks(url: str, tmp_path: Path, fault: str) -> None:
    port = url.rpartition(":")[2].partition("/")[0]
    wrong = url.replace(port, str(free_port())) if fault == "refused" else url.replace(PASSWORD, "wrong")
    findings = found(wrong, tmp_path)

    assert statuses(findings) == "fail skip skip skip skip"
    assert fault in findings["DB-1"].detail and "DATABASE_URL" in findings["DB-1"].fix


def test_no_check_asks_redis_for_vectors(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Link] = []
    monkeypatch.setattr(Link, "beat", asked.append)
    shared = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1", "EMBEDDINGS_CACHE": "redis"}

    findings = list(examine(Probe(Settings.from_environ(shared), tmp_path), only=("DB",)))

    assert [one.status for one in findings][:2] == ["ok", "ok"] and asked == []


def test_the_commands_own_words_are_the_same(url: str, tmp_path: Path) -> None:
    told = flask(url, tmp_path, "db", "check").output

    assert [one.detail for one in found(url, tmp_path).values() if one.detail not in told] == []


def test_without_a_database_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert list(examine(Probe(Settings(), tmp_path), only=("DB",))) == []
