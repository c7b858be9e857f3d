"""One real server for all tests here, flushed between them; a link to it as a worker has one."""

from collections.abc import Callable, Iterator
from typing import Any

import gevent.socket
import pytest
from redis_servers import RedisServer

from parley.shared import link as link_module
from parley.shared import urls
from parley.shared.link import Link


@pytest.fixture(scope="session", autouse=True)
def _patched() -> Iterator[None]:
    """Give the client library gevent's sockets, as in a worker, without patching the tests' own process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redis.connection.socket", gevent.socket)
        yield


@pytest.fixture(scope="session")
def _valkey() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(_valkey: RedisServer) -> RedisServer:
    """Return the server, without a key."""
    _valkey.client.flushall()
    return _valkey


Links = Callable[..., Link]


@pytest.fixture
def links(redis_server: RedisServer) -> Iterator[Links]:
    """Yield a function that makes links of several workers; each has asked once, and asks again when it is told to."""
    made = []

    def make(url: str = redis_server.url, *, timeout: float = 1.0, **options: Any) -> Link:
        link = Link(urls.parse(url), timeout=timeout, prefix="t", **options)
        link.beat()
        made.append(link)
        return link

    yield make
    for link in made:
        if link._client is not None:
            link._client.close()


@pytest.fixture
def link(links: Links) -> Link:
    """Return the link of one worker, which is up."""
    link = links()
    assert link.is_up
    return link


@pytest.fixture(autouse=True)
def _no_turn() -> None:
    """Leave no test the budget of another one's turn."""
    link_module._turn.set(None)
