"""Conversations that would be remembered by some workers and not by others."""

from pathlib import Path

import pytest

from parley.server.memory_check import memory_fault
from parley.setting_types import StoreSetting
from parley.settings import Settings


@pytest.mark.parametrize(
    ("memory", "kind", "workers", "works"),
    [
        ("full", "memory", 2, False),
        ("tools", "memory", 3, False),
        ("full", "memory", 1, True),
        ("full", "sqlite", 4, True),
        ("full", "redis", 4, True),
        ("off", "memory", 4, True),
    ],
)
def test_several_workers_do_not_remember_each_for_itself(memory: str, kind: str, workers: int, works: bool) -> None:
    fault = memory_fault(Settings(memory=memory, memory_store=StoreSetting(kind)), workers)

    assert (fault is None) == works


@pytest.mark.parametrize(("mode", "works"), [("full", False), ("off", True)])
def test_an_agent_that_remembers_needs_a_shared_store(tmp_path: Path, mode: str, works: bool) -> None:
    (tmp_path / "mia.json").write_text(f'{{"memory": "{mode}"}}')

    assert (memory_fault(Settings(agents_dir=tmp_path), 2) is None) == works
