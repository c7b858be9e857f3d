"""`flask shared check`: what is printed, and the exit codes."""

from collections.abc import Iterator

import pytest
from click.testing import Result
from redis_servers import RedisServer
from running_server import free_port

from app import create_app
from parley.settings import Settings
from parley.telemetry import logs


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command silences the log of its process, which here is that of all tests."""
    yield
    logs.configure("info", None)


def check(url: str) -> Result:
    settings = Settings.from_environ({"REDIS_URL": url, "REDIS_TIMEOUT": "1000"})
    return create_app(settings).test_cli_runner().invoke(args=["shared", "check"])


def test_a_good_server_is_told_with_exit_code_0() -> None:
    with RedisServer() as server:
        done = check(server.url)
    assert done.exit_code == 0 and "SH-1" in done.output and "its user may do all" in done.output


def test_a_fault_is_told_with_exit_code_1() -> None:
    done = check(f"redis://127.0.0.1:{free_port()}")
    assert done.exit_code == 1 and "fix: " in done.output


def test_without_redis_the_exit_code_is_2() -> None:
    assert check("").exit_code == 2
