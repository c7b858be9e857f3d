"""Everything through pgbouncer in transaction mode: no prepared statement, no state of a session."""

import shutil
from pathlib import Path

import pytest
from knowledge_folder import LetterEncoder, published, write_base
from pgbouncer import pgbouncer
from postgres import Postgres, missing

from parley.knowledge.bases import Bases
from parley.knowledge.database import schema, source
from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import Connections, connect
from parley.knowledge.database.examination import examine
from parley.knowledge.database.snapshots import Snapshots
from parley.knowledge.database.source import DatabaseSource


@pytest.mark.row("DB-12")
def test_all_of_it_works_behind_a_pooler(
    server: Postgres, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SPREAD_SECONDS", 0.0)
    if not shutil.which("pgbouncer") and not Path("/usr/sbin/pgbouncer").exists():
        missing("pgbouncer")
    with pgbouncer(server) as port:
        address = parse(empty_url.replace(f":{server.port}/", f":{port}/"))
        with connect(address) as connection:
            assert schema.apply(connection) == [1, 2]
            published(connection, write_base(tmp_path / "kb", {"a": "One text."}), encoder=LetterEncoder())
        connections = Connections(address, 2)
        bases = Bases(DatabaseSource(connections, Snapshots(tmp_path / "copies", "x")))
        for number in range(10):
            with connect(address) as connection:
                published(connection, write_base(tmp_path / "kb", {"a": f"Text {number}."}), encoder=LetterEncoder())
            bases.refresh()
            assert [passage.text for passage in bases.get("shop").index.passages] == [f"Text {number}."]  # type: ignore[attr-defined]
        # A time limit that outlived its transaction would be another client's now.
        with connect(address) as connection:
            assert {connection.execute("SHOW statement_timeout").fetchone() for _ in range(6)} == {("0",)}
        assert all(one.severity != "error" for one in examine(address, []))
        connections.close()
