"""Publishing: only what differs is written, in one step, under a lock of the base."""

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from knowledge_folder import LetterEncoder, published, write_base

from parley.knowledge.database.address import DatabaseAddress
from parley.knowledge.database.connections import connect
from parley.knowledge.database.publishing import drop, published_bases
from parley.knowledge.semantic import EncoderFailed

TEXTS = {"hours": "We open at nine.", "price": "A day costs twelve euros.", "seat": "A child seat is free."}
Database = psycopg.Connection[Any]


def counts(done: Any) -> tuple[int, ...]:
    return (done.added, done.changed, done.moved, done.gone, done.encoded)


def rows(database: Database, what: str) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT {what} FROM parley.passage ORDER BY ord").fetchall()


def test_only_what_differs_is_written_and_encoded(database: Database, tmp_path: Path) -> None:
    encoder = LetterEncoder()
    folder = write_base(tmp_path, TEXTS)
    first = published(database, folder, encoder=encoder)
    again = published(database, folder, encoder=encoder)
    write_base(tmp_path, {"hours": "We open at ten.", "price": TEXTS["price"], "new": "Helmets are two euros."})
    changed = published(database, folder, encoder=encoder)

    assert (counts(first), counts(again), again.revision) == ((3, 0, 0, 0, 3), (0, 0, 0, 0, 0), None)
    assert counts(changed) == (1, 1, 0, 1, 2) and (changed.revision or 0) > (first.revision or 0)
    assert encoder.encoded == 5
    assert set(rows(database, "id, gone IS NULL, revision, body IS NULL")) == {
        ("hours", True, changed.revision, False),
        ("price", True, first.revision, False),
        ("seat", False, changed.revision, True),
        ("new", True, changed.revision, False),
    }


def test_a_text_that_another_passage_has_is_not_encoded_again(database: Database, tmp_path: Path) -> None:
    encoder = LetterEncoder()
    published(database, write_base(tmp_path, TEXTS), encoder=encoder)
    write_base(tmp_path, {**TEXTS, "copy": TEXTS["price"], "other copy": TEXTS["price"]})

    done = published(database, tmp_path, encoder=encoder)

    assert counts(done) == (2, 0, 0, 0, 0) and encoder.encoded == 3
    assert {row[0] for row in rows(database, "vector IS NULL")} == {False}


def test_a_dry_run_changes_nothing(database: Database, tmp_path: Path) -> None:
    done = published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder(fails=True), dry_run=True)

    assert done.is_change and counts(done) == (3, 0, 0, 0, 3) and done.revision is None
    assert published_bases(database) == set() and rows(database, "id") == []


def test_settings_travel_with_the_base(database: Database, tmp_path: Path) -> None:
    settings = {"language": "de", "waiting_messages": ["Moment."], "small_talk": False, "min_evidence": 0.0}
    published(database, write_base(tmp_path, TEXTS, settings))

    assert database.execute("SELECT settings, language FROM parley.base").fetchall() == [(settings, "de")]
    assert not published(database, tmp_path).is_change
    write_base(tmp_path, TEXTS, {**settings, "not_found": "Das weiß ich nicht."})
    assert published(database, tmp_path).settings_changed


def test_whoever_has_no_encoder_leaves_the_vectors_of_others(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder())
    # All positions change, one text does.
    write_base(tmp_path, {"first": "Something new.", **TEXTS, "seat": "A child seat is two euros."})

    done = published(database, tmp_path)

    assert counts(done) == (1, 1, 2, 0, 0)
    assert rows(database, "id, vector IS NULL") == [
        ("first", True),
        ("hours", False),
        ("price", False),
        ("seat", True),
    ]
    assert database.execute("SELECT encoder FROM parley.base").fetchall() == [("letters",)]


def test_another_encoder_makes_all_vectors_anew(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder())

    assert counts(published(database, tmp_path, encoder=LetterEncoder("others"))) == (0, 0, 3, 0, 3)


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\0b c", "ab c"), ("ß 漢 🙂", "ß 漢 🙂")],
    ids=["nul", "any script"],
)
def test_what_postgres_cannot_store_is_left_out(database: Database, tmp_path: Path, text: str, stored: str) -> None:
    write_base(tmp_path, {"a": "A text."})
    entry = {"id": "x", "text": "Some text.", "note": text, "size": float("inf")}
    (tmp_path / "b.json").write_text(json.dumps([entry]).replace("Infinity", "1e999"))

    published(database, tmp_path)

    (row,) = database.execute("SELECT metadata->>'note' FROM parley.passage WHERE id = 'x'").fetchall()
    assert row == (stored,) and not published(database, tmp_path).is_change


@pytest.mark.row("DB-09")
def test_a_publish_that_breaks_off_leaves_the_old_revision(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS), encoder=LetterEncoder())
    before = rows(database, "id, body, revision")
    write_base(tmp_path, {**TEXTS, "hours": "We open at ten.", "new": "Helmets are two euros."})

    with pytest.raises(EncoderFailed):
        published(database, tmp_path, encoder=LetterEncoder("letters", fails=True))

    assert rows(database, "id, body, revision") == before


@pytest.mark.row("DB-09")
def test_of_two_at_once_the_second_waits(database: Database, address: DatabaseAddress, tmp_path: Path) -> None:
    write_base(tmp_path, TEXTS)
    done: list[Any] = []
    with database.transaction():
        published(database, tmp_path)

        def second() -> None:
            with connect(address) as connection:
                done.append(published(connection, tmp_path))

        thread = threading.Thread(target=second)
        thread.start()
        while not database.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
            assert thread.is_alive()
    thread.join(30)

    assert [one.is_change for one in done] == [False]


@pytest.mark.row("DB-14")
def test_a_dropped_base_has_no_rows_and_can_come_back(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS))

    gone = drop(database, "shop")

    assert gone and gone.gone == 3 and published_bases(database) == set() and drop(database, "shop") is None
    assert counts(published(database, tmp_path)) == (3, 0, 0, 0, 0) and published_bases(database) == {"shop"}


def test_old_tombstones_are_deleted(database: Database, tmp_path: Path) -> None:
    published(database, write_base(tmp_path, TEXTS))
    write_base(tmp_path, {"hours": TEXTS["hours"]})
    published(database, tmp_path)
    database.execute("UPDATE parley.passage SET gone = now() - interval '8 days' WHERE id = 'seat'")
    write_base(tmp_path, {"hours": "We open at ten."})

    published(database, tmp_path)

    assert {row[0] for row in rows(database, "id")} == {"hours", "price"}
