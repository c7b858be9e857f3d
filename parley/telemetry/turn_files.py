"""Files in which workers share their last turns: of fixed size, written in place, read while they are written.

A file has SLOTS slots, which are written in turn, each with one system call:

    order (8 bytes)   microseconds of the system's monotonic clock; 0 in a slot that was never written
    length (4), checksum (4)
    content           what the slot holds, as bytes

The checksum tells a slot that was read while it was written. Nothing heavy may be imported here: the master, too, needs
it, for the files of workers that have ended.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from parley.telemetry.shared_folder import CHANGING, locked

SLOTS = 200
"""Turns that a worker keeps."""
SLOT_BYTES = 1024
"""Bytes of a slot, its head included."""
_HEAD = struct.Struct("<QII")
ROOM = SLOT_BYTES - _HEAD.size
"""Bytes of a slot's content."""
ENDED = "ended"
"""In a file's name the place of the process id, for all workers that have ended."""
_FILES = "turns_*.ring"


class Slot(NamedTuple):
    """A slot: the order of its turn among those of all workers, and its content."""

    order: int
    content: bytes


def path_of(folder: str, owner: int | str) -> Path:
    """Return the path of the file of a worker, by its process id, or of all that have ended."""
    return Path(folder, f"turns_{owner}.ring")


class TurnFile:
    """A worker's own file. Raises OSError where there is no space for it."""

    def __init__(self, folder: str, pid: int) -> None:
        self._file = os.open(path_of(folder, pid), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        # All of it beforehand: a disk that is full later must not matter.
        os.posix_fallocate(self._file, 0, SLOTS * SLOT_BYTES)
        self._next = 0

    def write(self, slot: Slot) -> None:
        """Write a slot, in the place of the oldest one. A failure costs a row of a page, and nothing else."""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, packed(slot), self._next * SLOT_BYTES)
        self._next = (self._next + 1) % SLOTS


def packed(slot: Slot) -> bytes:
    """Return the bytes of a slot, whose content must fit."""
    return _HEAD.pack(slot.order, len(slot.content), zlib.crc32(slot.content)) + slot.content


def read_slots(file: Path, after: int = 0) -> Iterator[Slot]:
    """Yield the slots of a file that were written whole, behind this order; none of a file that is gone."""
    try:
        content = file.read_bytes()
    except OSError:
        return
    for start in range(0, len(content) - _HEAD.size, SLOT_BYTES):
        order, length, checksum = _HEAD.unpack_from(content, start)
        if order > after and length <= ROOM:
            begin = start + _HEAD.size
            held = content[begin : begin + length]
            if zlib.crc32(held) == checksum:
                yield Slot(order, held)


def files_in(folder: str) -> list[Path]:
    """Return the files of a folder: of each worker that lives, and of all that have ended."""
    return sorted(Path(folder).glob(_FILES))


def merge(folder: str, pid: int) -> None:
    """Put the turns of a worker that has ended into the file of all that have, and remove its own."""
    source, target = path_of(folder, pid), path_of(folder, ENDED)
    if not source.exists():
        return
    # A turn has one order: of those that are in both, because a merge was cut short, one is kept.
    slots = {slot.order: slot for file in (target, source) for slot in read_slots(file)}
    newest = [slots[order] for order in sorted(slots)[-SLOTS:]]
    new = target.with_suffix(".new")
    try:
        new.write_bytes(b"".join(packed(slot).ljust(SLOT_BYTES, b"\0") for slot in newest))
        with locked(folder, CHANGING):
            new.replace(target)
            source.unlink()
    except OSError:
        # Without space the turns of the dead worker stay where they are.
        new.unlink(missing_ok=True)
