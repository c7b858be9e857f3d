"""A folder that is loaded as a whole, and again when a file of it has changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import gevent
import pytest
from waiting import wait_until

from parley.files.folder import json_files
from parley.files.live_folder import FaultyFiles, LiveFolder


class Texts(LiveFolder):
    """Texts of files; one that says "bad" is a fault."""

    def __init__(self, folder: Path, poll: float = 0.0) -> None:
        super().__init__(folder, poll=poll)
        self.texts: dict[str, bytes] = {}
        self.told: list[str] = []
        self.is_broken = False
        self.looks = 0

    def names(self) -> list[str]:
        self.looks += 1
        if self.is_broken:
            raise ValueError
        return json_files(self._folder)

    def take(self, contents: Mapping[str, bytes | None]) -> list[str]:
        texts = {name: (self._folder / name).read_bytes() if text is None else text for name, text in contents.items()}
        faults = [name for name, text in texts.items() if text == b"bad"]
        if not faults:
            self.texts = texts
        return faults

    def tell_faults(self, faults: Sequence[str]) -> None:
        self.told += [f"faults {fault}" for fault in faults]

    def tell_kept(self, faults: Sequence[str]) -> None:
        self.told += [f"kept {fault}" for fault in faults]

    def tell_failed(self) -> None:
        self.told.append("failed")


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("bad")
    folder = Texts(tmp_path)
    assert folder.told == []
    folder.load_once()
    folder.load_once()
    assert folder.told == ["faults a.json"]


def test_without_the_folder_nothing_looks_for_it(tmp_path: Path) -> None:
    folder = Texts(tmp_path / "none", poll=0.01)
    folder.warm()
    assert folder.texts == {} and folder._keeper is None


def test_faults_refuse_a_start_unless_the_checked_files_are_good(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("bad")
    folder = Texts(tmp_path)
    with pytest.raises(FaultyFiles, match=r"a.json\nb.json"):
        folder.warm()
    folder.checked = {"a.json": b"good"}
    folder.warm()
    assert folder.texts == {"a.json": b"good"} and folder.told == ["kept a.json", "kept b.json"]


def test_a_change_counts_and_a_fault_keeps_what_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("one")
    folder = Texts(tmp_path, poll=0.01)
    folder.warm()
    file.write_text("bad")
    wait_until(lambda: gevent.sleep(0.01) or folder.told == ["kept a.json"])
    assert folder.texts == {"a.json": b"one"}
    file.write_text("two")
    wait_until(lambda: gevent.sleep(0.01) or folder.texts == {"a.json": b"two"})
    folder.is_broken = True
    wait_until(lambda: gevent.sleep(0.01) or "failed" in folder.told)
    folder.is_broken = False
    file.write_text("three")
    wait_until(lambda: gevent.sleep(0.01) or folder.texts == {"a.json": b"three"})
    folder.close()


def test_a_folder_that_is_gone_keeps_what_is_loaded(tmp_path: Path) -> None:
    there, away = tmp_path / "there", tmp_path / "away"
    there.mkdir()
    (there / "a.json").write_text("one")
    folder = Texts(there, poll=0.01)
    folder.warm()
    there.rename(away)
    wait_until(lambda: gevent.sleep(0.01) or folder.told != [])
    looks = folder.looks
    wait_until(lambda: gevent.sleep(0.01) or folder.looks > looks + 3)
    assert folder.texts == {"a.json": b"one"}
    # Once, not at each look.
    assert folder.told == [f"kept {there}: can't be read: No such file or directory"]
    (away / "a.json").write_text("two")
    away.rename(there)
    wait_until(lambda: gevent.sleep(0.01) or folder.texts == {"a.json": b"two"})
    folder.close()
