"""One PostgreSQL for a session; its tables are made anew for a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fake_upstream import FakeUpstream, answer
from postgres import Postgres, needed_wheel, postgres

from parley.knowledge.database import schema
from parley.knowledge.database.address import DatabaseAddress, parse
from parley.knowledge.database.connections import connect


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """Yield a PostgreSQL with pgvector; a test that stops it starts it again."""
    with postgres(needed_wheel()) as started:
        yield started


@pytest.fixture
def empty_url(server: Postgres) -> str:
    """Return the URL of a database without tables."""
    return server.database()


@pytest.fixture(scope="session")
def used_url(server: Postgres) -> str:
    """Return the URL of the database that the tests use one after the other."""
    return server.database()


@pytest.fixture
def url(used_url: str) -> str:
    """Return the URL of a database with Parley's tables, which are empty."""
    with connect(parse(used_url)) as connection:
        # Whoever is still connected could hold a lock.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # As empty as a new database, at a fifth of its price.
        connection.execute("DROP SCHEMA IF EXISTS parley CASCADE")
        schema.apply(connection)
    return used_url


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


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """Yield a model that answers."""
    with FakeUpstream() as fake:
        fake.script = answer("Hello there")
        yield fake


@pytest.fixture
def settings(upstream: FakeUpstream, url: str, tmp_path: Path) -> dict[str, str]:
    """Return the settings of a server whose knowledge comes from the database."""
    return {
        "LLM_BASE_URL": upstream.base_url,
        "DATABASE_URL": url,
        "KB_POLL": "0.1",
        "RAG_TIER": "lexical",
        "EMBEDDINGS_CACHE": str(tmp_path / "copies"),
        "KB_DIR": str(tmp_path / "nowhere"),
        "WAITING": "off",
    }
