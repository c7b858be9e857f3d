"""An upstream for the measuring tools, on the event loop of its callers: light enough for a thousand at once.

A `Plan` says beforehand what it will do for one question, so that whoever asked can judge the answer: its words
bear the question's name, and a fault is known. Callers find their plan by the `x-request-id` of the question.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fake_upstream import END, chunk, event, head, http_chunk, text_chunk  # noqa: E402 - found by the line above

ROLE, FINISH, LAST = event(chunk({"role": "assistant", "content": ""})), event(chunk({}, "stop")), event(b"[DONE]")
STATUSES = (400, 404, 408, 422, 429, 500, 502, 503, 529)
PLANS_KEPT = 5000
EARLY = ("status", "close", "reset", "hang", "web page", "not http", "error event")
LATE = ("cut", "cut by reset", "no end", "stall", "not json", "error inside")


@dataclass
class Plan:
    """What the upstream does for one question: think, then say `count` words, `interval` seconds apart."""

    name: str
    count: int = 8
    think: float = 0.02
    interval: float = 0.02
    fault: str | None = None
    once: bool = False
    """Whether the fault strikes only the first attempt."""
    fault_at: int = 3
    status: int = 500
    calls: int = 0
    called_at: float = 0.0
    """time.monotonic() when the upstream had the whole of the last call."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    left_at: float = 0.0
    """time.monotonic() when the upstream saw the server leave."""

    def words(self) -> list[str]:
        """What a whole answer says."""
        return [f"{self.name}:{number} " for number in range(self.count)]


class Upstream(asyncio.Protocol):
    """One connection to the upstream; those of one server share a `House`."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._received = b""
        self._more = asyncio.Event()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._plan: Plan | None = None

    def connection_made(self, transport: Any) -> None:
        """Serve it until it ends."""
        self._transport = transport
        self._house.connections += 1
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """A request, or a piece of one."""
        self._received += data
        self._more.set()

    def eof_received(self) -> bool:
        """The server leaves; the transport closes itself."""
        self._leave()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection has ended, from whichever side."""
        self._house.connections -= 1
        self._leave()

    def _leave(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
            self._more.set()
            if self._plan:
                self._plan.left_at = time.monotonic()
                self._plan.left.set()

    async def _serve(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                plan = self._house.plan(await self._request())
                plan.calls += 1
                plan.called_at = time.monotonic()
                self._house.open_calls += 1
                self._plan = plan
                try:
                    await self._answer(plan)
                finally:
                    self._plan = None
                    self._house.open_calls -= 1

    async def _request(self) -> str:
        """Wait for a whole request; give the name it bears."""
        while True:
            start, found, rest = self._received.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in start.decode("latin-1").split("\r\n")[1:]) if found else {}
            length = int(headers.get("content-length", 0))
            if found and len(rest) >= length:
                self._received = rest[length:]
                return headers["x-request-id"]
            if self._gone.done():
                raise ConnectionAbortedError
            self._more.clear()
            await self._more.wait()

    async def _silence(self, seconds: float) -> None:
        if seconds:
            await asyncio.wait([self._gone], timeout=seconds)
        if self._gone.done():
            raise ConnectionAbortedError

    async def _answer(self, plan: Plan) -> None:
        fault = None if plan.once and plan.calls > 1 else plan.fault
        await self._silence(plan.think)
        if fault in EARLY:
            await self._fail_early(fault, plan)
            return
        self._transport.write(head() + ROLE)
        for number, word in enumerate(plan.words()):
            if fault and number == plan.fault_at:
                await self._fail_late(fault)
                return
            await self._silence(plan.interval if number else 0)
            self._transport.write(event(text_chunk("x", word)))
        self._transport.write(FINISH + LAST + END)

    async def _fail_early(self, fault: str, plan: Plan) -> None:
        body = json.dumps({"error": {"message": "as planned"}}).encode()
        length = {"content-length": str(len(body))}
        if fault == "status":
            self._transport.write(head(plan.status, {"content-type": "application/json", **length}) + body)
        elif fault == "web page":
            self._transport.write(head(200, {"content-type": "text/html", **length}) + body)
        elif fault == "not http":
            self._transport.write(b"\x00garbage\r\n\r\n")
        elif fault == "error event":
            self._transport.write(head() + ROLE + event(body) + END)
        elif fault == "hang":
            await self._silence(3600)
        await self._break(reset=fault == "reset", kept=fault in ("status", "web page", "error event"))

    async def _fail_late(self, fault: str) -> None:
        if fault == "no end":
            self._transport.write(END)
        elif fault == "not json":
            self._transport.write(http_chunk(b"data: {not json\n\n") + END)
        elif fault == "error inside":
            self._transport.write(event(b'{"error":{"message":"as planned"}}') + END)
        elif fault == "stall":
            await self._silence(3600)
        await self._break(reset=fault == "cut by reset", kept=fault == "no end")

    async def _break(self, *, reset: bool, kept: bool) -> None:
        if kept:
            return
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.close()
        raise ConnectionAbortedError


class House:
    """The upstream: its plans by the names of the questions, and what is open now."""

    def __init__(self) -> None:
        self.plans: dict[str, Plan] = {}  # the latest only
        self.open_calls = 0
        self.connections = 0

    def expect(self, plan: Plan) -> Plan:
        """Answer the question of this name by this plan."""
        self.plans[plan.name] = plan
        if len(self.plans) > PLANS_KEPT:
            del self.plans[next(iter(self.plans))]
        return plan

    def plan(self, name: str) -> Plan:
        """Return the plan for this question, an ordinary one where it was asked by another process."""
        return self.plans.get(name) or Plan(name)

    async def open(self) -> str:
        """Listen; gives the base URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Upstream(self), "127.0.0.1", 0, backlog=2048)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def close(self) -> None:
        """Listen no longer."""
        self._server.close()
