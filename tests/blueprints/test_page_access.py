"""The playground is served to the machine's own browser: by address, by name, and through no proxy."""

import pytest

from blueprints.page_access import is_local, is_loopback_name, is_served


class Arrived:
    """A caller's socket, by the server's own address."""

    def __init__(self, address: object) -> None:
        self.address = address

    def getsockname(self) -> object:
        return self.address


def asked(address: object = ("127.0.0.1", 8000), **headers: str) -> dict[str, object]:
    named = {"HTTP_HOST": "127.0.0.1:8000", "SERVER_PROTOCOL": "HTTP/1.1", **headers}
    return {"gunicorn.socket": Arrived(address), **named}


@pytest.mark.parametrize(
    "address", [("127.0.0.1", 8000), ("127.8.9.1", 1), ("::1", 8000, 0, 0), ("::ffff:127.0.0.1", 8000, 0, 0)], ids=str
)
def test_a_request_at_a_loopback_address_is_local(address: object) -> None:
    assert is_local(asked(address))


@pytest.mark.parametrize(
    "address",
    [("10.1.2.3", 8000), ("fd00::1", 8000, 0, 0), ("::ffff:10.0.0.1", 1, 0, 0), "/run/parley.sock", b"\0x", ""],
)
def test_a_request_at_another_address_is_not_local(address: object) -> None:
    assert not is_local(asked(address))


@pytest.mark.parametrize(
    "header",
    """
    FORWARDED VIA X_FORWARDED_FOR X_FORWARDED_HOST X_FORWARDED_PROTO X_FORWARDED X_REAL_IP CF_CONNECTING_IP CF_RAY
    TRUE_CLIENT_IP X_CLIENT_IP X_ORIGINAL_FORWARDED_FOR X_ENVOY_EXTERNAL_ADDRESS CDN_LOOP FLY_CLIENT_IP
    """.split(),  # noqa: SIM905 - easier to read than quoted names
)
def test_a_request_through_a_proxy_is_not_local(header: str) -> None:
    assert not is_local(asked(**{f"HTTP_{header}": ""}))


def test_a_proxy_that_names_nobody_is_known_by_its_protocol() -> None:
    assert not is_local(asked(SERVER_PROTOCOL="HTTP/1.0"))


def test_without_gunicorn_nothing_is_local() -> None:
    assert not is_local({"HTTP_HOST": "127.0.0.1"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "parley.localhost:1",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]:8000",
        "[::1]",
        "127.9.8.7",
    ],
)
def test_a_loopback_name_is_known(host: str) -> None:
    assert is_loopback_name(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            ":8000",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
            "notlocalhost",
        ),
        *("192.168.1.5", "0.0.0.0:8000", "[::1", "localhost@evil.example", "evil.example@localhost", "localhost:port"),
        *("localhost/..", "localhost#", "localhost?", "localhost, evil.example", "127.1", "2130706433", "[fd00::1]"),
    ],
)
def test_any_other_name_is_not_one_of_loopback(host: str) -> None:
    assert not is_loopback_name(host)


def test_the_setting_decides_first() -> None:
    foreign = asked(HTTP_HOST="evil.example")
    assert [is_served(foreign, mode) for mode in ("on", "auto", "off")] == [True, False, False]
    assert [is_served(asked(), mode) for mode in ("on", "auto", "off")] == [True, True, False]
