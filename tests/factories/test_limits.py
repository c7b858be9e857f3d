"""Which limits of a key the settings name."""

from parley.factories.limits import limits_of
from parley.settings import Settings
from parley.shared.local import LocalPlaces, LocalRate, NoRate


def limits(**environ: str) -> tuple[object, object, object]:
    return limits_of(Settings.from_environ(environ), lambda holder: holder)


def test_without_redis_each_worker_counts() -> None:
    link, places, rate = limits(RATE_LIMIT="5/minute", MAX_STREAMS_PER_KEY="2")

    assert link is None and isinstance(places, LocalPlaces) and isinstance(rate, LocalRate)


def test_without_a_limit_nothing_is_counted() -> None:
    assert isinstance(limits()[2], NoRate)


def test_with_redis_all_workers_count_together() -> None:
    link, places, rate = limits(REDIS_URL="redis://127.0.0.1:1", RATE_LIMIT="5/minute", MAX_STREAMS_PER_KEY="2")

    assert link and [type(one).__name__ for one in (places, rate)] == ["SharedPlaces", "SharedRate"]
