"""REDIS_URL: its forms, what is refused, and what is shown of it; TLS at a real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_tls_upstream import Certificates
from redis_servers import RedisServer
from redis_servers import redis_server as debians

from parley.shared import urls

FORMS = [
    ("redis://h", "redis://h:6379/0", "single", False),
    ("valkey://h:1/3", "redis://h:1/3", "single", False),
    ("rediss://u:p%40s@h.example:6380/1", "rediss://h.example:6380/1", "single", True),
    ("valkeys://h?ssl_cert_reqs=none", "rediss://h:6379/0", "single", True),
    ("redis://[::1]:7", "redis://[::1]:7/0", "single", False),
    ("unix:///run/redis.sock", "unix:///run/redis.sock", "single", False),
    ("redis+sentinel://a,b:5/main", "redis+sentinel://a:26379,b:5/main", "sentinel", False),
    ("rediss+cluster://:secret@a:1,b:2", "rediss+cluster://a:1,b:2", "cluster", True),
]
REFUSED = [
    *("", "h", "redis:", "redis://", "http://h", "redis://h:0", "redis://h:65536", "redis://h/x", "redis://h/1/2"),
    *("redis://h?socket_timeout=9", "rediss://h?timeout=1", "redis://h?ssl_cert_reqs=none", "redis://a,b"),
    *("redis://u:p#x@h", "redis://u:p w@h", "redis://:${PASSWORD}@h", "redis+sentinel://h", "redis+cluster://h/1"),
    *("rediss://h?ssl_cert_reqs=maybe", "unix://", "unix://host/path", "unix:///s?db=1", "redis://h é", "redis://[::1"),
    *("redis+sentinel://h/a/b/c", "rediss://h?ssl_ca_certs=a&x=1", "redis://\0"),
]


@pytest.mark.parametrize(("url", "shown", "form", "tls"), FORMS, ids=[form[0] for form in FORMS])
def test_each_form_is_understood(url: str, shown: str, form: str, tls: bool) -> None:
    address = urls.parse(url)

    assert (address.shown, address.form, address.tls) == (shown, form, tls)


@pytest.mark.parametrize("url", REFUSED, ids=repr)
def test_other_texts_are_refused(url: str) -> None:
    with pytest.raises(ValueError):
        urls.parse(url)


def test_user_and_password_are_decoded_and_never_shown() -> None:
    address = urls.parse("rediss://some%6Fne:p%40ss%2Fw%23rd@h")

    assert address.secrets == ["p@ss/w#rd", "someone"]
    assert not [secret for secret in address.secrets if secret in repr(address) + address.shown]
    assert urls.parse("redis://default:p@h").secrets == ["p"]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://h", "encrypted"),
        ("rediss://h?ssl_cert_reqs=none", "any certificate"),
        ("redis+sentinel://127.0.0.1,h/main", "encrypted"),
        ("redis://127.0.0.1", ""),
        ("redis://localhost", ""),
        ("rediss://h", ""),
        ("unix:///s", ""),
    ],
)
def test_a_connection_that_others_can_read_is_warned_of(url: str, word: str) -> None:
    warnings = urls.parse(url).warnings

    assert bool(warnings) is bool(word) and word in "".join(warnings)


def test_a_missing_package_is_told_with_the_file_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert urls.missing_package() == ""
    monkeypatch.setattr(urls.importlib.util, "find_spec", lambda name: None)
    assert urls.missing_package() == "REDIS_URL needs the package redis: pip install -r requirements-shared.txt"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for localhost that nobody vouches for, together with its key."""
    return Certificates(tmp_path_factory.mktemp("certificates")).self_signed


@pytest.fixture(scope="module")
def encrypted(certificate: Path) -> Iterator[RedisServer]:
    """Yield a server that speaks TLS only."""
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(certificate))
    authority = ("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no")
    with RedisServer(*files, *authority, binary=debians(), tls=True) as server:
        yield server


def ping(url: str) -> Any:
    client = urls.connect(urls.parse(url), 2)
    try:
        return client.ping()
    finally:
        client.close()


@pytest.mark.slow
def test_tls_is_verified_by_chain_and_name(encrypted: RedisServer, certificate: Path) -> None:
    port, trusted = encrypted.port, f"ssl_ca_certs={certificate}"

    assert ping(f"rediss://localhost:{port}?{trusted}")
    assert ping(f"rediss://localhost:{port}?ssl_cert_reqs=none")
    with pytest.raises(Exception, match=r"(?i)certificate verify failed.*self.signed"):
        ping(f"rediss://localhost:{port}")
    with pytest.raises(Exception, match=r"(?i)certificate verify failed.*mismatch"):
        ping(f"rediss://127.0.0.1:{port}?{trusted}")


def test_a_name_is_tried_at_all_its_addresses(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from parley.http_client import dns

    both = [(socket.AF_INET6, ("::1", redis_server.port)), (socket.AF_INET, ("127.0.0.1", redis_server.port))]
    monkeypatch.setattr(dns, "addresses", lambda host, port: both)
    assert ping(f"redis://two.example:{redis_server.port}")


def test_a_unix_socket_can_be_used(tmp_path: Path) -> None:
    with RedisServer("--unixsocket", f"{tmp_path}/s"):
        assert ping(f"unix://{tmp_path}/s")
