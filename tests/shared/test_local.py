"""The limits of a server without Redis. The rate itself: tests/test_admission.py."""

import subprocess
import sys

import pytest

from parley.errors import RateLimited
from parley.shared.local import LocalPlaces, LocalRate, NoRate, no_more_places


def test_without_limits_nobody_is_asked_and_nothing_counted() -> None:
    places, rate = LocalPlaces(), NoRate()

    assert places.most is None
    assert [places.take("key-1", running) for running in (1, 1000)] == [None, None]  # type: ignore[func-returns-value]
    rate.take("key-1")


def test_the_limit_of_places_is_told_with_its_number() -> None:
    assert LocalPlaces(3).most == 3
    assert no_more_places(3).message == "this key may hold 3 conversations at a time"


def test_turns_that_were_noted_count() -> None:
    rate = LocalRate("3/hour")
    rate.note("key-1")
    rate.note("key-1")
    rate.take("key-1")

    with pytest.raises(RateLimited):
        rate.take("key-1")
    rate.take("key-2")


def test_a_share_is_less_than_the_limit() -> None:
    rate = LocalRate("10/hour")
    for _ in range(3):
        rate.take_share("key-1", 3)

    with pytest.raises(RateLimited) as refused:
        rate.take_share("key-1", 3)
    assert refused.value.headers["x-ratelimit-limit"] == "10"
    rate.take("key-1")


def test_a_server_without_redis_imports_nothing_of_it() -> None:
    code = (
        "import app, sys\n"
        "ours = {'parley.shared.link', 'parley.shared.hints'}\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'redis' or name in ours])"
    )
    done = subprocess.run([sys.executable, "-c", code], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
