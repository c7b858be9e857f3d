"""Names are looked up once a minute, and a resolver that fails does not stop calls."""

import socket
from collections.abc import Iterator

import pytest

from parley.http_client import dns

HERE = (socket.AF_INET, ("127.0.0.1", 80))


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    dns._remembered.clear()
    yield
    dns._remembered.clear()


@pytest.mark.parametrize(("text", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_needs_no_look_up(text: str, family: socket.AddressFamily) -> None:
    assert dns.addresses(text, 80) == [(family, (text, 80))] and not dns._remembered


def test_a_name_is_looked_up_once_until_it_is_forgotten() -> None:
    first = dns.addresses("localhost", 80)

    assert HERE in first and dns.addresses("localhost", 80) is first
    dns.forget("localhost", 80)
    assert dns.addresses("localhost", 80) is not first


def test_what_is_old_is_looked_up_anew() -> None:
    dns._remembered["localhost", 80] = (0.0, [])

    assert HERE in dns.addresses("localhost", 80)


def test_where_the_resolver_fails_what_it_said_last_still_counts() -> None:
    dns._remembered["nosuch.invalid", 80] = (0.0, [HERE])

    assert dns.addresses("nosuch.invalid", 80) == [HERE]


def test_a_name_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(OSError):
        dns.addresses("nosuch.invalid", 80)
