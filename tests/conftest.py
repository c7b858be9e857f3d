"""For all tests. `--hypothesis-profile quick` draws few examples, for `make quick`."""

import gc
from collections.abc import Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("quick", max_examples=10)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """No garbage is collected: what a test lets go of is freed by its reference count, or stays."""
    # Without a collection first: it would take half a second, and the tests look at their own objects only.
    gc.disable()
    yield
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that start servers first: `make test` hands out whole files, and these take longest."""
    long = {item.path for item in items if item.get_closest_marker("server") or item.get_closest_marker("embedded")}
    items.sort(key=lambda item: item.path not in long)
