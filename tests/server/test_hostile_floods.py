"""Large bodies, odd connections and all kinds of strangers at once: no other call is held up."""

from collections.abc import Iterator, Mapping

import pytest
from attacks import LOCKED, Attacks, check_unhurt, shared_attacks
from hostile import LARGE, OTHERS, SHAPES

pytestmark = pytest.mark.server


MOST_MIB = 400


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacks]:
    with shared_attacks() as attacks:
        yield attacks


@pytest.mark.row("HC-07")
@pytest.mark.parametrize("settings", [{}, LOCKED], ids=["accepted", "refused"])
@pytest.mark.parametrize("kind", LARGE)
def test_large_bodies_cost_little_memory_and_time(attacked: Attacks, kind: str, settings: Mapping[str, str]) -> None:
    found = attacked([kind], 12, settings, seconds=4.0)

    check_unhurt(found)
    assert found.rss_mib <= MOST_MIB


@pytest.mark.row("HC-08")
@pytest.mark.parametrize("kind", OTHERS)
def test_odd_connections_hold_up_no_call(attacked: Attacks, kind: str) -> None:
    check_unhurt(attacked([kind], 20))


@pytest.mark.row("HC-08")
def test_strangers_of_all_kinds_at_once_hold_up_no_call(attacked: Attacks) -> None:
    check_unhurt(attacked(sorted(SHAPES), 3 * len(SHAPES), seconds=4.0))
