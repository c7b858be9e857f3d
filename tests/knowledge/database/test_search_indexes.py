"""The indexes of bases that are searched in the database: made behind a publish, mended, dropped."""

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from knowledge_folder import LetterEncoder, published, write_base

from parley.knowledge.database import publishing
from parley.knowledge.database.address import DatabaseAddress
from parley.knowledge.database.connections import connect
from parley.knowledge.database.publishing import TooManyPassages, drop

TEXTS = {"hours": "We open at nine.", "price": "A day costs twelve euros.", "seat": "A child seat is free."}
Database = psycopg.Connection[Any]
STATE = "SELECT searchable, searched_revision = revision, average_length, size, statistics IS NULL FROM parley.base"
TERMS = "SELECT count(*) FROM parley.passage WHERE terms IS NOT NULL AND words IS NOT NULL AND grams IS NOT NULL"


def indexes(database: Database) -> dict[str, bool]:
    rows = database.execute(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname LIKE 'search%' ORDER BY 1"
    )
    return {name.partition("_")[2].partition("_")[2]: valid for name, valid in rows.fetchall()}


def one(database: Database, statement: str) -> Any:
    row = database.execute(statement).fetchone()
    return row[0] if row and len(row) == 1 else row


def test_a_base_that_servers_do_not_hold_gets_terms_and_indexes(database: Database, tmp_path: Path) -> None:
    folder = write_base(tmp_path, TEXTS)

    done = published(database, folder, encoder=LetterEncoder(), resident=2)
    again = published(database, folder, encoder=LetterEncoder(), resident=2)

    assert indexes(database) == {"terms": True, "vector_16": True}
    searchable, current, average, size, lacks = one(database, STATE)
    assert (searchable, current, size, lacks) == (True, True, 16, False) and 3 < average < 6
    assert one(database, TERMS) == 3 and done.indexes == 2
    assert not again.is_change and again.revision is None


def test_a_base_that_shrinks_is_held_again(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder(), resident=2)
    write_base(tmp_path, {"hours": TEXTS["hours"], "price": TEXTS["price"]})

    assert published(database, tmp_path, encoder=LetterEncoder(), resident=2).is_change

    assert indexes(database) == {} and one(database, TERMS) == 0
    assert one(database, STATE) == (False, None, None, 16, True)
    assert not published(database, tmp_path, encoder=LetterEncoder(), resident=2).is_change
    # Nothing of it has changed, but that servers hold fewer.
    assert published(database, tmp_path, encoder=LetterEncoder(), resident=1).moved == 2
    assert one(database, TERMS) == 2 and indexes(database) == {"terms": True, "vector_16": True}


def test_a_build_that_was_interrupted_is_made_anew(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder(), resident=2)
    database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text LIKE '%terms'")
    database.execute("UPDATE parley.base SET searchable = false")
    assert indexes(database) == {"terms": False, "vector_16": True}

    assert published(database, tmp_path, encoder=LetterEncoder(), resident=2, dry_run=True).indexes == 1
    done = published(database, tmp_path, encoder=LetterEncoder(), resident=2)

    assert (done.indexes, done.revision) == (1, None) and one(database, STATE)[:2] == (True, True)
    assert indexes(database) == {"terms": True, "vector_16": True}


def test_vectors_of_another_size_get_an_index_of_their_own(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder(), resident=2)

    published(database, tmp_path, encoder=LetterEncoder("wide", size=24), resident=2)

    assert indexes(database) == {"terms": True, "vector_24": True} and one(database, STATE)[:2] == (True, True)


def test_all_terms_are_weighed_anew_where_the_length_drifts(database: Database, tmp_path: Path) -> None:
    many = {f"p{at}": f"passage number {at} of all of these" for at in range(40)}
    published(database, write_base(tmp_path, many), resident=2)
    frozen = one(database, STATE)[2]

    little = published(database, write_base(tmp_path, {**many, "p1": "rather short"}), resident=2)
    assert (little.changed, little.moved, one(database, STATE)[2]) == (1, 0, frozen)
    much = published(database, write_base(tmp_path, {**many, "p1": "long " * 100}), resident=2)

    assert (much.changed, much.moved) == (1, 39) and one(database, STATE)[2] > frozen


def test_rows_that_others_have_written_get_their_terms(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), resident=2)
    database.execute("SELECT parley.touch('shop')")

    done = published(database, tmp_path, resident=2)

    assert done.moved == 3 and one(database, STATE)[:2] == (True, True)


def test_a_base_that_is_dropped_leaves_no_index(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder(), resident=2)

    drop(database, "shop")

    assert indexes(database) == {}


def test_of_two_publishers_the_second_waits_for_the_indexes(address: DatabaseAddress, tmp_path: Path) -> None:
    write_base(tmp_path, TEXTS)
    done = []

    def run() -> None:
        with connect(address) as connection:
            done.append(published(connection, tmp_path, encoder=LetterEncoder(), resident=2))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    with connect(address) as connection:
        assert indexes(connection) == {"terms": True, "vector_16": True}
        assert one(connection, STATE)[:2] == (True, True) and len(done) == 2


@pytest.mark.row("DB-09")
def test_bases_that_are_published_at_once_wait_for_each_other(address: DatabaseAddress, tmp_path: Path) -> None:
    write_base(tmp_path, TEXTS)
    made = []

    def run(name: str) -> None:
        with connect(address) as connection:
            made.append(published(connection, tmp_path, name, LetterEncoder(), resident=2).indexes)

    threads = [threading.Thread(target=run, args=[f"shop-{number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert made == [2] * 6
    with connect(address) as connection:
        assert one(connection, "SELECT count(*) FROM parley.base WHERE searchable") == 6


def test_a_base_beyond_all_bounds_is_refused(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MOST_SEARCHED", 2)

    with pytest.raises(TooManyPassages, match="3 passages are more than 2"):
        published(database, write_base(tmp_path, TEXTS))
    assert one(database, "SELECT count(*) FROM parley.base") == 0
