"""The bases of a database as a server loads them: by what is new, whole where a copy is of no use."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from knowledge_folder import LetterEncoder, published, write_base
from postgres import Postgres
from structlog.testing import capture_logs

from parley.errors import NotFound
from parley.knowledge.bases import Bases
from parley.knowledge.database import schema
from parley.knowledge.database import source as database_source
from parley.knowledge.database.address import DatabaseAddress, parse
from parley.knowledge.database.connections import Connections, DatabaseFailed
from parley.knowledge.database.on_demand import BasesOnDemand
from parley.knowledge.database.publishing import drop
from parley.knowledge.database.searched_bases import SearchedBases
from parley.knowledge.database.snapshots import Snapshots
from parley.knowledge.database.source import DatabaseSource, address_key
from parley.knowledge.documents import load
from parley.knowledge.encoders import Encoders, IndexFactory
from parley.knowledge.index import Query
from parley.knowledge.semantic import SemanticIndex
from parley.knowledge.sources import SourceFailed
from parley.knowledge.vector_cache import VectorCache

Database = psycopg.Connection[Any]
TEXTS = {
    "hours": "We open at nine.",
    "price": "A day costs twelve euros.",
    "long": {"text": " ".join(f"Rule {number} of the house is about bicycles and children." for number in range(80))},
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_source, "SPREAD_SECONDS", 0.0)


@pytest.fixture
def connections(address: DatabaseAddress) -> Iterator[Connections]:
    made = Connections(address, 1)
    yield made
    made.close()


@pytest.fixture
def source(connections: Connections, address: DatabaseAddress, copies: Path) -> DatabaseSource:
    return DatabaseSource(connections, Snapshots(copies, address_key(address)))


def read_rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of the rows that are fetched from now on."""
    fetched: list[str] = []
    real = database_source._rows

    def watched(*args: Any) -> Iterator[Any]:
        for row in real(*args):
            fetched.append(row.id)
            yield row

    monkeypatch.setattr(database_source, "_rows", watched)
    return fetched


def texts(source: DatabaseSource, name: str = "shop") -> dict[str, str]:
    return {passage.id: passage.text for passage in source.load(name, lambda: None).passages}


def test_a_base_comes_as_its_folder_would(source: DatabaseSource, database: Database, tmp_path: Path) -> None:
    settings = {"language": "en", "waiting_messages": ["One moment."], "small_talk": ["howdy"]}
    folder = write_base(tmp_path / "kb", TEXTS, settings)
    (folder / "b.json").write_text('[{"id": "m", "text": "With more.", "price": 6.5, "tags": ["x", null, true]}]')
    published(database, folder)
    source.look([])

    loaded, wanted = source.load("shop", lambda: None), load(folder)

    assert (loaded.passages, loaded.settings) == (wanted.passages, wanted.settings)
    assert loaded.provenance["source"] == "database"


def test_only_what_is_new_is_fetched(
    source: DatabaseSource, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(database, write_base(tmp_path / "kb", {**TEXTS, "last": "Bring your passport."}))
    fetched = read_rows(monkeypatch)
    before = source.look([])
    whole = texts(source)
    assert sorted(fetched) == sorted(whole)
    published(database, write_base(tmp_path / "kb", {**TEXTS, "hours": "We open at ten."}))
    del fetched[:]

    after = source.look(before)

    assert after["shop"] != before["shop"] and source.look(after) == after
    del whole["last"]
    assert texts(source) == {**whole, "hours": "We open at ten."}
    assert sorted(fetched) == ["hours", "last"]


def test_one_worker_fetches_and_the_others_read_its_file(
    source: DatabaseSource,
    connections: Connections,
    address: DatabaseAddress,
    database: Database,
    copies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(database, write_base(tmp_path / "kb", TEXTS), encoder=LetterEncoder())
    source.look([])
    first = texts(source)
    fetched = read_rows(monkeypatch)
    other = DatabaseSource(connections, Snapshots(copies, address_key(address)))
    other.look([])

    loaded = other.load("shop", lambda: None)

    assert {passage.id: passage.text for passage in loaded.passages} == first and fetched == []
    assert loaded.provenance["source"] == "snapshot" and not loaded.stale


@pytest.mark.parametrize("fault", ["a row more", "another database", "too old", "cut", "no folder"])
def test_a_copy_of_no_use_is_fetched_anew(
    source: DatabaseSource,
    database: Database,
    copies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    published(database, write_base(tmp_path / "kb", {"hours": "We open at nine."}))
    source.look([])
    texts(source)
    if fault == "a row more":
        published(database, write_base(tmp_path / "kb", {"hours": "We open at nine.", "price": "Twelve euros."}))
        database.execute("DELETE FROM parley.passage WHERE id = 'hours'")
        database.execute("UPDATE parley.base SET passages = 1")
    elif fault == "another database":
        database.execute("UPDATE parley.origin SET id = gen_random_uuid()")
    elif fault == "too old":
        monkeypatch.setattr(database_source, "DELTA_SECONDS", -1)
        database.execute("SELECT parley.touch('shop')")
    elif fault == "cut":
        for path in copies.glob("*.msgpack"):
            path.write_bytes(path.read_bytes()[:-3])
    else:
        shutil.rmtree(copies)
        copies.write_text("a file")
    fetched = read_rows(monkeypatch)
    source.look([])

    found = texts(source)

    assert set(fetched) >= set(found) and found in (
        {"hours": "We open at nine."},
        {"price": "Twelve euros."},
    )


@pytest.mark.row("DB-02")
def test_without_the_database_the_copies_serve(
    source: DatabaseSource, database: Database, address: DatabaseAddress, copies: Path, tmp_path: Path
) -> None:
    published(database, write_base(tmp_path / "kb", TEXTS))
    source.look([])
    wanted = texts(source)
    away = DatabaseSource(_Away(), Snapshots(copies, address_key(address)))  # type: ignore[arg-type]
    bases = Bases(away)

    bases.refresh()

    assert {passage.id: passage.text for passage in bases.get("shop").index.passages} == wanted  # type: ignore[attr-defined]
    assert bases.state == "degraded" and copies.stat() and (next(copies.glob("k*")).stat().st_mode & 0o777) == 0o600


@pytest.mark.row("DB-15")
def test_a_base_is_known_before_it_is_loaded(
    source: DatabaseSource, database: Database, address: DatabaseAddress, copies: Path, tmp_path: Path
) -> None:
    settings = {"language": "es", "waiting_messages": ["Un momento."]}
    published(
        database, write_base(tmp_path / "kb", {"a": "Abrimos a las nueve.", "b": "Cerramos a las seis."}, settings)
    )
    names = source.look([])
    texts(source)
    away = DatabaseSource(_Away(), Snapshots(copies, address_key(address)))  # type: ignore[arg-type]

    known, by_its_copy = source.outline("shop"), (away.look([]), away.outline("shop"))[1]

    assert set(names) == {"", "shop"} and source.outline("").passages == 0
    assert known.passages == 2 and known.settings == source.load("shop", lambda: None).settings and known.state == "ok"
    assert by_its_copy == replace(known, stale=True) and away.outline("").passages == 0


@pytest.mark.row("DB-15")
def test_tenants_share_a_memory_that_is_too_small(
    source: DatabaseSource, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = read_rows(monkeypatch)
    for number in range(8):
        published(
            database, write_base(tmp_path / str(number), {"a": f"Tenant {number}.", "b": "Of all."}), f"t{number}"
        )
    bases = BasesOnDemand(source, limit=4)
    bases.refresh()
    assert set(bases.listed) == {"", *(f"t{number}" for number in range(8))} and not fetched

    for number in [0, 1, 2, 0, 3]:
        assert f"Tenant {number}." in [passage.text for passage in bases.get(f"t{number}").index.passages]  # type: ignore[attr-defined]

    assert list(bases.serving) == ["t0", "t3"]
    # Once fetched, a base comes from its copy.
    assert len(fetched) == 8


@pytest.mark.row("DB-15")
def test_while_it_is_down_a_load_fails_at_once(
    source: DatabaseSource, database: Database, tmp_path: Path, connections: Connections
) -> None:
    published(database, write_base(tmp_path / "kb", TEXTS))
    bases = BasesOnDemand(source, limit=1)
    bases.refresh()
    connections.state = "down"
    started = time.monotonic()

    with pytest.raises(SourceFailed):
        source.load("shop", lambda: None)

    assert time.monotonic() - started < 5


@pytest.mark.row("DB-15")
def test_while_it_is_down_a_searched_base_fails_at_once(
    database: Database, tmp_path: Path, copies: Path, connections: Connections
) -> None:
    published(database, write_base(tmp_path / "kb", TEXTS), resident=1)
    factory = IndexFactory(Encoders(), VectorCache(None), min_coverage=0.3, min_evidence=None)
    source = DatabaseSource(connections, Snapshots(copies, "x"), SearchedBases(connections, 1, 1.0, factory.tier_for))
    source.look([])
    assert source.load("shop", lambda: None).provenance["searched"]
    connections.state = "down"

    # The server is there: only one who probes would learn that.
    with pytest.raises(SourceFailed, match="down"):
        source.load("shop", lambda: None)


@pytest.mark.row("DB-01")
def test_without_the_database_and_copies_nothing_is_served(copies: Path) -> None:
    bases = Bases(DatabaseSource(_Away(), Snapshots(copies, "x")))  # type: ignore[arg-type]

    with pytest.raises(SourceFailed):
        bases.refresh()

    assert bases.state == "loading"


class _Away:
    def run(self, *args: Any, **how: Any) -> Any:
        raise DatabaseFailed("away", "refused")


@pytest.mark.row("DB-10")
@pytest.mark.parametrize(
    ("publisher", "encoded", "warned"),
    [(LetterEncoder(), 0, 0), (LetterEncoder("others"), 2, 1), (None, 2, 1)],
    ids=["ours", "another encoder", "no vectors"],
)
def test_vectors_of_another_encoder_are_made_anew(
    source: DatabaseSource,
    database: Database,
    tmp_path: Path,
    publisher: LetterEncoder | None,
    encoded: int,
    warned: int,
) -> None:
    short = {name: TEXTS[name] for name in ("hours", "price")}
    published(database, write_base(tmp_path / "kb", short), encoder=publisher)
    ours = LetterEncoder()
    factory = IndexFactory(Encoders(ours, ours), VectorCache(None), min_coverage=0.0, min_evidence=0.0)
    bases = Bases(source, factory.build)
    with capture_logs() as logged:
        bases.refresh()
        index = bases.get("shop").index
        assert isinstance(index, SemanticIndex)
        ready_at_once = index.ready
        while not index.ready:
            index.fill()

    assert ready_at_once is (encoded == 0) and ours.encoded == encoded
    assert len([line for line in logged if line["event"] == "encoder_differs"]) == warned
    assert [hit.passage.id for hit in index.search(Query("what costs twelve euros a day"), 1)] == ["price"]


@pytest.mark.row("DB-14")
def test_a_dropped_base_is_unknown_after_the_next_look(
    source: DatabaseSource, database: Database, copies: Path, tmp_path: Path
) -> None:
    published(database, write_base(tmp_path / "kb", TEXTS))
    bases = Bases(source)
    bases.refresh()
    running = bases.get("shop")
    assert list(copies.glob("knowledge-shop-*"))
    drop(database, "shop")

    bases.refresh()

    with pytest.raises(NotFound):
        bases.get("shop")
    assert running.index.search(Query("when do you open"), 1)
    # Nor does a start without the database serve it.
    assert not list(copies.glob("knowledge-shop-*"))


def test_on_the_first_schema_all_but_large_bases_are_served(server: Postgres, tmp_path: Path) -> None:
    first = server.database()
    server.execute(schema.migrations()[0][1], first)
    server.execute("INSERT INTO parley.version VALUES (1)", first)
    server.execute(
        "INSERT INTO parley.base (name, revision, passages, terms_version) VALUES ('small', 1, 1, 1), ('big', 2, 9, 1);"
        "INSERT INTO parley.passage (base_id, id, ord, revision, body) VALUES (1, 'a', 0, 1, 'We open at nine.')",
        first,
    )
    connections = Connections(parse(first), 1)
    factory = IndexFactory(Encoders(), VectorCache(None), min_coverage=0.3, min_evidence=None)
    searched = SearchedBases(connections, 5, 1.0, factory.tier_for)
    made = DatabaseSource(connections, Snapshots(tmp_path, "x"), searched)

    assert {*made.look(())} == {"", "small", "big"} and not made.outline("big").is_searchable
    assert [one.text for one in made.load("small", lambda: None).passages] == ["We open at nine."]
    connections.close()


@pytest.mark.row("DB-11")
@pytest.mark.parametrize(
    ("break_it", "remedy"),
    [
        ("DROP SCHEMA parley CASCADE", "flask db init"),
        ("INSERT INTO parley.version VALUES (9)", "upgrade Parley"),
        ("DELETE FROM parley.version", "flask db init"),
    ],
    ids=["absent", "newer", "older"],
)
def test_with_another_schema_everything_stays_served(
    source: DatabaseSource, database: Database, tmp_path: Path, break_it: str, remedy: str
) -> None:
    published(database, write_base(tmp_path / "kb", TEXTS))
    bases = Bases(source)
    bases.refresh()
    database.execute("SELECT parley.touch('shop')")
    database.execute(break_it)

    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(SourceFailed, match=remedy):
                bases.refresh()

    assert bases.get("shop").passages and bases.state == "ok"
    assert [line["event"] for line in logged] == ["database_schema"]
