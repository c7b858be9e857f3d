"""The servers of the black-box tests. Each is started when a test first asks for it, and then stays.

All share one fake upstream, which every test finds as new. Stopping takes each server a second, so they
are stopped together.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_upstream import FakeUpstream, answer, models
from running_server import RunningServer, running_server

OUR_KEY = "sk-ours-0123456789abcdef"


class Servers:
    """`servers(MAX_STREAMS="1")` is the running server with these settings; those not given are the usual ones."""

    def __init__(self, base_url: str) -> None:
        self._usual = {"LLM_BASE_URL": base_url, "LLM_API_KEY": OUR_KEY}
        self._running: dict[frozenset[tuple[str, str]], RunningServer] = {}
        self._stacks: list[contextlib.ExitStack] = []

    def __call__(self, **settings: str) -> RunningServer:
        key = frozenset(settings.items())
        if key not in self._running:
            stack = contextlib.ExitStack()
            self._running[key] = stack.enter_context(running_server({**self._usual, **settings}))
            self._stacks.append(stack)
        return self._running[key]

    def stop(self) -> None:
        """All at once."""
        if self._stacks:
            with ThreadPoolExecutor(len(self._stacks)) as pool:
                list(pool.map(lambda stack: stack.close(), self._stacks))


@pytest.fixture(scope="session")
def our_key() -> str:
    """The key that the servers have for the upstream."""
    return OUR_KEY


@pytest.fixture(scope="session")
def _fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="session")
def servers(_fake: FakeUpstream) -> Iterator[Servers]:
    """Servers by their settings."""
    servers = Servers(_fake.base_url)
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def upstream(_fake: FakeUpstream) -> Iterator[FakeUpstream]:
    """The upstream of all servers, without calls and with its first scripts; a test leaves no call open."""
    _fake.calls.clear()
    _fake.script, _fake.models_script = answer("Hello there"), models(["fake-model"])
    yield _fake
    _fake.wait_until(lambda: _fake.open_calls == 0)


@pytest.fixture
def server(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """The usual server, which loses patience with its upstream quickly."""
    return servers(TTFT_TIMEOUT="0.5", IDLE_TIMEOUT="0.8")


@pytest.fixture
def patient(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """The server with every default."""
    return servers()
