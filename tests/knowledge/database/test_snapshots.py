"""Copies of bases in files: whole ones are read, others are not; the folder may be of no use at all."""

from pathlib import Path

import pytest

from parley.knowledge.database.rows import Row
from parley.knowledge.database.snapshots import FORMAT, PORTION, Header, Snapshot, Snapshots


def snapshot(revision: int = 1, rows: int = 3, base: str = "shop", address: str = "here") -> Snapshot:
    made = [
        Row(str(at), at, revision, False, "t", "b", "f", {"k": [1, None]}, 0, None, b"k", b"v", b"w")
        for at in range(rows)
    ]
    return Snapshot(Header(FORMAT, address, "origin", base, 1, revision, 0.0, rows, "e", "en", {}), made)


@pytest.mark.parametrize("rows", [0, 1, PORTION, PORTION + 1])
@pytest.mark.parametrize("base", ["", "shop", "a-1.b_c"])
def test_a_copy_is_read_as_it_was_written(tmp_path: Path, rows: int, base: str) -> None:
    copies = Snapshots(tmp_path / "deep" / "folder", "here")
    wanted = snapshot(rows=rows, base=base)

    copies.write(wanted, lambda: None)

    assert copies.newest(base, lambda: None, "origin") == wanted and copies.bases() == {base}


def test_the_last_two_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    copies = Snapshots(tmp_path, "here")
    for revision in (1, 9, 10):
        copies.write(snapshot(revision), lambda: None)

    found = copies.newest("shop", lambda: None)

    assert found and found.header.revision == 10
    assert {path.name for path in tmp_path.iterdir()} == {"knowledge-shop-9.msgpack", "knowledge-shop-10.msgpack"}


@pytest.mark.parametrize("kept", [0, 3, 40, -1, -4])
def test_a_file_that_was_cut_is_passed_over(tmp_path: Path, kept: int) -> None:
    copies = Snapshots(tmp_path, "here")
    copies.write(snapshot(1), lambda: None)
    copies.write(snapshot(2, rows=PORTION * 2), lambda: None)
    newest = tmp_path / "knowledge-shop-2.msgpack"
    newest.write_bytes(newest.read_bytes()[:kept])

    found = copies.newest("shop", lambda: None)

    assert found == snapshot(1)


@pytest.mark.parametrize(
    "content", [b"\xff" * 99, b"\0\0\0\1\xc0", b"\xff\xff\xff\xff"], ids=["noise", "nil", "endless"]
)
def test_another_file_of_that_name_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "knowledge-shop-2.msgpack").write_bytes(content)

    assert Snapshots(tmp_path, "here").newest("shop", lambda: None) is None


def test_copies_of_another_database_are_passed_over(tmp_path: Path) -> None:
    Snapshots(tmp_path, "there").write(snapshot(address="there"), lambda: None)

    assert Snapshots(tmp_path, "here").newest("shop", lambda: None) is None
    assert Snapshots(tmp_path, "there").newest("shop", lambda: None, "another origin") is None


def test_copies_of_a_base_are_removed_for_its_own_database_alone(tmp_path: Path) -> None:
    here, there = Snapshots(tmp_path, "here"), Snapshots(tmp_path, "there")
    here.write(snapshot(1), lambda: None)
    there.write(snapshot(2, address="there"), lambda: None)
    (tmp_path / "knowledge-shop-3.msgpack").write_bytes(b"noise")

    here.remove("shop")

    assert here.newest("shop", lambda: None) is None and there.newest("shop", lambda: None)


def test_without_a_folder_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    copies = Snapshots(tmp_path / "file", "here")

    copies.write(snapshot(), lambda: None)

    assert copies.newest("shop", lambda: None) is None and copies.bases() == set()
    with copies.fetching("shop", 60):
        pass
