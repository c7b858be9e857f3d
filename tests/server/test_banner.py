"""The line that is printed at the start: a command that works on this machine, wherever the server listens."""

import shlex

import pytest
from structlog.testing import capture_logs

from parley.server import banner
from parley.settings import Settings


def command(address: str) -> list[str]:
    with capture_logs() as logged:
        banner.announce(Settings.from_environ({"LOG_FORMAT": "json"}), [address])
    (told,) = [line["command"] for line in logged if line["event"] == "listening"]
    return shlex.split(told)


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("http://[::]:8000", "http://[::1]:8000"),
        ("http://10.0.0.7:8000", "http://10.0.0.7:8000"),
        ("https://0.0.0.0:8443", "https://127.0.0.1:8443"),
    ],
)
def test_the_command_asks_an_address_of_this_machine(address: str, root: str) -> None:
    assert command(address)[:3] == ["curl", "-N", f"{root}/rag/chat/completions"]


@pytest.mark.parametrize(
    ("address", "option", "path"),
    [
        ("unix:/run/parley.sock", "--unix-socket", "/run/parley.sock"),
        ("unix:/run/a folder/0.0.0.0", "--unix-socket", "/run/a folder/0.0.0.0"),
        ("unix:\0parley", "--abstract-unix-socket", "parley"),
    ],
)
def test_the_command_asks_a_unix_socket_by_its_path(address: str, option: str, path: str) -> None:
    assert command(address)[:5] == ["curl", "-N", option, path, "http://localhost/rag/chat/completions"]
