"""Peers that flood, stall or trickle, and callers who ask for too much at once: nobody else's call is hurt.

Each attack runs beside callers who talk on, against the real server: every word of theirs must come, none after a
silence, and the worker must live. The bounds here are generous, for busy machines; `make promises` has sharp ones.
"""

import asyncio
from collections.abc import Iterator

import pytest
from attacks import LOCKED, Attacks, check_unhurt, shared_attacks
from hostile import BEHIND_REFUSALS, PIPELINING, SILENT
from hostile_rows import interrupt
from talkers import serving

pytestmark = pytest.mark.server

FEW_PLACES = 20
"""MAX_STREAMS of a server that takes 2 * FEW_PLACES + 500 connections."""
MANY = 700
"""Connections: more than that."""


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacks]:
    with shared_attacks() as attacks:
        yield attacks


# --- requests sent ahead ---


@pytest.mark.row("HC-01")
@pytest.mark.parametrize("kind", PIPELINING)
def test_requests_sent_ahead_hold_up_no_other_call(attacked: Attacks, kind: str) -> None:
    found = attacked([kind], 20)

    check_unhurt(found)
    assert found.tally.answers > 100


@pytest.mark.row("HC-01")
def test_one_connection_that_sends_ahead_holds_up_nobody(attacked: Attacks) -> None:
    check_unhurt(attacked(["pipelined_health"], 1, seconds=3.0))


# --- silent connections ---


@pytest.mark.row("HC-03")
@pytest.mark.parametrize("kind", SILENT)
def test_silent_connections_keep_nobody_out(attacked: Attacks, kind: str) -> None:
    found = attacked([kind], MANY, {**LOCKED, "MAX_STREAMS": str(FEW_PLACES)}, seconds=3.0)

    check_unhurt(found)
    assert found.tally.connections >= MANY


# --- work behind refusals ---


@pytest.mark.row("HC-05")
@pytest.mark.parametrize("kind", BEHIND_REFUSALS)
def test_bytes_behind_a_refusal_hold_up_no_call(attacked: Attacks, kind: str) -> None:
    check_unhurt(attacked([kind], 20))


# --- barge-in where a single place is all there is ---


@pytest.mark.row("HC-06")
@pytest.mark.parametrize("cap", ["MAX_STREAMS", "MAX_STREAMS_PER_KEY"])
def test_who_barges_in_and_asks_again_finds_a_slot(cap: str) -> None:
    async def run() -> list[int]:
        async with serving({**LOCKED, cap: "1"}) as (server, house):
            return (await interrupt(server, house, 40))[0]

    assert asyncio.run(run()) == [200] * 40
