"""For the tests of tools: no proxy from the environment, and waits that let greenlets run."""

import time
from collections.abc import Callable

import gevent
import pytest

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of the machine that runs the tests."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Return a wait until something holds, in which greenlets run; AssertionError after 20 s."""

    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20.0
        while not holds():
            assert time.monotonic() < deadline, "not within 20 s"
            gevent.sleep(0.005)

    return wait
