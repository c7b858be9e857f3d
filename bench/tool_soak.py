"""`make soak`'s second part: turns with tools, whose servers, model, callers and files fail in every way, at random.

    python bench/tool_soak.py                   10 000 faults, a quarter of an hour
    python bench/tool_soak.py --faults 500

The upstream calls HTTP tools, Python functions and the tools of two MCP servers in the manners of many providers; the
tool servers delay, cut, hang and send junk; callers leave; the files of tools change, sometimes for the worse, and the
workers are reloaded. Ends with 1 if a turn outlasts its budget, an answer or a result is wrong, or anything stays.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from calling_upstream import FAULTS, FINISHES, QUIRKS, CallingUpstream, CallPlan, PlannedCall
from changing_tools import HOWS, SLOW, SLOW_SHARE, WEIGHTS, WELL, ToolFolder
from planned_mcp import McpPeer
from planned_tools import ANY_ERROR, Peer, ToolServer
from running_server import GATHERED_SECONDS, RunningServer, held_by, running_server
from talkers import CHAT, RAG, Heard, Talker

MIB = 1 << 20
BUDGET, TOOL_SECONDS, PRECOMMIT, IDLE = 3.0, 1.0, 3.0, 3.0
GRACE_SECONDS = 1.0
"""How much later than its budget a turn may end before it counts as a hang."""
SETTINGS = {
    "TOOL_BUDGET": str(BUDGET),
    "TOOL_TIMEOUT": str(TOOL_SECONDS),
    "TTFT_TIMEOUT": "2",
    "PRECOMMIT_TIMEOUT": str(PRECOMMIT),
    "IDLE_TIMEOUT": str(IDLE),
    "HEARTBEAT": "1",
    "KB_POLL": "1",
    "WAITING_MESSAGES": "Wait.",
    "GRACEFUL_TIMEOUT": "10",
    "MAX_STREAMS": "500",
}
REPORT_SECONDS = 15.0
LEAVERS = 0.2
WHOLE = 0.1
TURN_FAULTS = 0.15
MAX_RSS_GROWTH = 8.0
"""MiB, over the second half of a run."""


class ToolSoak:
    """One run, and what it found."""

    def __init__(self, server: RunningServer, upstream: CallingUpstream, peers: list[Peer]) -> None:
        self.server = server
        self.upstream = upstream
        self.peers = peers
        self.wanted = 0
        self.chance = random.Random(5)
        self.faults = self.turns = self.left = 0
        self.slowest = 0.0
        self.broken: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.results: Counter[str] = Counter()
        # Of turns that were heard to their end: how many lines of calls there must be.
        self.due: dict[str, int] = {}
        self.ends: Counter[str] = Counter()
        self._offset = 0

    def call(self) -> PlannedCall:
        """Return a random call; count it if it is a fault."""
        chance = self.chance
        (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        unique = f"{self.turns}-{chance.random():.6f}"
        if chance.random() < 0.05:
            self._count("half JSON")
            return PlannedCall(name, '{"how": "we', ANY_ERROR)
        hows = HOWS[name]
        slow = [how for how in hows if how in SLOW]
        quick = [how for how in hows if how not in SLOW]
        how = chance.choice(slow if slow and chance.random() < SLOW_SHARE else quick)
        if how not in WELL:
            self._count(f"{name}: {how}")
        return PlannedCall(name, {"how": how, "n": unique}, hows[how])

    def plan(self) -> CallPlan:
        """Return the next question's plan."""
        chance = self.chance
        self.turns += 1
        passes = [[self.call() for _ in range(chance.choice((1, 1, 1, 2, 3)))] for _ in range(chance.choice((1, 1, 2)))]
        quirks = [chance.choice(QUIRKS) for _ in passes]
        self.faults += sum(quirk not in ("pieces", "whole", "usage") for quirk in quirks)
        plan = CallPlan(f"turn-{self.turns}", passes, quirks, chance.choice(FINISHES), chance.random() < 0.2)
        if chance.random() < TURN_FAULTS:
            plan.fault, plan.once = chance.choice(FAULTS), chance.random() < 0.5
            plan.fault_pass = chance.randint(0, len(passes))
            self._count(f"upstream: {plan.fault}")
        self.upstream.plans[plan.name] = plan
        return plan

    async def until(self, faults: int, folder: ToolFolder, talkers: int, *, reloads: int) -> tuple[int, float]:
        """Run until there were so many faults; see `settle`."""
        self.wanted = faults
        work = [self.talk() for _ in range(talkers)]
        await asyncio.gather(self.disturb(folder, reloads=reloads), self.watch(), *work)
        return await self.settle()

    async def talk(self) -> None:
        """Ask one question after the other, until there were enough faults."""
        while self.faults < self.wanted:
            plan, talker = self.plan(), Talker(self.server.port, first=20, idle=20)
            path = self.chance.choice((CHAT, CHAT, CHAT, RAG))
            # Only a stream has limits on silence: a whole answer may take STREAM_TIMEOUT.
            streams = plan.fault == "hang" or self.chance.random() >= WHOLE
            leave_in = self.chance.uniform(0, 1.5) if self.chance.random() < LEAVERS else None
            body = {"messages": [{"role": "user", "content": "Go."}], "stream": streams, "waiting": "off"}
            began = time.monotonic()
            heard = await talker.ask(path, plan.name, body, leave_in)
            took = time.monotonic() - began
            talker.leave()
            self.left += heard.left
            if wrong := self.judge(plan, heard, took, streams=streams):
                self.broken[wrong] += 1
                print(f"BROKEN {wrong}: {path} {plan} {heard} after {took:.1f} s"[:1500], flush=True)
            del self.upstream.plans[plan.name]

    def judge(self, plan: CallPlan, heard: Heard, took: float, *, streams: bool) -> str | None:
        """Return what is wrong with an answer, or None."""
        # A silent upstream takes time of its own, in each attempt and in the pass that is asked for again.
        is_silent = plan.fault == "hang"
        if not is_silent:
            self.slowest = max(self.slowest, took)
        if took > BUDGET + GRACE_SECONDS + (2 * (PRECOMMIT + IDLE) if is_silent else 0.0):
            return "hang"
        if heard.left or (plan.fault and heard.error):
            return None
        if heard.status != 200 or heard.error:
            return f"unexplained status {heard.status} {heard.error}"
        if not (heard.ended and heard.done):
            return "silent truncation" if heard.ended else "body cut"
        first = "One moment. " if plan.said_first and streams and plan.passes else ""
        said = "".join(heard.text.replace("Wait.", "").split())
        if said != "".join((first + "".join(plan.words())).split()):
            return None if plan.fault else "wrong words"
        self.due[plan.name] = 0 if plan.fault else plan.calls
        return None

    async def disturb(self, folder: ToolFolder, *, reloads: int) -> None:
        """Change the files all the time, and reload the workers now and then; leave good files."""
        reload_at = [self.wanted * (number + 1) // (2 * reloads + 1) for number in range(reloads)]
        while self.faults < self.wanted:
            folder.spoil(self.chance) if self.chance.random() < 0.5 else folder.mend(self.chance)
            if reload_at and self.faults >= reload_at[0]:
                reload_at.pop(0)
                folder.mend(self.chance)
                self.server.signal(signal.SIGHUP)
                # A reload that meets a faulty file is refused, with a traceback of the worker that could not boot.
                await asyncio.sleep(5)
            await asyncio.sleep(1)
        folder.mend(self.chance)

    async def watch(self) -> None:
        """Tell now and then how far the run is."""
        next_report = time.monotonic() + REPORT_SECONDS
        while self.faults < self.wanted:
            await asyncio.sleep(1)
            self.read_log()
            if time.monotonic() > next_report:
                next_report += REPORT_SECONDS
                print(self.state(), flush=True)

    def state(self) -> str:
        """Return a line on the run so far."""
        held = held_by(self.server.worker_pids()[-1])
        return (
            f"{self.turns} turns, {self.faults} faults of {len(self.kinds)} kinds, {self.left} left, "
            f"calls {dict(self.results)}, slowest turn {self.slowest:.2f} s, "
            f"RSS {held.rss_bytes / MIB:.1f} MiB, fds {held.fds}, broken {dict(self.broken)}"
        )

    def read_log(self) -> None:
        """Count the lines of calls."""
        printed = self.server.read_log(self._offset)
        whole = printed[: printed.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            if b'"tool_end"' in line:
                end = json.loads(line)
                self.results[end["result"]] += 1
                self.ends[end["id"]] += 1

    async def settle(self) -> tuple[int, float]:
        """Wait until nothing runs any more; return the descriptors beyond our own connections, and the MiB held."""
        for _ in range(200):
            running = await self.running()
            if not running and not any(peer.open_requests for peer in self.peers):
                break
            await asyncio.sleep(0.1)
        else:
            self.broken[f"left open: {running} calls, {[peer.open_requests for peer in self.peers]} requests"] += 1
        await asyncio.sleep(3)  # drains, notices
        (worker,) = self.server.worker_pids()
        links = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir()]
        # A thread in which a function waits has an event loop of its own; there are 16 at most.
        files = [link for link in links if not link.startswith("anon_inode")]
        return len(files) - sum(peer.connections for peer in self.peers), held_by(worker).rss_bytes / MIB

    async def running(self) -> int:
        """Return how many calls run by the gauge, plus the turns that run."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        metrics = (await reader.read()).decode()
        writer.close()
        open_ = re.findall(r"^parley_(?:tool_calls_running|open_streams)\S* (\S+)$", metrics, re.MULTILINE)
        assert open_, metrics
        return int(sum(map(float, open_)))

    def conclude(self) -> None:
        """Judge what only the end tells."""
        time.sleep(2 * GATHERED_SECONDS)
        self.read_log()
        for wrong in self.upstream.wrong:
            self.broken["wrong result"] += 1
            print(f"BROKEN {wrong}")
        lines = {name: (due, self.ends[name]) for name, due in self.due.items() if due and self.ends[name] != due}
        if lines:
            self.broken["lines of calls"] += len(lines)
            print(f"BROKEN lines of calls (due, found): {dict(list(lines.items())[:5])}")
        twice = [key for peer in self.peers if isinstance(peer, ToolServer) for key, n in peer.booked.items() if n > 1]
        self.broken["a POST sent twice"] += len(twice)
        output = self.server.output()
        if (at := output.find("Traceback")) >= 0:
            self.broken["traceback in the log"] += 1
            print(f"BROKEN {output[max(0, at - 500) : at + 3000]}")
        self.broken = +self.broken

    def _count(self, kind: str) -> None:
        self.faults += 1
        self.kinds[kind] += 1


async def run(options: argparse.Namespace) -> int:
    """Soak, report, and give the exit code."""
    tools, plain = ToolServer(), McpPeer("stock", keeps_sessions=False)
    sessions, upstream = McpPeer("search", keeps_sessions=True), CallingUpstream()
    peers: list[Peer] = [tools, plain, sessions, upstream]
    urls = {
        name: await peer.open() for name, peer in zip(("tools", "plain", "sessions", "upstream"), peers, strict=True)
    }
    with tempfile.TemporaryDirectory() as directory:
        folder = ToolFolder(Path(directory), urls)
        settings = {**SETTINGS, "LLM_BASE_URL": f"{urls['upstream']}/v1", "TOOLS_DIR": directory}
        starting = running_server(settings)
        server = await asyncio.to_thread(starting.__enter__)
        try:
            await asyncio.sleep(2)  # the lists
            plain.is_faulty = sessions.is_faulty = True
            soak = ToolSoak(server, upstream, peers)
            # In the second half the worker stays, so that growth shows.
            fds, rss = await soak.until(options.faults // 2, folder, options.talkers, reloads=2)
            fds_end, rss_end = await soak.until(options.faults, folder, options.talkers, reloads=0)
            soak.conclude()
            print(soak.state())
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)
    for peer in peers:
        peer.close()
    print(f"over the second half: fds {fds_end - fds:+d}, RSS {rss_end - rss:+.1f} MiB")
    if fds_end > fds:
        soak.broken["descriptors leaked"] += fds_end - fds
    if rss_end - rss > MAX_RSS_GROWTH:
        soak.broken["memory grows"] += 1
    print(f"broken promises: {dict(soak.broken) or 'none'}")
    return 1 if soak.broken else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--talkers", type=int, default=20)
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
