"""Fixtures: one real Redis server for a folder's tests, flushed between them, and links to it as a worker has one.

A `conftest.py` imports them by their names.
"""

from collections.abc import Callable, Iterator
from typing import Any

import gevent.socket
import pytest
from redis_servers import RedisServer

from parley.shared import link as link_module
from parley.shared import urls
from parley.shared.link import Link


@pytest.fixture(scope="session")
def patched_client() -> Iterator[None]:
    """Give the client library gevent's sockets, as in a worker, without patching the tests' own process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redis.connection.socket", gevent.socket)
        yield


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """Return a server for all tests of the folder."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(valkey: RedisServer) -> RedisServer:
    """Return the server, without a key."""
    valkey.client.flushall()
    return valkey


Links = Callable[..., Link]
PATIENT = 20.0
"""Seconds that a link waits for an answer where its test is not about waiting: a busy machine is late."""


@pytest.fixture
def links(redis_server: RedisServer, patched_client: None) -> Iterator[Links]:
    """Yield a function that makes links of several workers; each has asked once, and asks again when it is told to."""
    made = []
    # No test has the budget of another one's turn.
    link_module._turn.set(None)

    def make(url: str = redis_server.url, *, timeout: float = PATIENT, **options: Any) -> Link:
        link = Link(urls.parse(url), timeout=timeout, prefix="t", **options)
        # Who is patient is so with the beat, too.
        link._deadline = max(link._deadline, timeout)
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
