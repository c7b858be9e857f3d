"""The lock of the workers' shared folder: readers beside each other, nobody beside a change."""

import fcntl
import os
from pathlib import Path

import pytest

from parley.telemetry.shared_folder import CHANGING, READING, locked


def is_free(folder: Path, kind: int) -> bool:
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(opened)
    return True


def test_readers_share_a_folder_and_a_change_has_it_alone(tmp_path: Path) -> None:
    with locked(str(tmp_path), READING):
        assert is_free(tmp_path, READING) and not is_free(tmp_path, CHANGING)
    with locked(str(tmp_path), CHANGING):
        assert not is_free(tmp_path, READING)
    assert is_free(tmp_path, CHANGING)


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError), locked(str(tmp_path / "gone"), READING):
        pass
