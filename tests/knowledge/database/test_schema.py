"""The tables: made once, in order, under a lock; what a server can work with."""

import threading
from typing import Any

import psycopg
import pytest

from parley.knowledge.database import schema
from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import connect


def test_this_release_knows_all_its_migrations() -> None:
    assert [number for number, _ in schema.migrations()] == list(range(1, schema.KNOWN + 1))


def test_a_second_run_finds_nothing_to_do(empty_url: str) -> None:
    with connect(parse(empty_url)) as connection:
        assert schema.version(connection) == 0
        assert (schema.apply(connection), schema.apply(connection)) == ([1, 2], [])
        assert schema.version(connection) == schema.KNOWN


def test_of_two_that_start_at_once_one_makes_the_tables(empty_url: str) -> None:
    applied: list[list[int]] = []

    def run() -> None:
        with connect(parse(empty_url)) as connection:
            applied.append(schema.apply(connection))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(number for each in applied for number in each) == [1, 2]


@pytest.mark.row("DB-11")
@pytest.mark.parametrize(
    ("found", "remedy"), [(0, "flask db init"), (-1, "flask db init"), (schema.KNOWN + 2, "upgrade Parley")]
)
def test_a_schema_that_does_not_fit_names_the_remedy(found: int, remedy: str) -> None:
    with pytest.raises(schema.UnusableSchema, match=remedy):
        schema.require(found)


@pytest.mark.parametrize("found", [schema.KNOWN, schema.KNOWN + 1], ids=["its own", "the next one"])
def test_a_release_works_with_its_schema_and_the_next(found: int) -> None:
    schema.require(found)


def test_touching_a_base_makes_all_of_it_new(database: "psycopg.Connection[Any]") -> None:
    base = "INSERT INTO parley.base (name, revision, passages, terms_version) VALUES ('shop', 0, 0, 1) RETURNING id"
    (number,) = database.execute(base).fetchone() or (0,)
    database.execute("INSERT INTO parley.passage (base_id, id, ord, revision) VALUES (%s, 'a', 0, 0)", [number])

    (revision,) = database.execute("SELECT parley.touch('shop')").fetchone() or (0,)

    assert database.execute("SELECT revision, passages FROM parley.base").fetchall() == [(revision, 1)]
    assert database.execute("SELECT revision FROM parley.passage").fetchall() == [(revision,)] and revision > 0
