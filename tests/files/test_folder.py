"""Names and fingerprints of a folder's files."""

import os
from pathlib import Path

from parley.files.folder import fingerprint_of, shown_names


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


def test_a_file_that_is_missing_has_a_fingerprint(tmp_path: Path) -> None:
    assert fingerprint_of(tmp_path, ["gone.json"]) == (("gone.json", 0, 0, 0),)
