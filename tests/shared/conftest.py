"""One real server for all tests here, flushed between them; a link to it as a worker has one."""

import pytest
from redis_links import link, links, patched_client, redis_server, valkey

from parley.shared import link as link_module

__all__ = ["link", "links", "patched_client", "redis_server", "valkey"]


@pytest.fixture(autouse=True)
def _patched(patched_client: None) -> None:
    """Give gevent's sockets to links that a test makes by itself, too."""


@pytest.fixture(autouse=True)
def _no_turn() -> None:
    """Leave no test the budget of another one's turn."""
    link_module._turn.set(None)
