"""The servers of the fault tests, each started when a test first asks for it, and two fake upstreams for all of them.

A server remembers: its retry budget, its breakers. A test that counts calls asks for one that is `rested`, or for one
`alone` with the test.
"""

from collections.abc import Iterator

import pytest
from fake_upstream import FakeUpstream, answer
from heard import fallback_to
from running_server import RunningServer
from servers import Servers, shared_servers

OUR_KEY = "sk-ours-0123456789abcdef"
IMPATIENT = {"TTFT_TIMEOUT": "0.5", "PRECOMMIT_TIMEOUT": "2", "IDLE_TIMEOUT": "0.5"}


@pytest.fixture(scope="session")
def our_key() -> str:
    """The key that the servers have for their first upstream."""
    return OUR_KEY


@pytest.fixture(scope="session")
def _fakes() -> Iterator[tuple[FakeUpstream, FakeUpstream]]:
    with FakeUpstream() as first, FakeUpstream() as second:
        yield first, second


@pytest.fixture(scope="session")
def upstream_url(_fakes: tuple[FakeUpstream, FakeUpstream]) -> str:
    """The base URL of the first upstream, for a server that a module starts itself."""
    return _fakes[0].base_url


@pytest.fixture(scope="session")
def servers(upstream_url: str) -> Iterator[Servers]:
    """Servers by their settings."""
    usual = {"LLM_BASE_URL": upstream_url, "LLM_API_KEY": OUR_KEY, "WAITING_MESSAGES": "Wait."}
    with shared_servers({**usual, **IMPATIENT}) as servers:
        yield servers


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
def upstream(first: FakeUpstream) -> FakeUpstream:
    """The upstream of a server that has but one."""
    return first


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
