"""For the tests of the upstream: a fake upstream, and requests to it."""

from collections.abc import Iterator

import pytest
from fake_upstream import FakeUpstream


@pytest.fixture
def fake() -> Iterator[FakeUpstream]:
    """Yield an upstream that answers with a good stream."""
    with FakeUpstream() as upstream:
        yield upstream
