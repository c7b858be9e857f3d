"""Which limits of a key the settings name."""

from parley.factories.limits import limits_of
from parley.settings import Settings
from parley.shared.local import LocalPlaces, LocalRate, NoRate, Places


def limits(**environ: str) -> tuple[object, Places]:
    return limits_of(Settings.from_environ(environ), lambda holder: holder)


def test_without_redis_each_worker_counts() -> None:
    link, places = limits(RATE_LIMIT="5/minute", MAX_STREAMS_PER_KEY="2")

    assert link is None and isinstance(places, LocalPlaces) and isinstance(places.rate, LocalRate)


def test_without_a_limit_nothing_is_counted() -> None:
    assert isinstance(limits()[1].rate, NoRate)


def test_with_redis_all_workers_count_together() -> None:
    both = {"RATE_LIMIT": "5/minute", "MAX_STREAMS_PER_KEY": "2"}
    kinds = []
    for names in (both, ["RATE_LIMIT"], ["MAX_STREAMS_PER_KEY"], []):
        link, places = limits(REDIS_URL="redis://127.0.0.1:1", **{name: both[name] for name in names})
        assert link
        kinds.append((type(places).__name__, type(places.rate).__name__))

    assert kinds == [
        ("SharedPlaces", "SharedRate"),
        ("LocalPlaces", "SharedRate"),
        ("SharedPlaces", "NoRate"),
        ("LocalPlaces", "NoRate"),
    ]
