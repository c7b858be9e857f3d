"""Names are looked up once a minute, and a resolver that fails does not stop calls."""

import socket
from collections.abc import Iterator

import pytest

from parley.http_client import dns

HERE = (socket.AF_INET, ("127.0.0.1", 80))


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    dns._cache.clear()
    yield
    dns._cache.clear()


@pytest.mark.parametrize(("text", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_needs_no_lookup(text: str, family: socket.AddressFamily) -> None:
    assert dns.addresses(text, 80) == [(family, (text, 80))] and not dns._cache


def test_a_name_is_looked_up_once_until_it_is_forgotten() -> None:
    first = dns.addresses("localhost", 80)

    assert HERE in first and dns.addresses("localhost", 80) is first
    dns.forget("localhost", 80)
    assert dns.addresses("localhost", 80) is not first


def test_an_expired_name_is_looked_up_again() -> None:
    dns._cache["localhost", 80] = (0.0, [])

    assert HERE in dns.addresses("localhost", 80)


def test_a_failing_resolver_leaves_the_last_addresses() -> None:
    dns._cache["nosuch.invalid", 80] = (0.0, [HERE])

    assert dns.addresses("nosuch.invalid", 80) == [HERE]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(OSError):
        dns.addresses("nosuch.invalid", 80)
