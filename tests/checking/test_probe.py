"""The limits of an examination."""

from pathlib import Path

from parley.checking.probe import MAX_CALLS, Probe
from parley.settings import Settings


def test_few_answers_are_asked_for() -> None:
    probe = Probe(Settings(), Path())
    assert [probe.takes_call() for _ in range(MAX_CALLS + 2)] == [True] * MAX_CALLS + [False] * 2


def test_the_key_is_in_no_repr() -> None:
    assert "canary" not in repr(Probe(Settings(), Path(), key="canary-key"))
