"""Work of one process for all: begun once, taken over where that process ends, done once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from parley.server.once import OncePerServer


def in_child(work: Callable[[], bool]) -> bool:
    """Return the result of work that is done in a process of its own, which has ended."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.fixture
def once(tmp_path: Path) -> OncePerServer:
    return OncePerServer(str(tmp_path))


def test_only_one_process_begins(once: OncePerServer) -> None:
    assert once.begin() and once.begin()
    assert not in_child(once.begin) and not once.is_done


def test_work_of_a_process_that_ended_is_taken_over(once: OncePerServer) -> None:
    assert in_child(once.begin) and once.begin()


def test_work_that_is_done_is_known_to_all(once: OncePerServer) -> None:
    assert not in_child(lambda: bool(once.done())) and once.is_done
    assert in_child(lambda: once.is_done)


def test_without_a_file_each_process_works_for_itself() -> None:
    once = OncePerServer("/nowhere")
    assert once.begin() and in_child(once.begin) and not once.is_done
    once.done()
    assert once.is_done
