"""Which limits of a key the settings name."""

import pytest

from parley.factories.limits import hints_of, limits_of
from parley.factories.model import upstream_of
from parley.settings import Settings
from parley.shared.link import Link
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


@pytest.mark.parametrize(
    ("environ", "duties"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1", "LLM_API_KEY": "k" * 20}, 1),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, 0),
        ({"LLM_API_KEY": "k" * 20}, 0),
    ],
    ids=["Redis and an API", "no API", "no Redis"],
)
def test_hints_are_a_duty_of_the_beat(environ: dict[str, str], duties: int) -> None:
    settings = Settings.from_environ(environ)
    link, _, _ = limits_of(settings, lambda holder: holder)
    hints = hints_of(link, upstream_of(settings))

    assert (hints is not None) == bool(duties)
    assert len(link.duties if isinstance(link, Link) else []) == duties
