"""What callers get beside hostile clients: the measuring half of hostile_rows.py.

The strangers run in a process of their own with a lowered priority (`nice`): in life they have machines of their own,
and here they would take the core that the upstream, the callers and the clock are on. The worker's priority is the
usual one. Gaps are the silences behind a word: up to the next, which the upstream writes WORD_SECONDS later, or to the
end of the call.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import planned_upstream  # noqa: F401 - it says where the tests' modules are
from hostile import Strangers, Tally
from planned_upstream import House, Plan
from running_server import RunningServer
from talkers import CHAT, HEALTH, KEY, PATIENT, QUESTION, Heard, Talker, broken_promise, exchange

CALLERS = 20
WORDS = 150
WORD_SECONDS = 0.02
PROBE_SECONDS = 0.05
SETTLE_SECONDS = 0.5
LAG_SECONDS = 0.005
PROBE_TIMEOUT = 30.0
NICE = 10


@dataclasses.dataclass
class Beside:
    """What calls got beside strangers, all in seconds; infinite where nothing came."""

    gaps: list[float] = dataclasses.field(default_factory=list)
    firsts: list[float] = dataclasses.field(default_factory=list)
    """From the question to the first word, of calls on kept connections."""
    health: list[float] = dataclasses.field(default_factory=list)
    new_calls: list[float] = dataclasses.field(default_factory=list)
    """From connecting to the first word, of calls on new connections."""
    faults: list[str] = dataclasses.field(default_factory=list)
    calls: int = 0
    workers_lost: int = 0
    waited: float = 0.0
    """How long the worker waited for a core, as the kernel tells it: noise of the machine."""
    own_lag: float = 0.0
    """How late the event loop of this process was at worst: no gap below it says anything of the server."""
    rss_mib: float = 0.0
    """The most that the worker held."""
    tally: Tally = dataclasses.field(default_factory=Tally)

    @property
    def whole(self) -> bool:
        """Whether every call was answered in full and the worker lived."""
        return not self.faults and not self.workers_lost

    def told(self) -> str:
        """Return the counts that belong to every row."""
        faults = f", faults {sorted(set(self.faults))}" if self.faults else ""
        lost = f", {self.workers_lost} workers lost" if self.workers_lost else ""
        return (
            f"{self.calls} calls whole{lost}"
            if not faults
            else f"{len(self.faults)} of {self.calls} calls{faults}{lost}"
        )


class Callers:
    """Callers who ask one question after the other, and note what they hear, until they are told to stop."""

    def __init__(self, server: RunningServer, house: House, words: int) -> None:
        self._server = server
        self._house = house
        self._words = words
        self._over = asyncio.Event()
        self.beside = Beside()

    async def call(self, number: int) -> None:
        """Talk on one connection, which is kept."""
        talker, asked = Talker(self._server.port, key=KEY, **PATIENT), 0
        while not self._over.is_set():
            asked += 1
            plan = Plan(f"beside-{number}-{asked}", count=self._words, interval=WORD_SECONDS, think=0.0)
            heard = await self._ask(talker, plan)
            self.beside.firsts.append(heard.first_at - heard.asked_at if heard.first_at else float("inf"))
            self._note_gaps(heard)
        talker.leave()

    def _note_gaps(self, heard: Heard) -> None:
        """Note the silences behind each word: up to the next, or to the end of the call."""
        moments = [*heard.times, time.monotonic()]
        self.beside.gaps += [after - before for before, after in itertools.pairwise(moments)]

    async def _ask(self, talker: Talker, plan: Plan) -> Heard:
        try:
            heard = await talker.ask(CHAT, self._house.expect(plan).name, {**QUESTION, "waiting": "off"})
        except OSError as error:
            heard = Heard(time.monotonic(), error=type(error).__name__)
        self.beside.calls += 1
        if fault := broken_promise(plan, CHAT, heard):
            self.beside.faults.append(fault)
        return heard

    async def probe(self) -> None:
        """Ask for health, and ask a question, each on a new connection, again and again."""
        number = 0
        while not self._over.is_set():
            number += 1
            self.beside.health.append(await self._health())
            talker, plan = Talker(self._server.port, key=KEY, **PATIENT), Plan(f"new-{number}", count=1, think=0.0)
            at = time.monotonic()
            heard = await self._ask(talker, plan)
            talker.leave()
            self.beside.new_calls.append(heard.first_at - at if heard.first_at else float("inf"))
            await asyncio.sleep(PROBE_SECONDS)

    async def watch_own_loop(self) -> None:
        """Note how late this process is woken: upstream, callers and clock share its event loop."""
        while not self._over.is_set():
            due = time.monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self.beside.own_lag = max(self.beside.own_lag, time.monotonic() - due)

    async def _health(self) -> float:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(PROBE_TIMEOUT):
                status, seconds = await exchange(self._server, HEALTH)
                return seconds if status == 200 else float("inf")
        return float("inf")

    def stop(self) -> None:
        """Let the calls that run come to their end."""
        self._over.set()


async def beside(
    server: RunningServer,
    house: House,
    kinds: Sequence[str],
    count: int,
    seconds: float,
    *,
    callers: int = CALLERS,
    words: int = WORDS,
) -> Beside:
    """Return what callers get beside `count` strangers of these kinds, who attack for so many seconds."""
    (worker,) = server.worker_pids()
    calling = Callers(server, house, words)
    tasks = [asyncio.create_task(calling.call(number)) for number in range(callers)]
    await asyncio.sleep(SETTLE_SECONDS)
    tasks += [asyncio.create_task(calling.probe()), asyncio.create_task(calling.watch_own_loop())]
    waited = waited_for_a_core(worker)
    strangers = Strangers(server.port, kinds, count, seconds + PATIENT["first"], nice=NICE)
    await asyncio.to_thread(strangers.__enter__)
    try:
        await asyncio.sleep(seconds)
        found = calling.beside
        found.waited = waited_for_a_core(worker) - waited
    finally:
        await asyncio.to_thread(strangers.__exit__)
        calling.stop()
        await asyncio.gather(*tasks)
    found.tally, found.rss_mib = strangers.tally, peak_mib(worker)
    found.workers_lost = len({worker} - set(server.worker_pids()))
    return found


def waited_for_a_core(pid: int) -> float:
    """Return the seconds that this process's main thread could run and had no core; 0 where it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def peak_mib(pid: int) -> float:
    """Return the most that a process has held of memory so far; infinite where it is gone."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return float("inf")
