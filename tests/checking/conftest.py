"""Fake upstreams, and examinations of settings that name them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_upstream import FakeUpstream, answer, models

from parley.checking import examination
from parley.checking.probe import Probe
from parley.checking.report import Finding
from parley.settings import Settings

KEY = "sk-canary-of-an-upstream-0123"
Examine = Callable[..., dict[str, Finding]]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(fake: FakeUpstream) -> FakeUpstream:
    """Return the upstream with its first scripts."""
    fake.script, fake.models_script = answer("one two three four five"), models(["fake-model"])
    fake.calls.clear()
    return fake


@pytest.fixture
def ask(upstream: FakeUpstream, tmp_path: Path) -> Examine:
    """Return a function that examines the upstream; settings may be added to those that name it.

    It returns the last finding of each check, and checks that no key is told.
    """

    def examine(groups: tuple[str, ...] = ("UP",), **settings: Any) -> dict[str, Finding]:
        usual = {"llm_base_url": upstream.base_url, "llm_api_key": KEY, "llm_model": "fake-model"}
        probe = Probe(Settings(**{**usual, **settings}), tmp_path)
        found = list(examination.examine(probe, groups))
        assert KEY not in repr(found)
        return {finding.id: finding for finding in found}

    return examine
