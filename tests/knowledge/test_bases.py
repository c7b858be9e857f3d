"""Knowledge bases by folder: changed, broken and deleted files, and the bases that stay in service."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from parley.errors import NotFound
from parley.knowledge.bases import Bases
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit, Query, Ranking
from parley.knowledge.sources import FolderSource
from parley.languages import ENGLISH


class AllPassages:
    """An index that returns all its passages."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(passages)
        self.language = ENGLISH

    def search(self, query: Query, limit: int) -> list[Hit]:
        return [Hit(passage, 1.0) for passage in self.passages]

    def rank(self, query: Query, limit: int) -> Ranking:
        return Ranking(self.search(query, limit), query, "coverage", 1.0, 0.0)


def bases_of(folder: Path) -> Bases:
    return Bases(FolderSource(folder), build=lambda passages, *_: AllPassages(passages))


def write(path: Path, content: Any) -> None:
    """Write a file as an editor would: complete, then renamed."""
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(content if isinstance(content, str) else json.dumps(content))
    aside.rename(path)


def texts(bases: Bases, name: str = "") -> list[str]:
    return [hit.passage.text for hit in bases.get(name).index.search(Query(""), 99)]


def test_the_folder_and_each_subfolder_with_files_is_a_base(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"x": "own"})
    write(tmp_path / "shop" / "a.json", {"x": "shop's"})
    (tmp_path / "empty").mkdir()
    bases = bases_of(tmp_path)

    bases.refresh()

    assert (texts(bases), texts(bases, "shop"), set(bases.serving)) == (["own"], ["shop's"], {"", "shop"})


@pytest.mark.parametrize("name", ["none", "..", ".", "shop/", "../shop", "a.json", ".hidden"])
def test_only_existing_bases_can_be_had(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "kb"
    folder.mkdir()
    for inside in ("shop", ".hidden", "a.json"):
        write(folder / inside / "b.json", {"x": "y"})
    bases = bases_of(folder)
    bases.refresh()

    with pytest.raises(NotFound) as refused:
        bases.get(name)

    assert (refused.value.status, refused.value.code, refused.value.param) == (404, "unknown_knowledge_base", "kb")


def test_a_folder_behind_a_link_that_leads_out_is_no_base(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.json", {"x": "secret"})
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "shop").symlink_to(tmp_path / "elsewhere")
    bases = bases_of(tmp_path / "kb")

    bases.refresh()

    assert set(bases.serving) == {""}


def test_changed_new_and_deleted_files_are_noticed(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"x": "old"})
    bases = bases_of(tmp_path)

    assert bases.refresh() and not bases.refresh()
    write(tmp_path / "a.json", {"x": "new"})
    write(tmp_path / "b.json", {"x": "more"})
    assert bases.refresh() and texts(bases) == ["new", "more"]
    (tmp_path / "a.json").unlink()
    assert bases.refresh() and texts(bases) == ["more"]


def test_a_change_of_the_same_length_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write(file, {"x": "old"})
    bases = bases_of(tmp_path)
    bases.refresh()

    file.write_text(json.dumps({"x": "new"}))
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    bases.refresh()

    assert texts(bases) == ["new"]


def test_changed_bases_are_loaded_after_one_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[tuple[float, float]] = []
    monkeypatch.setattr("parley.knowledge.bases.random.uniform", lambda *limits: pauses.append(limits) or 0.0)
    source = FolderSource(tmp_path)
    source.spread = 1.5
    bases = Bases(source, build=lambda passages, *_: AllPassages(passages))
    for name in ("one", "two"):
        write(tmp_path / name / "f.json", [{"id": "a", "text": "first"}])
    bases.refresh()
    assert not pauses, "callers wait for the first load"

    for name in ("one", "two"):
        write(tmp_path / name / "f.json", [{"id": "a", "text": "another one"}])
    bases.refresh()
    assert texts(bases, "one") == texts(bases, "two") == ["another one"]
    assert pauses == [(0, 1.5)]


def test_new_and_vanished_bases_come_and_go(tmp_path: Path) -> None:
    bases = bases_of(tmp_path)
    bases.refresh()
    write(tmp_path / "shop" / "a.json", {"x": "y"})
    bases.refresh()
    assert texts(bases, "shop") == ["y"]

    (tmp_path / "shop" / "a.json").unlink()
    bases.refresh()

    assert set(bases.serving) == {""}


def test_a_file_that_breaks_leaves_its_base_until_it_is_mended(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"x": "old a"})
    write(tmp_path / "b.json", {"x": "old b"})
    write(tmp_path / "shop" / "a.json", {"x": "shop"})
    bases = bases_of(tmp_path)
    bases.refresh()

    write(tmp_path / "a.json", '{"x": ')
    write(tmp_path / "b.json", {"x": "new b"})
    with capture_logs() as logged:
        bases.refresh()

    assert (texts(bases), texts(bases, "shop"), bases.state) == (["old a", "old b"], ["shop"], "degraded")
    assert any(f"{tmp_path}/a.json:1:7: expected value" in str(line.get("fault")) for line in logged)
    write(tmp_path / "a.json", {"x": "new a"})
    bases.refresh()
    assert (texts(bases), bases.state) == (["new a", "new b"], "ok")


def test_a_broken_file_that_is_removed_is_no_fault_any_more(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"x": "a"})
    write(tmp_path / "b.json", {"x": "b"})
    bases = bases_of(tmp_path)
    bases.refresh()
    write(tmp_path / "a.json", "[")
    bases.refresh()

    (tmp_path / "a.json").unlink()
    bases.refresh()

    assert (texts(bases), bases.state) == (["b"], "ok")


def test_a_file_broken_from_the_beginning_holds_nothing_up(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "[")
    write(tmp_path / "b.json", {"x": "old"})
    bases = bases_of(tmp_path)
    bases.refresh()
    assert (texts(bases), bases.state) == (["old"], "degraded")

    write(tmp_path / "b.json", {"x": "new"})
    bases.refresh()

    assert (texts(bases), bases.state) == (["new"], "degraded")


def test_a_faulty_entry_costs_itself_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [{"text": "one"}])
    bases = bases_of(tmp_path)
    bases.refresh()

    write(tmp_path / "a.json", [{"text": "two"}, "not an entry"])
    bases.refresh()

    assert (texts(bases), bases.state) == (["two"], "degraded")


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_files_is_empty_and_no_error(tmp_path: Path, exists: bool) -> None:
    bases = bases_of(tmp_path if exists else tmp_path / "none")
    assert bases.state == "loading"

    bases.refresh()

    assert (bases.state, texts(bases)) == ("empty", [])


def test_a_folder_that_vanishes_leaves_what_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "kb"
    write(folder / "a.json", {"x": "y"})
    bases = bases_of(folder)
    bases.refresh()

    folder.rename(tmp_path / "moved")
    bases.refresh()

    assert (texts(bases), bases.state) == (["y"], "degraded")


def test_the_old_index_serves_while_the_new_one_is_built(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"x": "old"})
    seen: list[list[str]] = []
    bases = Bases(
        FolderSource(tmp_path), build=lambda passages, *_: seen.append(_served(bases)) or AllPassages(passages)
    )
    bases.refresh()
    write(tmp_path / "a.json", {"x": "new"})

    bases.refresh()

    assert (seen, texts(bases)) == ([[], ["old"]], ["new"])


def _served(bases: Bases) -> list[str]:
    return texts(bases) if bases.serving else []


@pytest.mark.row("RF-07")
@pytest.mark.parametrize("bases", [0, 20])
def test_all_looks_at_the_folder_are_in_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bases: int) -> None:
    for number in range(40):
        write(tmp_path / (f"b{number % bases}" if bases else "") / f"{number}.json", {"x": "y"})
    looks: list[bool] = []
    inside = False

    def in_thread(look: Any) -> Any:
        nonlocal inside
        inside = True
        try:
            return look()
        finally:
            inside = False

    def watched(real: Any) -> Any:
        return lambda *args, **kwargs: looks.append(inside) or real(*args, **kwargs)

    made = Bases(FolderSource(tmp_path, in_thread), lambda passages, *_: AllPassages(passages))
    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))

    made.refresh()
    write(tmp_path / "new.json", {"x": "z"})
    made.refresh()

    assert len(looks) == 2 * (1 + 1 + bases) and all(looks)


@pytest.mark.row("RF-07")
def test_each_file_is_a_step_of_its_own(tmp_path: Path) -> None:
    for number in range(300):
        write(tmp_path / f"{number}.json", {"x": "y"})
    steps: list[int] = []

    Bases(FolderSource(tmp_path), lambda passages, *_: AllPassages(passages), lambda: steps.append(1)).refresh()

    assert len(steps) >= 300
