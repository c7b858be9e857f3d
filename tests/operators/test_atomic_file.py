"""A file is replaced in one step, or not at all."""

import os
from pathlib import Path

import pytest

from parley.operators import atomic_file


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "a.json", b"old")
    atomic_file.write(tmp_path / "a.json", b"new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", b"new")]


def test_until_the_last_step_readers_see_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.json"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="power cut"):
        atomic_file.write(target, b"new")

    assert target.read_bytes() == b"old" and list(tmp_path.glob("*.json")) == [target]
