"""Sources of knowledge bases: which bases a folder has, in which version, and what they hold."""

import json
from pathlib import Path

from parley.knowledge.sources import FolderSource


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"x": text}))


def test_a_version_changes_with_the_files_of_its_base_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "own")
    write(tmp_path / "shop" / "a.json", "shop's")
    source = FolderSource(tmp_path)
    before = source.look([])

    write(tmp_path / "shop" / "b.json", "more")
    after = source.look(before)

    assert set(after) == {"", "shop"} and after[""] == before[""] and after["shop"] != before["shop"]


def test_a_base_is_loaded_as_it_was_last_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "shop" / "a.json", "shop's")
    source = FolderSource(tmp_path)
    source.look([])
    steps: list[int] = []

    loaded = source.load("shop", lambda: steps.append(1))

    assert [passage.text for passage in loaded.passages] == ["shop's"] and steps


def test_without_the_folder_the_known_bases_have_faults(tmp_path: Path) -> None:
    source = FolderSource(tmp_path / "gone")

    assert set(source.look(["shop"])) == {"", "shop"}
    assert source.load("shop", lambda: None).broken_files
