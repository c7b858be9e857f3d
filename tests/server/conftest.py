"""The servers of the black-box tests. All share one fake upstream, which every test finds as new."""

from collections.abc import Iterator

import pytest
from fake_upstream import FakeUpstream, answer, models
from running_server import RunningServer
from servers import Servers, shared_servers

OUR_KEY = "sk-ours-0123456789abcdef"


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
    with shared_servers({"LLM_BASE_URL": _fake.base_url, "LLM_API_KEY": OUR_KEY}) as servers:
        yield servers


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
