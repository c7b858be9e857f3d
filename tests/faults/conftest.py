"""The servers of the fault tests, each started when a test first asks for it, and two fake upstreams for all of them.

A server remembers: its retry budget, its breakers. A test that counts calls asks for one that is `rested`, or for one
`alone` with the test.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_upstream import FakeUpstream, answer
from heard import fallback_to
from running_server import RunningServer, running_server

OUR_KEY = "sk-ours-0123456789abcdef"


class Servers:
    """`servers(TTFT_TIMEOUT="1")` is the running server with these settings; those not given are the usual ones.

    One that is `alone` is nobody else's. No server may print a traceback, whatever its upstream did.
    """

    def __init__(self, base_url: str) -> None:
        self._usual = {
            "LLM_BASE_URL": base_url,
            "LLM_API_KEY": OUR_KEY,
            "TTFT_TIMEOUT": "0.5",
            "PRECOMMIT_TIMEOUT": "2",
            "IDLE_TIMEOUT": "0.5",
            "WAITING_MESSAGES": "Wait.",
        }
        self._running: dict[tuple[str, frozenset[tuple[str, str]]], RunningServer] = {}
        self._stacks: list[contextlib.ExitStack] = []

    def __call__(self, *, alone: str = "", **settings: str) -> RunningServer:
        key = (alone, frozenset(settings.items()))
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
        for server in self._running.values():
            assert "Traceback" not in server.output(), server.output()


@pytest.fixture(scope="session")
def our_key() -> str:
    """The key that the servers have for their first upstream."""
    return OUR_KEY


@pytest.fixture(scope="session")
def _fakes() -> Iterator[tuple[FakeUpstream, FakeUpstream]]:
    with FakeUpstream() as first, FakeUpstream() as second:
        yield first, second


@pytest.fixture(scope="session")
def servers(_fakes: tuple[FakeUpstream, FakeUpstream]) -> Iterator[Servers]:
    """Servers by their settings."""
    servers = Servers(_fakes[0].base_url)
    try:
        yield servers
    finally:
        servers.stop()


def _as_new(fake: FakeUpstream) -> Iterator[FakeUpstream]:
    fake.calls.clear()
    fake.script = answer("Hello there")
    yield fake
    fake.wait_until(lambda: fake.open_calls == 0)


@pytest.fixture
def first(_fakes: tuple[FakeUpstream, FakeUpstream]) -> Iterator[FakeUpstream]:
    """The upstream that is asked first, without calls; a test leaves no call open."""
    yield from _as_new(_fakes[0])


@pytest.fixture
def second(_fakes: tuple[FakeUpstream, FakeUpstream]) -> Iterator[FakeUpstream]:
    """The upstream behind it, where a server has one."""
    yield from _as_new(_fakes[1])


@pytest.fixture
def single(first: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with one upstream, which loses patience quickly."""
    return servers()


@pytest.fixture
def speaking(first: FakeUpstream, servers: Servers) -> RunningServer:
    """One that speaks when its upstream fails."""
    return servers(FALLBACK_TEXT="Sorry?")


@pytest.fixture
def pair(first: FakeUpstream, second: FakeUpstream, servers: Servers) -> RunningServer:
    """One with both upstreams."""
    return servers(LLM_FALLBACKS=fallback_to(second))
