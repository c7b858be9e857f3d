"""Names are looked up once a minute, and a resolver that fails does not stop calls."""

import socket
import threading
from collections.abc import Iterator

import gevent
import pytest
from gevent import get_hub

from parley.concurrency import LARGE_BYTES, outcome_of, run_for_size
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


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have lookups of `slow.test` hang until the event is set; all others find one address at once."""
    free = threading.Event()

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host.startswith("slow"):
            free.wait(20)
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(dns, "_getaddrinfo", resolve)
    yield free
    free.set()
    gevent.wait([*dns._lookups.values()], timeout=5)


def looked_up(host: str) -> list[dns.Address] | None:
    """Return a host's addresses, or None if they do not come soon."""
    with gevent.Timeout(0.05, False):
        return dns.addresses(host, 80)
    return None


@pytest.mark.slow
@pytest.mark.row("RF-26")
def test_a_name_that_hangs_holds_up_no_other_name_or_work(hanging: threading.Event) -> None:
    asked = [looked_up("slow.test") for _ in range(2 * dns.THREADS)]
    assert asked == [None] * len(asked) and len(dns._lookups) == 1
    with gevent.Timeout(5):
        assert dns.addresses("quick.test", 80) == [HERE]
        assert run_for_size(LARGE_BYTES, len, "large") == 5
        assert get_hub().threadpool.apply(len, ("file",)) == 4


@pytest.mark.row("RF-26")
def test_a_late_lookup_serves_the_next_call(hanging: threading.Event) -> None:
    assert looked_up("slow.test") is None
    hanging.set()
    with gevent.Timeout(5):
        while dns._lookups:
            gevent.sleep(0.005)
    assert looked_up("slow.test") == [HERE]


@pytest.mark.slow
@pytest.mark.row("RF-26")
def test_a_hanging_resolver_leaves_the_last_addresses(hanging: threading.Event) -> None:
    dns._cache["slow.test", 80] = (0.0, [HERE])
    with gevent.Timeout(5):
        assert [dns.addresses("slow.test", 80) for _ in range(3)] == [[HERE]] * 3


@pytest.mark.row("RF-26")
@pytest.mark.parametrize("host", ["nosuch.invalid", f"{'x' * 70}.invalid"])
def test_each_who_waits_gets_an_error_of_its_own(host: str) -> None:
    asking = [gevent.spawn(outcome_of, dns.addresses, host, 80) for _ in range(3)]
    errors = [each.get(timeout=20).error for each in asking]
    assert len({id(error) for error in errors}) == 3
    assert all(isinstance(error, OSError | UnicodeError) for error in errors)


@pytest.mark.row("RF-26")
def test_one_lookup_serves_all_who_wait(hanging: threading.Event) -> None:
    asking = [gevent.spawn(dns.addresses, "slow.test", 80) for _ in range(30)]
    gevent.sleep(0.02)
    assert len(dns._lookups) == 1
    hanging.set()
    assert [each.get(timeout=5) for each in asking] == [[HERE]] * 30
