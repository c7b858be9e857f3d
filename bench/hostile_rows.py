"""The rows of `make promises` on hostile clients: calls, health checks, barge-ins and large bodies.

How callers are measured beside strangers, and what the figures mean: strangers.py.
"""

import asyncio
import dataclasses
import random
import time

import planned_upstream  # noqa: F401 - it says where the tests' modules are
from hostile import PIPELINING
from planned_upstream import House, Plan
from running_server import RunningServer, post
from strangers import WORD_SECONDS, Beside, beside
from table import Part, Table, ms
from talkers import AUDIO, CHAT, KEY, QUESTION, RAG, quantile, serving

LOCKED = {"API_KEYS": KEY}


@dataclasses.dataclass
class Sizes:
    """How much is measured."""

    stranger_seconds: int = 80
    strangers: int = 100
    strangers_seconds: int = 20
    silent: int = 5000
    silent_seconds: int = 20
    chunk_senders: int = 60
    barge_ins: int = 150
    large_callers: int = 12
    large_seconds: int = 30


QUICK = Sizes(stranger_seconds=8, strangers_seconds=8, silent_seconds=8, barge_ins=50, large_seconds=8)


def tell(table: Table, found: Beside) -> None:
    """Add the rows that explain the others: what else was seen, and how noisy the machine was."""
    tally = found.tally
    measured = f"first word {ms(found.firsts)}; on new connections {ms(found.new_calls)}"
    table.row("... first words of those calls", "(told)", measured, True)
    measured = (
        f"{tally.connections} connections, {tally.closed} closed by the server, {tally.standing} stood at the end, "
        f"{tally.unreachable} unreachable, {tally.answers} answers"
    )
    table.row("... the strangers", "(told)", measured, True)
    late = f"this process was late by {1000 * found.own_lag:.0f} ms at most"
    measured = f"the worker waited {found.waited:.2f} s for a core; {late}"
    table.row("... the machine", "(told)", measured, True)


async def one_stranger(table: Table, sizes: Sizes) -> None:
    """One stranger who sends health checks ahead, for longer than gunicorn's watchdog waits."""
    async with serving(LOCKED) as (server, house):
        found = await beside(server, house, ["pipelined_health"], 1, sizes.stranger_seconds)
    promise = f"1 stranger pipelines GET /health for {sizes.stranger_seconds} s"
    kept = found.whole and max(found.gaps) <= 0.05
    table.row(promise, "longest silence <= 50 ms", f"{ms(found.gaps)}; {found.told()}", kept)
    tell(table, found)


async def pipelining(table: Table, sizes: Sizes) -> None:
    """A hundred strangers who send requests ahead, of every kind."""
    async with serving(LOCKED) as (server, house):
        found = await beside(server, house, sorted(PIPELINING), sizes.strangers, sizes.strangers_seconds)
    promise = f"{sizes.strangers} strangers pipeline for {sizes.strangers_seconds} s: silences"
    table.row(promise, "max <= 50 ms", f"{ms(found.gaps)}; {found.told()}", found.whole and max(found.gaps) <= 0.05)
    table.row("... health", "max <= 100 ms", ms(found.health), max(found.health) <= 0.1)
    tell(table, found)


async def silent(table: Table, sizes: Sizes) -> None:
    """Thousands of connections on which nothing or half a head comes."""
    async with serving(LOCKED) as (server, house):
        found = await beside(server, house, ["half_head", "nothing"], sizes.silent, sizes.silent_seconds)
    table.row(f"{sizes.silent} silent connections: health", "max <= 1 s", ms(found.health), max(found.health) <= 1)
    kept = found.whole and max(found.new_calls) <= 1
    table.row("... a new call's first word", "max <= 1 s", f"{ms(found.new_calls)}; {found.told()}", kept)
    table.row("... silences of calls", "(told)", ms(found.gaps), True)
    tell(table, found)


async def behind_refusals(table: Table, sizes: Sizes) -> None:
    """Strangers who go on sending chunks of one byte behind their 401."""
    async with serving(LOCKED) as (server, house):
        found = await beside(server, house, ["one_byte_chunks"], sizes.chunk_senders, sizes.strangers_seconds)
    kept = found.whole and quantile(found.gaps, 0.99) <= 0.05
    promise = f"{sizes.chunk_senders} strangers send 1-byte chunks behind a 401: silences"
    table.row(promise, "p99 <= 50 ms", f"{ms(found.gaps)}; {found.told()}", kept)
    tell(table, found)


async def barge_ins(table: Table, sizes: Sizes) -> None:
    """Callers who cut their call and ask again at once on a new connection, where one place is all there is."""
    for settings in ({**LOCKED, "MAX_STREAMS_PER_KEY": "1"}, {**LOCKED, "MAX_STREAMS": "1"}):
        async with serving(settings) as (server, house):
            statuses, times = await interrupt(server, house, sizes.barge_ins)
        refused = len(statuses) - statuses.count(200)
        name = "=".join(list(settings.items())[-1])
        measured = f"{refused} of {len(statuses)} refused; first word {ms(times)}"
        table.row(f"{name}: {sizes.barge_ins} barge-ins", "0 refused", measured, not refused)


async def interrupt(server: RunningServer, house: House, count: int) -> tuple[list[int], list[float]]:
    """Interrupt so many calls, each by the next; return their statuses, and the seconds to the answers' heads."""
    chance, statuses, times = random.Random(1), [], []
    writer = None
    for number in range(count + 1):
        plan = house.expect(Plan(f"barge-{number}", count=10_000, interval=WORD_SECONDS, think=0.0))
        request = post((CHAT, RAG, AUDIO)[number % 3], QUESTION, x_request_id=plan.name, x_api_key=KEY)
        if writer:
            writer.transport.abort() if number % 2 else writer.close()
        at = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        statuses.append(int((await reader.readuntil(b"\r\n\r\n")).split()[1]))
        times.append(time.monotonic() - at)
        await asyncio.sleep(chance.uniform(0, 0.1))
    writer.close()
    return statuses[1:], times[1:]


async def large_bodies(table: Table, sizes: Sizes) -> None:
    """Callers with bodies of 1.8 MB on /rag: those who listen, and those who leave."""
    for kind, who in (("large_bodies", "who listen"), ("large_bodies_left", "who leave")):
        async with serving({}) as (server, house):
            found = await beside(server, house, [kind], sizes.large_callers, sizes.large_seconds)
        promise = f"{sizes.large_callers} callers with 1.8 MB on /rag {who}: memory"
        answered = f"peak {found.rss_mib:.0f} MB, {found.tally.connections} large bodies"
        table.row(promise, "<= 400 MB", answered, found.rss_mib <= 400)
        kept = found.whole and max(found.gaps) <= 0.06
        table.row("... silences of calls", "max <= 60 ms", f"{ms(found.gaps)}; {found.told()}", kept)
        tell(table, found)


PARTS: dict[str, Part] = {
    "one-stranger": one_stranger,
    "pipelining": pipelining,
    "silent": silent,
    "behind-refusals": behind_refusals,
    "barge-ins": barge_ins,
    "large-bodies": large_bodies,
}
