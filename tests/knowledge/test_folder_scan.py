"""A look at the knowledge folder: its bases, their files, and what is passed over."""

import os
from pathlib import Path

import pytest

from parley.knowledge.folder_scan import is_base_name, scan_folder, scan_home


def test_files_are_told_apart_by_whether_they_are_read(tmp_path: Path) -> None:
    for name in ("b.json", "a.JSON", "c.jsonl", "d.ndjson", "e.csv", "f.XLSX", "README.md", ".g.json", "~$h.json"):
        (tmp_path / name).touch()

    scan = scan_folder(tmp_path)

    assert (scan.files, scan.not_read) == (("a.JSON", "b.json", "c.jsonl", "d.ndjson"), ("e.csv", "f.XLSX"))


def test_each_subfolder_with_files_is_a_base(tmp_path: Path) -> None:
    for name in ("shop/a.json", "lines/a.jsonl", "tables/a.csv", "empty/x.txt", ".hidden/a.json", "x.jsonl/a.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()

    assert list(scan_home(tmp_path)) == ["", "lines", "shop"]


def test_a_folder_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    scan = scan_folder(tmp_path / "none")

    assert (scan.files, scan.fault) == ((), "No such file or directory")
    with pytest.raises(FileNotFoundError):
        scan_home(tmp_path / "none")


def test_each_change_changes_the_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    seen = [scan_folder(tmp_path).fingerprint]
    file.write_text("1")
    seen.append(scan_folder(tmp_path).fingerprint)
    file.write_text("22")
    seen.append(scan_folder(tmp_path).fingerprint)
    os.utime(file, ns=(1, 1))
    seen.append(scan_folder(tmp_path).fingerprint)
    file.unlink()
    file.symlink_to("nowhere")
    seen.append(scan_folder(tmp_path).fingerprint)

    assert len(set(seen)) == 5 and scan_folder(tmp_path).fingerprint == seen[-1]


@pytest.mark.parametrize(("name", "is_name"), [("north-2", True), ("a.json", False), ("a.JSONL", False), (".a", False)])
def test_a_base_is_named_like_no_file(name: str, is_name: bool) -> None:
    assert is_base_name(name) is is_name
