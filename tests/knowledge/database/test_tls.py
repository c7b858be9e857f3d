"""TLS to the database: refused where verification was asked for and fails, with the reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tls_upstream import Certificates
from postgres import Postgres, debian, missing, postgres

from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import DatabaseFailed, connect, translated
from parley.knowledge.database.examination import examine


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for localhost that nobody vouches for, together with its key."""
    return Certificates(tmp_path_factory.mktemp("certificates")).self_signed


@pytest.fixture(scope="module")
def encrypted(certificate: Path) -> Iterator[Postgres]:
    """Yield a server whose certificate is for `localhost`."""
    programs = debian()
    if programs is None:
        missing("postgresql")
        return
    options = ["-c", "ssl=on", "-c", "ssl_cert_file=../pem", "-c", "ssl_key_file=../pem"]
    with postgres(programs, options, prepare=[("pem", certificate.read_text())]) as server:
        yield server


def fault(url: str) -> str:
    """Return why there is no connection; empty if there is one."""
    try:
        with translated(parse(url)), connect(parse(url)) as connection:
            assert connection.pgconn.ssl_in_use
    except DatabaseFailed as failed:
        return str(failed)
    return ""


@pytest.mark.row("DB-13")
def test_an_authority_that_nobody_knows_is_refused(encrypted: Postgres) -> None:
    url = encrypted.url(query="?sslmode=verify-full").replace("127.0.0.1", "localhost")

    assert "certificate verify failed" in fault(url)


@pytest.mark.row("DB-13")
def test_another_name_is_refused(encrypted: Postgres, certificate: Path) -> None:
    query = f"?sslmode=verify-full&sslrootcert={certificate}"

    assert fault(encrypted.url(query=query).replace("127.0.0.1", "localhost")) == ""
    assert "does not match host name" in fault(encrypted.url(query=query))


@pytest.mark.row("DB-13")
@pytest.mark.parametrize("query", ["", "&sslrootcert=system"], ids=["unsaid", "named"])
def test_the_systems_authorities_are_found(
    encrypted: Postgres, certificate: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = encrypted.url(query=f"?sslmode=verify-full{query}").replace("127.0.0.1", "localhost")

    assert fault(url) == ""


@pytest.mark.row("DB-13")
@pytest.mark.parametrize(
    ("mode", "told"), [("require", "TLS, not verified"), ("verify-full", "TLS, certificate and name verified")]
)
def test_an_encrypted_way_is_told(encrypted: Postgres, certificate: Path, mode: str, told: str) -> None:
    query = f"?sslmode={mode}" + (f"&sslrootcert={certificate}" if mode == "verify-full" else "")
    url = encrypted.url(query=query).replace("127.0.0.1", "localhost")

    assert [one.message for one in examine(parse(url), [], ["encryption"])] == [told]


@pytest.mark.row("DB-13")
def test_a_server_without_tls_is_refused_where_it_is_asked_for(server: Postgres) -> None:
    assert "does not support SSL" in fault(server.url(query="?sslmode=require"))
