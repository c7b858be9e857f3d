"""`make soak`: many talkers with barge-in against a server whose upstream keeps failing, for minutes.

Beside the talkers, strangers without a key flood, stall, trickle and reconnect (tests/support/hostile.py), in a process
of their own with a lowered priority. Whoever talks knows what the upstream was told to do, so a wrong word, a
truncation without a word, a hang or an error without a cause is seen at once. Ends with 1 where a promise is broken.
The server's budgets are shortened (2 s to the first content, 3 s in all, 3 s of silence), so that more faults fit into
the time.
"""

import argparse
import asyncio
import collections
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import planned_upstream  # noqa: F401 - it says where the tests' modules are
from hostile import LARGE, SHAPES, Strangers
from planned_upstream import EARLY, LATE, STATUSES, House, Plan
from running_server import GATHERED_SECONDS, RunningServer, held_by, hooked
from strangers import NICE
from talkers import AUDIO, CHAT, KEY, RAG, Log, Talker, broken_promise, open_streams, quantile, serving

BUDGETS = {"TTFT_TIMEOUT": "2", "PRECOMMIT_TIMEOUT": "3", "IDLE_TIMEOUT": "3"}
FIRST_SECONDS = IDLE_SECONDS = 10.0
"""Silence that counts as a hang: longer than every timeout above, also on a busy machine."""
REPORT_SECONDS = 30.0
SHARES = {CHAT: 0.58, RAG: 0.4, AUDIO: 0.02}
LEAVERS = 0.25
MIB = 1 << 20
STRANGERS = sorted(SHAPES.keys() - LARGE.keys())
SYSTEM = {"role": "system", "content": "You answer the telephone of a bicycle workshop on the harbour. " * 20}
SAID = "I have had this bicycle for three years, and since last week the chain comes off whenever I change the gears. "
CONVERSATION = [{"role": ("user", "assistant")[number % 2], "content": f"{number}: {SAID * 4}"} for number in range(61)]
"""Messages of half a KiB, the last one the caller's."""
MAX_RSS_SLOPE = 1.0
"""MiB for 10 000 turns."""
SLOW_MS = 1000
ENOUGH_TURNS = 20_000
"""For a slope to mean something, after the first third, in which a server grows to its size."""


class Sample(NamedTuple):
    """What the worker held after so many turns."""

    turns: int
    rss_mib: float
    fds: int
    threads: int
    upstream: int


class Growth(NamedTuple):
    """How much each figure grew for 10 000 turns, over so many turns."""

    turns: int
    rss_mib: float
    fds: float
    threads: float
    upstream: float


class Soak:
    """The talkers of one run and what they found."""

    def __init__(self, server: RunningServer, house: House, options: argparse.Namespace) -> None:
        self.server = server
        self.house = house
        self.options = options
        self.chance = random.Random(options.seed)
        self.names: set[str] = set()
        self.faults = 0
        self.broken: collections.Counter[str] = collections.Counter()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.ended: collections.Counter[str] = collections.Counter()
        self.added_ms: list[float] = []
        self.slow: list[str] = []
        self.samples: list[Sample] = []
        self.refused = 0
        self.log = Log(server)
        (self.worker,) = server.worker_pids()
        self.sound_bytes = 0

    def plan(self) -> Plan:
        """The next question's: most are well, some fail in one of many ways."""
        chance = self.chance
        name = f"turn-{len(self.names)}"
        self.names.add(name)
        plan = Plan(name, chance.randint(1, 12), chance.uniform(0.01, 0.1), chance.uniform(0.01, 0.05))
        if chance.random() < self.options.faults:
            self.faults += 1
            plan.fault = chance.choice(EARLY + LATE)
            plan.once = plan.fault in EARLY and chance.random() < 0.5
            plan.status = chance.choice(STATUSES)
            plan.count, plan.fault_at = max(plan.count, 2), chance.randint(1, max(plan.count, 2) - 1)
        return self.house.expect(plan)

    async def talk(self, until: float) -> None:
        """One talker: asks, now and then interrupts and asks again at once."""
        while time.monotonic() < until:
            talker = Talker(self.server.port, first=FIRST_SECONDS, idle=IDLE_SECONDS, key=KEY)
            left = False
            while not left and time.monotonic() < until:
                left = await self._turn(talker)
            talker.leave()

    def body(self) -> dict[str, Any]:
        """Return the next question's body: a conversation so far, of 20 KiB on the average."""
        said = CONVERSATION[-self.chance.randint(10, 30) * 2 + 1 :]
        waiting = "always" if self.chance.random() < 0.5 else "off"
        return {"messages": [SYSTEM, *said], "stream": True, "waiting": waiting}

    async def _turn(self, talker: Talker) -> bool:
        plan, chance = self.plan(), self.chance
        (path,) = chance.choices(list(SHARES), list(SHARES.values()))
        spoken = plan.think + plan.count * plan.interval
        leave_in = chance.uniform(0, 1.2 * spoken) if chance.random() < LEAVERS else None
        where = f"{path}?asset=welcome" if path == AUDIO else path
        heard = await talker.ask(where, plan.name, self.body(), leave_in)
        if wrong := broken_promise(plan, path, heard, self.sound_bytes):
            self.broken[wrong] += 1
            print(f"BROKEN {wrong}: {path} {plan} {heard}"[:600], flush=True)
        if path == CHAT and heard.first_at and not plan.fault:
            added_ms = (heard.first_at - heard.asked_at - plan.think) * 1000
            self.added_ms.append(added_ms)
            if added_ms > SLOW_MS:
                self.slow.append(plan.name)
        return heard.left

    async def watch(self, until: float) -> None:
        """Read the log along, note what the worker holds, and report now and then."""
        next_report = time.monotonic() + REPORT_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(1)
            self.read_log()
            self.sample()
            if time.monotonic() > next_report:
                next_report += REPORT_SECONDS
                print(self.state(), flush=True)

    def read_log(self) -> None:
        """Count how turns ended."""
        for end in self.log.new_ends():
            if end["id"] not in self.names:
                self.refused += end["outcome"] == "refused"  # a stranger
                continue
            self.outcomes[end["outcome"]] += 1
            self.ended[end["id"]] += 1

    def sample(self) -> None:
        """Note what the worker holds now."""
        held = held_by(self.worker)
        at = (len(self.names), held.rss_bytes / MIB, held.fds, held.threads, self.house.connections)
        self.samples.append(Sample(*at))

    def state(self) -> str:
        """One line on the run so far."""
        now, added = self.samples[-1], self.added_ms
        latency = "/".join(f"{quantile(added, share):.0f}" for share in (0.5, 0.9, 0.99, 1.0))
        return (
            f"{now.turns} turns, {self.faults} faulty, {dict(self.outcomes)}, {self.refused} strangers refused, "
            f"calls open {self.house.open_calls}, "
            f"RSS {now.rss_mib:.1f} MiB, fds {now.fds}, threads {now.threads}, upstream connections {now.upstream}, "
            f"first token +{latency} ms (p50/p90/p99/max), broken {dict(self.broken)}"
        )

    def slopes(self) -> Growth:
        """Growth of each figure for 10 000 turns, after the first third."""
        later = self.samples[len(self.samples) // 3 :]
        turns = [sample.turns / 10_000 for sample in later]
        if len(set(turns)) < 2:
            return Growth(0, float("nan"), float("nan"), float("nan"), float("nan"))
        columns = list(zip(*later, strict=True))[1:]
        rss, fds, threads, upstream = (statistics.linear_regression(turns, column).slope for column in columns)
        return Growth(later[-1].turns - later[0].turns, rss, fds, threads, upstream)

    async def settle(self) -> None:
        """When all talkers have gone, nothing may stay."""
        for _ in range(200):
            self.read_log()
            if self.house.open_calls == 0 and await open_streams(self.server) == 0 and self.names <= self.ended.keys():
                break
            await asyncio.sleep(0.1)
        else:
            self.broken["streams left open"] += bool(self.house.open_calls or await open_streams(self.server))
        await asyncio.sleep(GATHERED_SECONDS)
        self.read_log()
        if twice := [name for name, count in self.ended.items() if count > 1]:
            self.broken["two log lines for one turn"] += len(twice)
        if never := [name for name in self.names if name not in self.ended]:
            self.broken["no log line for a turn"] += len(never)
        for name in self.slow[:5]:
            print(f"a slow first token without a fault: {self.server.request_ends(name)}")
        if "Traceback" in self.server.output():
            self.broken["traceback in the log"] += 1


@contextlib.asynccontextmanager
async def attacked(server: RunningServer, options: argparse.Namespace) -> AsyncIterator[None]:
    """Have strangers of all kinds attack for the length of a `with` block, and print their counts."""
    if not options.strangers:
        yield
        return
    seconds = 60 * options.minutes + 60
    strangers = Strangers(server.port, STRANGERS, options.strangers, seconds, nice=NICE)
    await asyncio.to_thread(strangers.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(strangers.__exit__)
    print(f"{options.strangers} strangers: {strangers.tally}")


async def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Soak, report, and give the exit code."""
    settings = {**BUDGETS, "MAX_STREAMS": str(2 * options.talkers + 50), "API_KEYS": KEY}
    async with serving(settings, argv) as (server, house):
        soak = Soak(server, house, options)
        heard = await Talker(server.port, key=KEY).ask(f"{AUDIO}?asset=welcome", "sound")
        soak.sound_bytes = heard.audio_bytes
        until = time.monotonic() + 60 * options.minutes
        async with attacked(server, options):
            await asyncio.gather(soak.watch(until), *(soak.talk(until) for _ in range(options.talkers)))
        await soak.settle()
        soak.sample()
        print(soak.state())
    slopes = soak.slopes()
    enough = slopes.turns >= ENOUGH_TURNS
    print(
        f"growth for 10 000 turns, over the last {slopes.turns}: RSS {slopes.rss_mib:+.2f} MiB, fds {slopes.fds:+.2f}, "
        f"threads {slopes.threads:+.2f}, upstream connections {slopes.upstream:+.2f}"
        + ("" if enough else " (too few turns to tell)")
    )
    if enough and slopes.rss_mib >= MAX_RSS_SLOPE:
        soak.broken["memory grows"] += 1
    print(f"broken promises: {dict(soak.broken) or 'none'}")
    return 1 if soak.broken else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--talkers", type=int, default=50)
    parser.add_argument("--faults", type=float, default=0.05, help="the share of turns in which the upstream fails")
    parser.add_argument("--strangers", type=int, default=100, help="hostile connections without a key; 0: none")
    parser.add_argument("--no-gc", action="store_true", help="run the server without the garbage collector")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        argv = hooked(Path(directory), "import gc; gc.disable()") if options.no_gc else ()
        return asyncio.run(run(options, argv))


if __name__ == "__main__":
    sys.exit(main())
