"""Which pages count as the server's own: those of a host that no stranger can point at it."""

import pytest

from blueprints.origins import is_loopback, is_own, is_rebound


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "127.0.0.1",
        "localhost:8000",
        "parley.localhost:8000",
        "192.168.1.5:9000",
        "[::1]:8000",
        "[fd00::7]",
        "0.0.0.0:8000",
    ],
)
def test_a_page_of_an_address_or_of_localhost_is_own(host: str) -> None:
    assert is_own(f"http://{host}", "http", host, ())


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example:8000",
        "localhost.evil.example:8000",
        "notlocalhost:8000",
        "localhost.:8000",
        "a.example@localhost.evil:8000",
        "[::1:8000",
        "",
    ],
)
def test_a_page_of_a_host_name_is_not_own(host: str) -> None:
    assert not is_own(f"http://{host}", "http", host, ("a.example",))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "127.0.0.1:8000"),
        ("http://127.0.0.1:9000", "127.0.0.1:8000"),
        ("https://127.0.0.1:8000", "127.0.0.1:8000"),
        ("null", "127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000"),
    ],
)
def test_a_page_of_another_origin_is_not(origin: str, host: str) -> None:
    assert not is_own(origin, "http", host, ())


@pytest.mark.parametrize(
    ("trusted", "host", "own"),
    [
        ("voice.example.com", "voice.example.com", True),
        ("voice.example.com", "voice.example.com:8000", True),
        ("voice.example.com", "Voice.Example.com", True),
        ("voice.example.com:8000", "voice.example.com:8000", True),
        ("voice.example.com:8000", "voice.example.com", False),
        ("voice.example.com", "x.voice.example.com", False),
    ],
)
def test_the_operator_names_further_hosts(trusted: str, host: str, own: bool) -> None:
    assert is_own(f"https://{host}", "https", host, (trusted,)) is own


@pytest.mark.parametrize(
    ("origin", "host", "rebound"),
    [
        (None, "localhost:8000", False),
        ("http://localhost:3000", "127.0.0.1:8000", False),
        (None, "evil.example", True),
        ("http://evil.example", "127.0.0.1", True),
        ("http://127.0.0.1", "evil.example", True),
        ("null", "localhost", True),
        (None, "", True),
        ("http://own.example", "own.example:8000", False),
    ],
)
def test_a_name_not_bound_to_this_server_may_have_led_here(origin: str | None, host: str, rebound: bool) -> None:
    assert is_rebound(origin, host, ("own.example",)) is rebound


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        (("127.0.0.1", 8000), True),
        (("127.8.9.1", 8000), True),
        (("::1", 8000, 0, 0), True),
        (("::ffff:127.0.0.1", 8000, 0, 0), True),
        (("fe80::1%eth0", 8000, 0, 2), False),
        (("10.0.0.7", 8000), False),
        ("/run/parley.sock", False),
        ("", False),
    ],
)
def test_a_loopback_address_is_told_from_others(address: object, loopback: bool) -> None:
    assert is_loopback(address) is loopback
