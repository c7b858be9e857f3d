"""Callers for the measuring tools, and the judgement on what they heard; the upstream is in `planned_upstream.py`.

The server under test is the real one, in a process of its own. What is promised, and what the tools print, is in
`soak.py` and `promises.py`.
"""

import asyncio
import base64
import contextlib
import json
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from planned_upstream import House, Plan
from running_server import RunningServer, post, running_server

CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": True}
KEY = "door-0123456789abcdef"
"""The callers' key where a server asks for one."""
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
START_SECONDS = 60.0
PATIENT = {"first": 60.0, "idle": 60.0}
GRACE_SECONDS = 1.0
"""How much later than its budget an answer may come before it counts as a hang."""


@dataclass
class Heard:
    """What one caller heard, and when; times by time.monotonic()."""

    asked_at: float
    status: int = 0
    text: str = ""
    audio_bytes: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    done: bool = False
    error: str | None = None
    ended: bool = False
    """Whether the body came to its end, rather than being cut."""
    hung: bool = False
    left: bool = False
    left_at: float = 0.0
    times: list[float] = field(default_factory=list)
    """When each word came."""

    def take(self, event: bytes) -> None:
        """One event of the stream."""
        if not event.startswith(b"data: "):
            return
        if event == b"data: [DONE]":
            self.done = True
            return
        payload: dict[str, Any] = json.loads(event[6:])
        if "error" in payload:
            self.error = payload["error"]["code"]
            return
        delta = payload["choices"][0]["delta"] if payload["choices"] else {}
        sound = (delta.get("audio") or {}).get("data")
        if delta.get("content") or sound:
            self.last_at = time.monotonic()
            self.first_at = self.first_at or self.last_at
            self.times.append(self.last_at)
            self.text += delta.get("content") or ""
            self.audio_bytes += len(base64.b64decode(sound)) if sound else 0


def broken_promise(plan: Plan, path: str, heard: Heard, audio_bytes: int = 0) -> str | None:
    """What is wrong with an answer, given what the upstream did; None where every promise was kept."""
    if heard.hung:
        return "hang"
    if heard.left:
        return None
    if heard.status != 200:
        return None if plan.fault and heard.error else f"unexplained status {heard.status}"
    if not heard.ended:
        return "body cut"
    if heard.done == (heard.error is not None):
        return "DONE and error" if heard.done else "silent truncation"
    if heard.error:
        return None if plan.fault else f"unexplained error {heard.error}"
    if path == AUDIO:
        return None if heard.audio_bytes == audio_bytes else "wrong sound"
    whole = "".join(plan.words())
    matches = heard.text == whole or (path == RAG and heard.text.endswith(whole))
    return None if matches else "wrong words"


class Talker:
    """A caller who asks one question after the other, on one connection as long as it stands.

    An answer is a hang that has no content after `first` seconds, or none for `idle` seconds between two words.
    """

    def __init__(self, port: int, *, first: float = 9.0, idle: float = 15.0, key: str = "") -> None:
        self._port = port
        self._headers = {"x_api_key": key} if key else {}
        self._first = first + GRACE_SECONDS
        self._idle = idle + GRACE_SECONDS
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(
        self, path: str, name: str, body: Mapping[str, Any] = QUESTION, leave_in: float | None = None
    ) -> Heard:
        """Ask, and hear the answer to its end; leave after `leave_in` seconds."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        heard = Heard(time.monotonic())
        self._writer.write(post(path, dict(body), x_request_id=name, **self._headers))
        patience = asyncio.timeout(self._first)
        try:
            async with asyncio.timeout(leave_in), patience:
                await self._listen(heard, patience)
        except TimeoutError:
            heard.hung, heard.left = patience.expired(), not patience.expired()
        except (OSError, EOFError):
            pass
        if not heard.ended:
            self.leave()
            heard.left_at = time.monotonic()
        return heard

    def leave(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.transport.abort() if self._writer.transport.is_closing() else self._writer.close()
            self._writer = None

    async def _listen(self, heard: Heard, patience: asyncio.Timeout) -> None:
        assert self._reader is not None
        start, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        heard.status = int(start.split()[1])
        if "content-length" in headers:
            answer = json.loads(await self._reader.readexactly(int(headers["content-length"])))
            heard.error = answer.get("error", {}).get("code")
            heard.ended = True
            for choice in answer.get("choices", ()):
                heard.text, heard.done = choice["message"]["content"], True
        else:
            await self._listen_to_stream(self._reader, heard, patience)
        if headers.get("connection") == "close":
            self.leave()

    async def _listen_to_stream(self, reader: asyncio.StreamReader, heard: Heard, patience: asyncio.Timeout) -> None:
        loop, pending, words = asyncio.get_running_loop(), b"", 0
        while size := int(await reader.readline(), 16):
            *events, pending = (pending + (await reader.readexactly(size + 2))[:-2]).split(b"\n\n")
            for event in events:
                heard.take(event)
            if len(heard.times) > words:
                words = len(heard.times)
                patience.reschedule(loop.time() + self._idle)
        await reader.readexactly(2)
        heard.ended = True


async def hear(server: RunningServer, plan: Plan, path: str = CHAT) -> tuple[Plan, Heard]:
    """Ask one question, and hear the answer to its end."""
    talker = Talker(server.port, **PATIENT)
    heard = await talker.ask(path, plan.name, {**QUESTION, "waiting": "off"})
    talker.leave()
    return plan, heard


async def begin(server: RunningServer, house: House, plans: list[Plan]) -> list[asyncio.Task[tuple[Plan, Heard]]]:
    """Start these streams, a few at a time, and wait until all have been asked upstream."""
    tasks = []
    for number, plan in enumerate(plans):
        tasks.append(asyncio.create_task(hear(server, house.expect(plan))))
        if number % 20 == 19:
            await asyncio.sleep(0.05)
    async with asyncio.timeout(START_SECONDS):
        while not all(plan.calls for plan in plans):
            await asyncio.sleep(0.01)
    return tasks


async def exchange(server: RunningServer, request: bytes) -> tuple[int, float]:
    """Return the status of an answer on a fresh connection, and the seconds that it took."""
    at = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        return int((await reader.readuntil(b"\r\n\r\n")).split()[1]), time.monotonic() - at
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def serving(settings: Mapping[str, str], argv: Sequence[str] = ()) -> Any:
    """The real server in front of a planned upstream: gives both."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    house = House()
    base_url = await house.open()
    ask_also = json.dumps([{"base_url": base_url, "model": "second"}])
    server = running_server({"LLM_BASE_URL": base_url, "LLM_FALLBACKS": ask_also, **settings}, argv=argv)
    running = await asyncio.to_thread(server.__enter__)
    try:
        yield running, house
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
        house.close()


class Log:
    """The server's lines that end a request, read as they come."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._offset = 0
        self._pending = b""

    def new_ends(self) -> Iterator[dict[str, Any]]:
        """Those since the last call."""
        printed = self._server.read_log(self._offset)
        self._offset += len(printed)
        *lines, self._pending = (self._pending + printed).split(b"\n")
        for line in lines:
            if line.startswith(b"{") and b'"request_end"' in line:
                yield json.loads(line)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies; nan without values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


async def open_streams(server: RunningServer) -> int:
    """How many turns the server says are running."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\nconnection: close\r\n\r\n" % KEY.encode())
    answer = await reader.read()
    writer.close()
    return int(json.loads(answer.partition(b"\r\n\r\n")[2])["details"]["streams"])
