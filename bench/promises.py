"""`make promises`: measures what is promised of streams, and prints what is required, measured, kept or broken.

The server is the real one, one worker, on this machine, as is the upstream. Ends with 1 where a promise is broken.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import time
from dataclasses import dataclass, field

import hostile_rows
import tool_rows
from bad_input import sent
from planned_upstream import House, Plan
from running_server import Held, RunningServer, held_by, post
from table import Part, Table, measure, ms
from talkers import (
    CHAT,
    HEALTH,
    PATIENT,
    QUESTION,
    RAG,
    START_SECONDS,
    Heard,
    Log,
    Talker,
    begin,
    broken_promise,
    exchange,
    open_streams,
    quantile,
    serving,
)

MIB = 1 << 20


@dataclass
class Sizes:
    """How much is measured; `quick` is for a first look."""

    held: int = 1000
    held_seconds: int = 20
    leavers: int = 500
    flowing: int = 200
    refusals: int = 300
    stopping: int = 200
    disconnects: int = 1000
    bodies: int = 100_000
    heads: int = 5000
    strangers: hostile_rows.Sizes = field(default_factory=hostile_rows.Sizes)
    tools: tool_rows.Sizes = field(default_factory=tool_rows.Sizes)


QUICK = Sizes(
    held=300,
    held_seconds=5,
    leavers=60,
    flowing=50,
    refusals=200,
    stopping=50,
    disconnects=300,
    bodies=2000,
    heads=200,
    strangers=hostile_rows.QUICK,
    tools=tool_rows.QUICK,
)


def wrong(answers: list[tuple[Plan, Heard]]) -> list[str]:
    """What is wrong with these answers."""
    return [found for plan, heard in answers if (found := broken_promise(plan, CHAT, heard))]


async def held_streams(table: Table, sizes: Sizes) -> None:
    """A full server: what it holds is whole, whoever comes too much is refused at once, and health answers."""
    async with serving({"MAX_STREAMS": str(sizes.held)}) as (server, house):
        seconds = sizes.held_seconds
        plans = [Plan(f"held-{number}", count=seconds, interval=1.0, think=0.0) for number in range(sizes.held)]
        tasks = await begin(server, house, plans)
        await asyncio.sleep(1)  # after the rush
        refused, healthy = await refusals(server, sizes.refusals)
        answers = list(await asyncio.gather(*tasks))
        rss_kib = held_by(*server.worker_pids()).rss_bytes / 1024
    faults = wrong(answers)
    late = [b - a - 1 for _, heard in answers for a, b in zip(heard.times, heard.times[1:], strict=False)]
    whole = len(answers) - len(faults)
    table.row(
        f"{sizes.held} streams at one chunk a second for {seconds} s",
        "nothing lost",
        f"{whole} of {sizes.held} whole; a chunk late by {ms(late)}; RSS {rss_kib / 1024:.0f} MiB",
        not faults,
    )
    statuses = {status for status, _ in refused}
    times = [seconds for _, seconds in refused]
    table.row("refused when full", "503, p99 < 10 ms", f"{statuses}, {ms(times)}", quantile(times, 0.99) < 0.01)
    table.broken += statuses != {503}
    table.row(
        "health when full",
        "200, p99 < 50 ms",
        f"{ {status for status, _ in healthy} }, {ms([seconds for _, seconds in healthy])}",
        {status for status, _ in healthy} == {200} and quantile([s for _, s in healthy], 0.99) < 0.05,
    )


async def refusals(server: RunningServer, count: int) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Ask a full server, and its health, one after the other."""
    question = post(CHAT, QUESTION)
    refused, healthy = [], []
    for _ in range(count):
        refused.append(await exchange(server, question))
        healthy.append(await exchange(server, HEALTH))
        await asyncio.sleep(0.01)
    return refused, healthy


async def leavers(table: Table, sizes: Sizes) -> None:
    """How soon an upstream is closed after its caller left, behind others that flow."""
    async with serving({}) as (server, house):
        others = [Plan(f"other-{number}", count=10_000, interval=0.2) for number in range(sizes.flowing)]
        tasks = await begin(server, house, others)
        for moment, think in (("before the first token", 3600.0), ("mid-stream", 0.0)):
            taken = []
            for number in range(sizes.leavers):
                plan = house.expect(
                    Plan(f"{moment.replace(' ', '-')}-{number}", count=10_000, interval=0.05, think=think)
                )
                taken.append(await leave(server, plan, (CHAT, RAG)[number % 2]))
            kept = quantile(taken, 0.99) <= 0.02 and max(taken) <= 0.1
            promise = f"upstream closed, caller left {moment}, {len(others)} flow"
            table.row(promise, "p99 <= 20 ms, max <= 100 ms", f"{len(taken)} left: {ms(taken)}", kept)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def leave(server: RunningServer, plan: Plan, path: str) -> float:
    """Ask, leave when the upstream has been asked and has perhaps begun; seconds until the upstream is let go."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(path, {**QUESTION, "waiting": "off"}, x_request_id=plan.name))
    async with asyncio.timeout(START_SECONDS):
        while not plan.calls:
            await asyncio.sleep(0.002)
    await asyncio.sleep(random.uniform(0.01, 0.06))
    at = time.monotonic()
    writer.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(plan.left.wait(), 10)
    return (plan.left_at or time.monotonic()) - at


async def stop(table: Table, sizes: Sizes) -> None:
    """SIGTERM with open streams: those that end in the grace complete, the others are told."""
    async with serving({"GRACEFUL_TIMEOUT": "8"}) as (server, house):
        short = [Plan(f"short-{number}", count=40, interval=0.1) for number in range(sizes.stopping)]
        long = [Plan(f"long-{number}", count=10_000, interval=0.2) for number in range(20)]
        tasks = await begin(server, house, short + long)
        at = time.monotonic()
        server.signal(signal.SIGTERM)
        answers = list(await asyncio.gather(*tasks))
        code = await asyncio.to_thread(server.stop, 10)
        seconds = time.monotonic() - at
    done = sum(heard.done and not broken_promise(plan, CHAT, heard) for plan, heard in answers[: len(short)])
    told = sum(heard.error == "server_shutting_down" and heard.ended for _, heard in answers[len(short) :])
    table.row(
        f"SIGTERM with {len(short)} open streams",
        "all complete, exit code 0",
        f"{done} of {len(short)} complete, exit code {code} after {seconds:.1f} s",
        done == len(short) and code == 0,
    )
    table.row(
        "... and those that outlive the grace", "an error frame, 0 silent cuts", f"{told} of 20 told", told == len(long)
    )


async def disconnects(table: Table, sizes: Sizes) -> None:
    """What random disconnects leave behind."""
    async with serving({}) as (server, house):
        await leave_at_random(server, house, "warm", 300)
        before, _ = await settled(server)
        await leave_at_random(server, house, "gone", sizes.disconnects)
        after, settled_after = await settled(server)
        ends = sum(end["id"].startswith("gone") for end in Log(server).new_ends())
    fds, rss = after.fds - before.fds, (after.rss_bytes - before.rss_bytes) / MIB
    table.row(
        f"leaks after {sizes.disconnects} disconnects",
        "in 2 s fds +-2, RSS <= +8 MiB",
        f"fds {fds:+d}, RSS {rss:+.1f} MiB, calls {house.open_calls}, {ends} log lines, after {settled_after:.1f} s",
        abs(fds) <= 2 and rss <= 8 and house.open_calls == 0 and ends == sizes.disconnects and settled_after <= 2,
    )


async def leave_at_random(server: RunningServer, house: House, name: str, count: int) -> None:
    """So many callers, twenty at a time, none of whom stays."""
    gate, chance = asyncio.Semaphore(20), random.Random(1)

    async def one(number: int) -> None:
        plan = house.expect(Plan(f"{name}-{number}", count=10_000, think=0.03))
        async with gate:
            talker = Talker(server.port, **PATIENT)
            await talker.ask(chance.choice((CHAT, RAG)), plan.name, QUESTION, leave_in=chance.uniform(0, 0.12))

    await asyncio.gather(*(one(number) for number in range(count)))


async def settled(server: RunningServer) -> tuple[Held, float]:
    """What the worker holds when its last turn has ended, and the seconds until then; it gets 20."""
    at = time.monotonic()
    while await open_streams(server) and time.monotonic() - at < 20:
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - at
    await asyncio.sleep(0.5)
    return held_by(*server.worker_pids()), seconds


async def bad_input(table: Table, sizes: Sizes) -> None:
    """What strange requests are answered with."""
    statuses, lost, wrong = await asyncio.to_thread(sent, sizes.bodies, sizes.heads)
    told = ", ".join(f"{status or 'closed'}: {count}" for status, count in sorted(statuses.items()))
    table.row(
        f"bad input: {sizes.bodies} bodies, {sizes.heads} raw requests",
        "0 of 5xx but 501, 0 crashes",
        wrong or f"{told}; {lost} crashes",
        not wrong and not lost,
    )


def beside_strangers(part: Part) -> Part:
    """Return the part with the sizes that are its own."""
    return lambda table, sizes: part(table, sizes.strangers)


def with_tools(part: Part) -> Part:
    """Return the part with the sizes that are its own."""
    return lambda table, sizes: part(table, sizes.tools)


PARTS: dict[str, Part] = {
    "held-streams": held_streams,
    "leavers": leavers,
    "stop": stop,
    "disconnects": disconnects,
    "bad-input": bad_input,
    **{name: beside_strangers(part) for name, part in hostile_rows.PARTS.items()},
    **{name: with_tools(part) for name, part in tool_rows.PARTS.items()},
}


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer streams, for a first look")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    parts = [PARTS[name] for name in options.parts or PARTS]
    return asyncio.run(measure(parts, QUICK if options.quick else Sizes()))


if __name__ == "__main__":
    sys.exit(main())
