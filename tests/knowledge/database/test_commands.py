"""`flask db` and `flask kb publish` with a database, and what they and a start never show."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from knowledge_folder import write_base
from postgres import OWNER, PASSWORD, Postgres
from running_server import ROOT

from app import create_app
from parley.knowledge.database import address as database_address
from parley.knowledge.database.address import parse
from parley.server.master import check_database
from parley.settings import Settings, SettingsError


def flask(url: str, folder: Path, *args: str, resident: int = 1000, **more: Any) -> Result:
    settings = Settings(
        database_url=parse(url),
        kb_dir=folder / "kb",
        embeddings_cache=folder / "copies",
        rag_tier="lexical",
        kb_resident=resident,
        **more,
    )
    result = create_app(settings).test_cli_runner().invoke(args=args)
    assert PASSWORD not in result.output and not isinstance(result.exception, AssertionError)
    return result


def told(url: str, folder: Path, *args: str) -> Any:
    return json.loads(flask(url, folder, *args, "--json").stdout)


def test_from_an_empty_database_to_an_answer(empty_url: str, tmp_path: Path) -> None:
    write_base(tmp_path / "kb", {"hours": "We open at nine sharp."})
    write_base(tmp_path / "kb" / "shop", {"price": "A day costs twelve euros."}, {"language": "de"})
    before = flask(empty_url, tmp_path, "kb", "publish")
    made, again = (flask(empty_url, tmp_path, "db", "init").output for _ in range(2))
    would = flask(empty_url, tmp_path, "kb", "publish", "--dry-run")
    done = told(empty_url, tmp_path, "kb", "publish")
    nothing = told(empty_url, tmp_path, "kb", "publish")
    found = flask(empty_url, tmp_path, "kb", "search", "when do you open")
    checked = flask(empty_url, tmp_path, "db", "check")

    assert before.exit_code == 1 and "flask db init" in before.output
    assert (made, again) == ("applied: 1, 2\n", "nothing to do\n")
    assert would.exit_code == 1 and "default base: 1 added" in would.output
    assert [(one["kb"], one["added"]) for one in done["bases"]] == [("", 1), ("shop", 1)]
    assert not nothing["changed"]
    assert found.exit_code == 0 and "We open at nine sharp." in found.output
    assert checked.exit_code == 0 and "shop: 1 passages" in checked.output and "may write" in checked.output


def test_a_base_that_servers_do_not_hold_is_searched_there(
    url: str, tmp_path: Path, database: "psycopg.Connection[Any]"
) -> None:
    write_base(tmp_path / "kb", {"hours": "We open at nine sharp.", "price": "A day costs twelve euros."})

    done = flask(url, tmp_path, "kb", "publish", resident=1)
    found = flask(url, tmp_path, "kb", "search", "when do you open", resident=1, database_timeout=20.0)
    checked = flask(url, tmp_path, "db", "check", resident=1)
    database.execute("UPDATE parley.base SET searchable = false")
    faulty = flask(url, tmp_path, "db", "check", resident=1)

    assert done.exit_code == 0 and "2 added, 1 indexes" in done.output
    assert found.exit_code == 0 and "We open at nine sharp." in found.output
    assert "ok: default base: can be searched" in checked.output
    assert "warning: default base: can't be searched in the database: run `flask kb publish`" in faulty.output


def test_bases_that_the_folder_no_longer_has_are_dropped(url: str, tmp_path: Path) -> None:
    write_base(tmp_path / "kb", {"hours": "We open at nine sharp."})
    write_base(tmp_path / "kb" / "shop", {"price": "A day costs twelve euros."})
    write_base(tmp_path / "kb" / "inn", {"price": "A night costs ninety euros."})
    told(url, tmp_path, "kb", "publish")
    for name in ("shop", "inn"):
        (tmp_path / "kb" / name / "a.json").unlink()

    one = told(url, tmp_path, "kb", "publish", "--kb", "shop")
    rest = told(url, tmp_path, "kb", "publish")

    assert [(base["kb"], base["gone"]) for base in one["bases"]] == [("shop", 1)]
    assert [(base["kb"], base["gone"]) for base in rest["bases"] if base["gone"]] == [("inn", 1)]
    assert flask(url, tmp_path, "kb", "publish", "--kb", "shop").exit_code == 2


@pytest.mark.row("DB-15")
def test_a_search_loads_the_base_that_is_asked_for(url: str, tmp_path: Path) -> None:
    for name, text in {"shop": "A day costs twelve euros.", "inn": "A night costs ninety euros."}.items():
        write_base(tmp_path / "kb" / name, {"price": text})
    told(url, tmp_path, "kb", "publish")
    search = ("kb", "search", "what does a night cost", "--kb")

    found, unknown = (flask(url, tmp_path, *search, name, resident=1) for name in ("inn", "none"))

    assert found.exit_code == 0 and "ninety euros" in found.output
    assert unknown.exit_code == 2 and "there is no knowledge base 'none'" in unknown.output
    # Nothing of the other was fetched.
    assert [path.name.split("-")[1] for path in (tmp_path / "copies").glob("knowledge-*")] == ["inn"]


def test_a_database_that_is_away_is_one_line(server: Postgres, tmp_path: Path) -> None:
    write_base(tmp_path / "kb", {"hours": "We open at nine sharp."})
    away = f"postgresql://{OWNER}:{PASSWORD}@127.0.0.1:1/kb"

    for command in (["db", "init"], ["db", "check"], ["kb", "publish"], ["kb", "search", "x"]):
        result = flask(away, tmp_path, *command)

        assert result.exit_code == 1 and len(result.output.splitlines()) == 1 and OWNER not in result.output


def test_a_role_that_may_only_read_is_enough(server: Postgres, url: str, tmp_path: Path) -> None:
    server.execute(f"DROP ROLE IF EXISTS parley_reader; CREATE ROLE parley_reader LOGIN PASSWORD '{PASSWORD}'")
    server.execute(
        "GRANT USAGE ON SCHEMA parley TO parley_reader; GRANT SELECT ON ALL TABLES IN SCHEMA parley TO parley_reader",
        url,
    )
    write_base(tmp_path / "kb", {"hours": "We open at nine sharp."})
    told(url, tmp_path, "kb", "publish")
    reader = url.replace(OWNER, "parley_reader")

    assert "may read, not write" in flask(reader, tmp_path, "db", "check").output
    assert flask(reader, tmp_path, "kb", "search", "when do you open").exit_code == 0
    write_base(tmp_path / "kb", {"hours": "We open at ten sharp."})
    refused = flask(reader, tmp_path, "kb", "publish")
    assert refused.exit_code == 1 and "permission denied" in refused.output
    assert "docs/security.md" in refused.output
    server.execute("DROP OWNED BY parley_reader", url)


def test_who_may_not_create_the_extension_is_told_who_may(server: Postgres, empty_url: str, tmp_path: Path) -> None:
    database = empty_url.rpartition("/")[2]
    server.execute(f"DROP ROLE IF EXISTS parley_maker; CREATE ROLE parley_maker LOGIN PASSWORD '{PASSWORD}'")
    server.execute(f"GRANT CREATE ON DATABASE {database} TO parley_maker")
    refused = flask(empty_url.replace(OWNER, "parley_maker"), tmp_path, "db", "init")
    server.execute("DROP OWNED BY parley_maker", empty_url)

    assert refused.exit_code == 1 and "administrator" in refused.output and "EXTENSION vector" in refused.output


def test_a_missing_package_stops_the_start_with_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_address, "find_spec", lambda name: None)
    settings = Settings(database_url=parse(url))

    with pytest.raises(SystemExit, match=r"^parley: DATABASE_URL needs .*requirements-shared.txt$"):
        check_database(None, settings)
    with pytest.raises(SettingsError, match=r"requirements-shared\.txt"):
        create_app(settings)


def test_without_a_database_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from app import create_app; from parley.settings import Settings; create_app(Settings())\n"
        "print([name for name in sys.modules if name.startswith(('psycopg', 'pgvector', 'parley.knowledge.database'))])"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
