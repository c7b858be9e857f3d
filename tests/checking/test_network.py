"""Name, connection and TLS: each step's fault in words, with what to do."""

import socket
import time

import pytest
from running_server import free_port
from unreachable import black_hole

from parley.checking import network
from parley.checking.network import Address, StepFailed


def test_a_name_has_each_address_once() -> None:
    assert network.resolve("127.0.0.1", 80) == [Address(socket.AF_INET, "127.0.0.1", 80)]


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".example", "a..b"])
def test_an_unknown_name_is_told(host: str) -> None:
    with pytest.raises(StepFailed, match="is not known") as failed:
        network.resolve(host, 80)
    assert failed.value.fix


def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "STEP_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(0.3) or [])
    with pytest.raises(StepFailed, match="was not resolved within"):
        network.resolve("slow.example", 80)


def test_nobody_listens_and_a_silent_firewall_are_two_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "STEP_SECONDS", 0.2)
    with pytest.raises(StepFailed, match="nobody listens"):
        network.connect(Address(socket.AF_INET, "127.0.0.1", free_port()))
    with black_hole() as port, pytest.raises(StepFailed, match="says nothing"):
        network.connect(Address(socket.AF_INET, "127.0.0.1", port))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example/v1", ("a.example", 443)),
        ("http://a.example", ("a.example", 80)),
        ("http://[::1]:8", ("::1", 8)),
    ],
)
def test_the_target_of_a_url(url: str, target: tuple[str, int]) -> None:
    assert network.target_of(url) == target
