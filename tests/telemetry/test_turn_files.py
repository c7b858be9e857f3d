"""Files of turns: a fixed size, slots written in place, and those of workers that have ended."""

import os
import threading
from pathlib import Path

import pytest

from parley.telemetry import turn_files
from parley.telemetry.turn_files import ENDED, ROOM, SLOT_BYTES, SLOTS, Slot, TurnFile, files_in, path_of, read_slots


def orders(folder: Path, owner: int | str, after: int = 0) -> list[int]:
    return sorted(slot.order for slot in read_slots(path_of(str(folder), owner), after))


def test_a_file_holds_the_last_slots_in_a_fixed_size(tmp_path: Path) -> None:
    file = TurnFile(str(tmp_path), 7)
    for order in range(1, SLOTS + 51):
        file.write(Slot(order, b"x" * (order % (ROOM + 1))))

    assert orders(tmp_path, 7) == list(range(51, SLOTS + 51))
    assert orders(tmp_path, 7, after=SLOTS + 48) == [SLOTS + 49, SLOTS + 50]
    assert path_of(str(tmp_path), 7).stat().st_size == SLOTS * SLOT_BYTES
    assert path_of(str(tmp_path), 7).stat().st_mode & 0o077 == 0


def test_a_slot_that_is_half_written_is_passed_by(tmp_path: Path) -> None:
    file = TurnFile(str(tmp_path), 7)
    file.write(Slot(1, b"one"))
    file.write(Slot(2, b"two"))
    path = path_of(str(tmp_path), 7)
    with path.open("r+b") as opened:
        opened.seek(SLOT_BYTES + 17)
        opened.write(b"X")

    assert list(read_slots(path)) == [Slot(1, b"one")]


def test_reading_while_it_is_written_gives_whole_slots(tmp_path: Path) -> None:
    file, done = TurnFile(str(tmp_path), 7), threading.Event()

    def write() -> None:
        for order in range(1, 20_001):
            file.write(Slot(order, bytes([order % 251]) * ROOM))
        done.set()

    threading.Thread(target=write).start()
    read = 0
    while not done.is_set() or not read:
        for slot in read_slots(path_of(str(tmp_path), 7)):
            read += 1
            assert slot.content == bytes([slot.order % 251]) * ROOM


def test_a_file_that_is_gone_or_strange_holds_nothing(tmp_path: Path) -> None:
    assert orders(tmp_path, 1) == []
    for content in (b"", b"x", os.urandom(5000), b"\xff" * 3000):
        path_of(str(tmp_path), 1).write_bytes(content)
        assert orders(tmp_path, 1) == []


def test_the_turns_of_workers_that_ended_are_kept_in_one_file(tmp_path: Path) -> None:
    for pid, numbers in ((1, range(1, 300, 2)), (2, range(2, 300, 2)), (3, range(300, 310))):
        file = TurnFile(str(tmp_path), pid)
        for order in numbers:
            file.write(Slot(order, str(order).encode()))

    for pid in (1, 2, 1, 9):
        turn_files.merge(str(tmp_path), pid)

    assert files_in(str(tmp_path)) == [path_of(str(tmp_path), 3), path_of(str(tmp_path), ENDED)]
    assert orders(tmp_path, ENDED) == list(range(100, 300))
    assert path_of(str(tmp_path), ENDED).stat().st_size == SLOTS * SLOT_BYTES


def test_without_space_the_turns_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TurnFile(str(tmp_path), 1).write(Slot(1, b"one"))

    def full(*_: object) -> int:
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    turn_files.merge(str(tmp_path), 1)

    assert files_in(str(tmp_path)) == [path_of(str(tmp_path), 1)] and orders(tmp_path, 1) == [1]
