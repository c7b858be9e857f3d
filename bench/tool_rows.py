"""Promises of tools that have figures, as rows of `promises.py`: a hidden pass, a call of MCP, barge-in, fillers."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from calling_upstream import CallingUpstream, CallPlan, PlannedCall
from passes import taken
from planned_tools import OK, SCHEMA, SILENT, Out, Request, ToolServer
from running_server import RunningServer, running_server
from table import Part, Table, ms
from talkers import CHAT, PATIENT, QUESTION, Talker, quantile

FILLER_SECONDS = 0.7
"""TOOL_WAITING, by default."""


@dataclass
class Sizes:
    """How much is measured."""

    turns: int = 1000
    barge_ins: int = 300
    fillers: int = 40


QUICK = Sizes(turns=150, barge_ins=40, fillers=10)


class Watched(ToolServer):
    """A tool server that notes when each call began, and when it was let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began: dict[str, asyncio.Future[float]] = {}
        self.ended: dict[str, asyncio.Future[float]] = {}

    def expect(self, name: str) -> None:
        """Note the times of the call with this target."""
        loop = asyncio.get_running_loop()
        self.began[name], self.ended[name] = loop.create_future(), loop.create_future()

    async def answer(self, request: Request, out: Out) -> None:
        """Answer, and note the times."""
        name = request.target.rpartition("n=")[2]
        self.began[name].set_result(time.monotonic())
        try:
            await super().answer(request, out)
        finally:
            self.ended[name].set_result(time.monotonic())


@contextlib.asynccontextmanager
async def with_tool() -> AsyncIterator[tuple[RunningServer, CallingUpstream, Watched]]:
    """Start a server with one tool, `look`, which may take ten seconds."""
    upstream, tools = CallingUpstream(), Watched()
    upstream_url, url = await upstream.open(), await tools.open()
    function = {"name": "look", "description": "Look.", "parameters": SCHEMA}
    entry = {"function": function, "server": {"method": "GET", "url": f"{url}/look/{{{{args.how}}}}"}}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "look.json").write_text(json.dumps([entry]))
        settings = {"LLM_BASE_URL": f"{upstream_url}/v1", "TOOLS_DIR": folder, "WAITING_MESSAGES": "Wait."}
        starting = running_server(settings)
        server = await asyncio.to_thread(starting.__enter__)
        try:
            yield server, upstream, tools
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)
    upstream.close()
    tools.close()


async def hidden_pass(table: Table, sizes: Sizes) -> None:
    """What a call of a tool costs a turn, beyond the tool and the upstream."""
    columns = await asyncio.to_thread(taken, sizes.turns)
    beyond = [hidden - plain - alone for alone, plain, hidden in columns]
    kept = quantile(beyond, 0.5) <= 0.001 and quantile(beyond, 0.99) <= 0.005
    table.row("a hidden pass beyond tool and upstream", "p50 <= 1 ms, p99 <= 5 ms", ms(beyond), kept)


async def mcp_call(table: Table, _: Sizes) -> None:
    """What a call of an MCP server's tool takes, the server of the official SDK included."""
    command = [sys.executable, str(Path(__file__).parent / "mcp_calls.py")]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    rows = [line.split("|") for line in run.stdout.splitlines() if line.startswith("SDK 2") and "json" in line]
    measured = f"p50 {rows[0][1].strip()} ms, own CPU {rows[0][3].strip()} ms" if rows else run.stderr[-100:]
    table.row(
        "a call of an MCP tool, its server included", "p50 <= 1.5 ms, CPU <= 0.2 ms", measured, not run.returncode
    )


async def barge_in(table: Table, sizes: Sizes) -> None:
    """How soon a tool's connection is closed when the caller interrupts."""
    times = []
    async with with_tool() as (server, upstream, tools):
        for number in range(sizes.barge_ins):
            name = f"barge-{number}"
            upstream.plans[name] = looking(name, "hang", SILENT)
            tools.expect(name)
            talker = Talker(server.port, **PATIENT)
            asking = asyncio.create_task(talker.ask(CHAT, name, QUESTION))
            await tools.began[name]
            await asyncio.sleep(0.01)
            at = time.monotonic()
            talker.leave()
            times.append(await tools.ended[name] - at)
            await asking
    kept = quantile(times, 0.99) <= 0.02
    table.row("a tool's socket closed, caller left", "p99 <= 20 ms", f"{len(times)} left: {ms(times)}", kept)


async def filler(table: Table, sizes: Sizes) -> None:
    """When a phrase is spoken while a tool runs."""
    async with with_tool() as (server, upstream, tools):

        async def one(number: int) -> float:
            name = f"filler-{number}"
            upstream.plans[name] = looking(name, "late", OK)
            tools.expect(name)
            await asyncio.sleep(number * 0.05)
            heard = await Talker(server.port, **PATIENT).ask(CHAT, name, QUESTION)
            return heard.first_at - await tools.began[name] - FILLER_SECONDS

        late = await asyncio.gather(*(one(number) for number in range(sizes.fillers)))
    kept = max(map(abs, late)) <= 0.05
    table.row("a filler while a tool runs", "700 ms +- 50 ms", f"{len(late)} came late by {ms(list(late))}", kept)


def looking(name: str, how: str, told: str) -> CallPlan:
    """Return the plan of a turn with one call."""
    return CallPlan(name, [[PlannedCall("look", {"how": how, "n": name}, told)]], ["whole"])


PARTS: dict[str, Part] = {"hidden-pass": hidden_pass, "mcp-call": mcp_call, "tool-barge-in": barge_in, "filler": filler}
