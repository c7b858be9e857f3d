"""The servers of the black-box tests, each started when a test first asks for it, and two fake upstreams for them all.

A server remembers: its retry budget, its breakers. A test that counts calls asks for one that is `rested`, or for one
`alone` with the test.
"""

from collections.abc import Iterator

import pytest
from fake_upstream import FakeUpstream, answer, models
from heard import fallback_to
from running_server import RunningServer, free_port
from servers import Servers, shared_servers

OUR_KEY = "sk-ours-0123456789abcdef"
QUICK = {"TTFT_TIMEOUT": "0.5", "PRECOMMIT_TIMEOUT": "2", "IDLE_TIMEOUT": "0.5", "WAITING_MESSAGES": "Wait."}
"""Timeouts that a test can wait for, and one waiting message, so that a test knows which one it is."""
KEPT_SERVERS = 8
"""Servers that are kept from module to module, of each process that runs tests: 100 MB each."""


@pytest.fixture(scope="session")
def our_key() -> str:
    """Return the key that the servers have for their first upstream."""
    return OUR_KEY


@pytest.fixture(scope="session")
def _fakes() -> Iterator[tuple[FakeUpstream, FakeUpstream]]:
    with FakeUpstream() as first, FakeUpstream() as second:
        yield first, second


@pytest.fixture(scope="session")
def upstream_url(_fakes: tuple[FakeUpstream, FakeUpstream]) -> str:
    """Return the base URL of the first upstream, for a server that a module starts itself."""
    return _fakes[0].base_url


@pytest.fixture(scope="session")
def servers(upstream_url: str) -> Iterator[Servers]:
    """Yield servers by their settings; those not given have their defaults."""
    with shared_servers({"LLM_BASE_URL": upstream_url, "LLM_API_KEY": OUR_KEY}) as servers:
        yield servers


@pytest.fixture(scope="module", autouse=True)
def _few_servers(servers: Servers) -> Iterator[None]:
    """Leave the next module no more servers than a small machine can hold."""
    yield
    servers.stop(keep=KEPT_SERVERS)


@pytest.fixture(scope="session")
def quick_servers(servers: Servers) -> Servers:
    """Return servers by their settings; their timeouts are short unless others are given."""
    return servers.with_defaults(QUICK)


def _reset(fake: FakeUpstream) -> Iterator[FakeUpstream]:
    fake.calls.clear()
    fake.script, fake.models_script = answer("Hello there"), models(["fake-model"])
    yield fake
    fake.wait_until(lambda: fake.open_calls == 0)


@pytest.fixture(scope="module")
def refusing() -> str:
    """Return a base URL on which nobody listens."""
    return f"http://127.0.0.1:{free_port()}/v1"


@pytest.fixture
def first(_fakes: tuple[FakeUpstream, FakeUpstream]) -> Iterator[FakeUpstream]:
    """Yield the upstream that is asked first, without calls and with its first scripts; a test leaves no call open."""
    yield from _reset(_fakes[0])


@pytest.fixture
def second(_fakes: tuple[FakeUpstream, FakeUpstream]) -> Iterator[FakeUpstream]:
    """Yield the upstream of LLM_FALLBACKS, for a server that has one."""
    yield from _reset(_fakes[1])


@pytest.fixture
def upstream(first: FakeUpstream) -> FakeUpstream:
    """Return the upstream of a server that has one only."""
    return first


@pytest.fixture
def server(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """Return a server with short timeouts, everything else by default."""
    return servers(TTFT_TIMEOUT="0.5", IDLE_TIMEOUT="0.8")


@pytest.fixture
def patient(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """Return a server with every default."""
    return servers()


@pytest.fixture
def single(first: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """Return a quick server with one upstream."""
    return quick_servers()


@pytest.fixture
def speaking(first: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """Return a quick server that speaks a text when its upstream fails."""
    return quick_servers(FALLBACK_TEXT="Sorry?")


@pytest.fixture
def pair(first: FakeUpstream, second: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """Return a quick server with both upstreams."""
    return quick_servers(LLM_FALLBACKS=fallback_to(second))
