"""The findings of `flask db check`: versions, rights, encoders, and what is in the way."""

from typing import Any

import psycopg
from knowledge_folder import LetterEncoder, published, write_base
from postgres import Postgres

from parley.knowledge.database.address import DatabaseAddress, parse
from parley.knowledge.database.examination import examine


def messages(address: DatabaseAddress, severity: str, *encoders: str) -> str:
    return "\n".join(one.message for one in examine(address, encoders) if one.severity == severity)


def test_a_database_without_tables_is_in_the_way(empty_url: str) -> None:
    assert "CREATE EXTENSION vector" in messages(parse(empty_url), "error")


def test_nothing_published_is_a_warning(address: DatabaseAddress) -> None:
    assert messages(address, "error") == "" and "flask kb publish" in messages(address, "warning")


def test_another_encoder_is_a_warning(
    address: DatabaseAddress, database: "psycopg.Connection[Any]", tmp_path: Any
) -> None:
    published(database, write_base(tmp_path, {"a": "A text."}), encoder=LetterEncoder())

    assert "not this server" in messages(address, "warning", "others")
    assert "shop: 1 passages" in messages(address, "ok", "letters")


def test_a_server_that_does_not_answer_is_in_the_way(server: Postgres) -> None:
    assert "refused" in messages(parse("postgresql://127.0.0.1:1/db"), "error")
