"""`flask db`: what it prints without a database; the rest is in tests/database/test_commands.py."""

import pytest

from app import create_app
from parley.settings import Settings


@pytest.mark.parametrize("command", ["init", "check"])
def test_without_a_database_it_says_so(command: str) -> None:
    result = create_app(Settings()).test_cli_runner().invoke(args=["db", command])

    assert result.exit_code == 1 and "DATABASE_URL is not set" in result.output


def test_the_statements_are_printed_for_an_administrator() -> None:
    result = create_app(Settings()).test_cli_runner().invoke(args=["db", "init", "--sql"])

    assert result.exit_code == 0 and "CREATE EXTENSION IF NOT EXISTS vector;" in result.output
    assert "INSERT INTO parley.version (version) VALUES (1);" in result.output
