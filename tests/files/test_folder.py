"""Names and fingerprints of a folder's files."""

import os
from pathlib import Path

import pytest

from parley.files.folder import contents_of, fingerprint_of, json_files, shown_names, tool_files
from parley.files.json_file import MAX_FILE_BYTES


def test_hidden_files_and_leftovers_of_editors_are_not_shown(tmp_path: Path) -> None:
    for name in ("b.json", "a.py", ".hidden.json", "._a.json", "~$b.json", "#c.json#"):
        (tmp_path / name).touch()

    assert shown_names(tmp_path) == ["a.py", "b.json"]


def test_a_fingerprint_changes_with_contents_and_stays_without(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    before = fingerprint_of(tmp_path, ["a.json"])

    assert fingerprint_of(tmp_path, ["a.json"]) == before
    file.write_text("{ }")
    os.utime(file, ns=(0, before[0][3]))
    assert fingerprint_of(tmp_path, ["a.json"]) != before


def test_pipes_and_huge_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert contents_of(tmp_path, ["a.json"]) == {"a.json": b"{}"}
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    for name in ("pipe.json", "huge.json", "gone.json"):
        with pytest.raises(OSError):
            contents_of(tmp_path, ["a.json", name])


def test_only_json_files_are_json_files(tmp_path: Path) -> None:
    for name in ("b.JSON", "a.json", ".c.json", "d.json.bak", "e.txt"):
        (tmp_path / name).touch()
    assert json_files(tmp_path) == ["a.json", "b.JSON"]


def test_a_file_that_is_missing_has_a_fingerprint(tmp_path: Path) -> None:
    assert fingerprint_of(tmp_path, ["gone.json"]) == (("gone.json", 0, 0, 0),)


def test_tool_files_are_json_and_python_with_their_contents(tmp_path: Path) -> None:
    for name in ("b.json", "A.JSON", "a.py", "_help.py", ".b.json", "notes.md"):
        (tmp_path / name).write_text(name)

    assert contents_of(tmp_path, tool_files(tmp_path)) == {"A.JSON": b"A.JSON", "a.py": b"a.py", "b.json": b"b.json"}
