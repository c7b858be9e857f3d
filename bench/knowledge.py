"""Knowledge under load, on the real server: `python bench/knowledge.py`.

    reloads     so many changes of the knowledge while callers ask: questions that failed, the worst gap in the streams
    lookups     what /rag adds to /chat before the upstream is called, beside fifty streams, with 5 000 passages

Prints what is required, measured, kept or broken; ends with 1 where a promise is broken.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import planned_upstream  # first, for it finds the rest
import requests
from corpus import Corpus
from promises import Table, ms
from running_server import RunningServer
from talkers import CHAT, RAG, Heard, Log, Talker, broken_promise, quantile, serving

from parley.knowledge.documents import Passage

STREAMS = 50
CALLERS = 8
WARM_UP = 50
LEXICAL = {"RAG_TIER": "lexical"}
PAUSE_SECONDS = 0.02


def write(folder: Path, passages: list[Passage], edition: int = 0) -> None:
    """The knowledge as one file, whole at once."""
    entries = [{"id": one.id, "title": one.title, "text": f"{one.text} Edition {edition}."} for one in passages]
    aside = folder / ".made.part"
    aside.write_text(json.dumps(entries))
    aside.rename(folder / "made.json")


def asking(question: str) -> dict[str, Any]:
    """The body of a question on either path."""
    return {"messages": [{"role": "user", "content": question}], "stream": True, "waiting": "off"}


async def metric(server: RunningServer, name: str) -> float:
    """The sum of a metric's series."""
    answer = await asyncio.to_thread(requests.get, f"{server.url}/metrics", timeout=30)
    values = [float(line.rpartition(" ")[2]) for line in answer.text.splitlines() if line.startswith(name)]
    return sum(values)


async def ready(server: RunningServer) -> None:
    """Wait until the knowledge has been read."""
    while (await asyncio.to_thread(requests.get, f"{server.url}/readyz", timeout=30)).status_code != 200:
        await asyncio.sleep(0.05)


@dataclasses.dataclass
class Load:
    """Callers who ask again and again until it is over, and what they heard."""

    server: RunningServer
    house: planned_upstream.House
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    heard: list[Heard] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    async def caller(self, name: str, path: str, plan: Mapping[str, Any], questions: list[str]) -> None:
        """One of them, on a connection of its own."""
        talker, number = Talker(self.server.port), 0
        while not self.over.is_set():
            number += 1
            planned = self.house.expect(planned_upstream.Plan(f"{name}-{number}", **plan))
            heard = await talker.ask(path, planned.name, asking(questions[number % len(questions)]))
            self.heard.append(heard)
            if found := broken_promise(planned, path, heard):
                self.wrong.append(found)
            await asyncio.sleep(PAUSE_SECONDS)
        talker.leave()


async def reloads(table: Table, count: int, size: int) -> None:
    """Change the knowledge again and again while callers ask and streams flow."""
    corpus = Corpus()
    passages = corpus.passages(size)
    questions = [" ".join(passage.text.split()[:12]) for passage in passages[:200]]  # such as are always found
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, passages)
        async with serving({**LEXICAL, "KB_DIR": name, "KB_POLL": "0.01"}) as (server, house):
            await ready(server)
            load, flow, log = Load(server, house), Load(server, house), Log(server)
            slow, quick = {"count": 400, "interval": 0.02}, {"count": 3, "interval": 0.0, "think": 0.0}
            async with asyncio.TaskGroup() as tasks:
                for number in range(CALLERS):
                    tasks.create_task(load.caller(f"asks-{number}", RAG, quick, questions))
                    tasks.create_task(flow.caller(f"flows-{number}", CHAT, slow, questions))
                for edition in range(1, count + 1):
                    write(folder, passages, edition)
                    while await metric(server, "parley_kb_reloads_total") < edition:
                        await asyncio.sleep(0.005)
                load.over.set()
                flow.over.set()
            failures = await metric(server, "parley_kb_reload_failures_total")
            degraded = await metric(server, 'parley_rag_lookups_total{result="degraded"}')
            ends = [end for end in log.new_ends() if end["endpoint"] == "rag"]
    empty = sum(not end["passages"] for end in ends)
    failed = len(load.wrong) + len(flow.wrong) + degraded + empty
    measured = f"{failed:.0f} of {len(load.heard)}, {failures:.0f} reloads failed"
    table.row(f"{count} reloads of {size} passages under load: failed", "0", measured, not failed and not failures)
    gaps = [after - before for heard in flow.heard for before, after in zip(heard.times, heard.times[1:], strict=False)]
    late = [max(0.0, gap - 0.02) for gap in gaps]
    table.row("streams beside them: how late a word was", "(told)", ms(late), kept=True)


async def lookups(table: Table, rounds: int, size: int) -> None:
    """Ask on both paths in turn, beside streams that flow."""
    corpus = Corpus()
    passages = corpus.passages(size)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), passages)
        async with serving({**LEXICAL, "KB_DIR": name}) as (server, house):
            await ready(server)
            flow, log = Load(server, house), Log(server)
            slow = {"count": 400, "interval": 0.05}
            async with asyncio.TaskGroup() as tasks:
                for number in range(STREAMS):
                    tasks.create_task(flow.caller(f"flows-{number}", CHAT, slow, ["Well?"]))
                await asyncio.sleep(2)
                questions = [corpus.question(passages[at % size]) for at in range(rounds)]
                times = await _in_turn(server, house, questions)
                flow.over.set()
            looked_up = [end["lookup_ms"] / 1000 for end in log.new_ends() if end["lookup_ms"] is not None]
    added = {share: quantile(times[RAG], share) - quantile(times[CHAT], share) for share in (0.5, 0.99)}
    measured = f"p50 {1000 * added[0.5]:.2f}, p99 {1000 * added[0.99]:.2f} ms"
    table.row(f"/rag adds to /chat ({STREAMS} streams, {size} passages)", "p99 <= 2 ms", measured, added[0.99] <= 0.002)
    table.row("of which looking up", "(told)", ms(looked_up[WARM_UP:]), kept=True)
    table.row("question to upstream on /chat", "(told)", ms(times[CHAT]), kept=True)
    table.row("question to upstream on /rag", "(told)", ms(times[RAG]), kept=True)


async def _in_turn(
    server: RunningServer, house: planned_upstream.House, questions: list[str]
) -> dict[str, list[float]]:
    """Seconds from the question to its arrival at the upstream, by path."""
    times: dict[str, list[float]] = {CHAT: [], RAG: []}
    talker = Talker(server.port)
    for number, question in enumerate(questions):
        for path in (CHAT, RAG) if number % 2 else (RAG, CHAT):
            plan = house.expect(planned_upstream.Plan(f"probe{path.count('/')}-{number}", count=1, think=0.0))
            heard = await talker.ask(path, plan.name, asking(question))
            if number >= WARM_UP:
                times[path].append(plan.called_at - heard.asked_at)
    talker.leave()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["reloads", "lookups"], help="default: both")
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--passages", type=int, default=0, help="default: 200 for reloads, 5000 for lookups")
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, {time.strftime('%Y-%m-%d')}\n", flush=True)
    table = Table()
    if given.what in (None, "lookups"):
        asyncio.run(lookups(table, given.rounds, given.passages or 5000))
    if given.what in (None, "reloads"):
        asyncio.run(reloads(table, given.reloads, given.passages or 200))
    return 1 if table.broken else 0


if __name__ == "__main__":
    sys.exit(main())
