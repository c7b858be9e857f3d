"""A simulated engine of Agora's kind in audio-only mode: it asks as the engine does, and plays what comes.

    engine = Engine(server.url)
    heard = asyncio.run(engine.greet("Welcome!"))              # a broadcast: these very words, voiced
    heard = asyncio.run(engine.ask("Hello?", barge_in_ms=300)) # a turn, interrupted after 300 ms of sound

It plays in real time from the first chunk on: `Heard` tells what arrived when, what was played, and where the sound
ran out. Its memory is the engine's: what was heard before a barge-in is told by the words' times. Nothing here knows
Parley.
"""

import asyncio
import base64
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

SAMPLE_BYTES = 2
REQUEST = """
{"model":"gpt-4o-mini","stream":true,"max_tokens":200,"tenant":"acme",
 "turn_id":3,"timestamp":1764000012345,"interruptable":true,
 "context":{"presence":{"1002":{"selection":"Plan B"}}},
 "messages":[
  {"role":"system","content":"You are a concise voice assistant."},
  {"role":"assistant","content":"Hello!","turn_id":1,"timestamp":1764000001000,"metadata":{"source":"greeting"}},
  {"role":"user","content":"What plans are there?","turn_id":2,"timestamp":1764000004000,
   "metadata":{"source":"asr","user":"1002"}},
  {"role":"assistant","content":"We have three plans, the first ","turn_id":2,"timestamp":1764000005000,
   "metadata":{"source":"llm","interrupted":true,"interrupt_timestamp":1764000009000,
    "original":"We have three plans, the first costs ten dollars."}},
  {"role":"user","content":"Just this one.","turn_id":3,"timestamp":1764000012000,
   "metadata":{"source":"asr","user":"1002"}}]}
"""
"""As the engine sends it after an interruption, with all the fields that are its own."""


@dataclasses.dataclass
class Heard:
    """One answer as it arrived; `arrivals` are seconds by `time.monotonic` and bytes of each piece of sound."""

    rate: int
    asked_at: float = 0.0
    status: int = 0
    chunks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    transcripts: list[str] = dataclasses.field(default_factory=list)
    words: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    pcm: bytearray = dataclasses.field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    is_done: bool = False
    interrupted_at_ms: float | None = None
    body: bytes = b""

    @property
    def transcript(self) -> str:
        """The pieces, joined."""
        return "".join(self.transcripts)

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, if it said so."""
        reasons = [choice["finish_reason"] for chunk in self.chunks for choice in chunk.get("choices", ())]
        return next((reason for reason in reversed(reasons) if reason), None)

    @property
    def audio_ids(self) -> list[str | None]:
        """The id of each chunk that has audio; None where it bears none."""
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk.get("choices", ())]
        return [delta["audio"].get("id") for delta in deltas if "audio" in delta]

    @property
    def first_sound_ms(self) -> float:
        """From the request to the first sound."""
        return (self.arrivals[0][0] - self.asked_at) * 1000

    def seconds(self, count: int) -> float:
        """How long so many bytes last."""
        return count / SAMPLE_BYTES / self.rate

    def played(self) -> list[tuple[float, float]]:
        """For each arrival how long the buffer had been dry by then (0: it was not), and how much it held after it."""
        found, ends = [], self.arrivals[0][0] if self.arrivals else 0.0
        for at, size in self.arrivals:
            dry = max(0.0, at - ends)
            ends = max(ends, at) + self.seconds(size)
            found.append((dry, ends - at))
        return found

    def underruns(self, tolerance: float = 0.0) -> int:
        """How often a play-out that starts with the first chunk ran dry, for longer than `tolerance` seconds."""
        return sum(dry > tolerance for dry, _ in self.played())

    def lateness_ms(self, lead_ms: float) -> list[float]:
        """How much later than due each piece came, for a sender that keeps `lead_ms` ahead from its first piece on."""
        sent, late = 0, []
        start = self.arrivals[0][0]
        for at, size in self.arrivals:
            sent += size
            late.append((at - start - max(0.0, self.seconds(sent) - lead_ms / 1000)) * 1000)
        return late

    def spoken_by(self, ms: float) -> str:
        """The words that had been said whole by then."""
        said = [word["text"] for word in self.words if word["end_ts"] <= ms]
        return " ".join(said)


class Engine:
    """One call: its memory is what it sends with each turn."""

    def __init__(self, url: str, path: str = "/audio/chat/completions", *, key: str = "", rate: int = 16_000) -> None:
        self._address = urlsplit(url)
        self._path = path
        self._key = key
        self._rate = rate
        self.memory: list[dict[str, Any]] = []
        self.turns = 0

    async def greet(self, text: str, source: str = "greeting") -> Heard:
        """Have this very text voiced."""
        said = {"role": "assistant", "content": text, "turn_id": self.turns, "metadata": {"source": source}}
        self.memory.append(said)
        return await self._play(self.memory)

    async def ask(self, text: str, *, barge_in_ms: float | None = None, **params: Any) -> Heard:
        """A turn of the user's; with `barge_in_ms` the user interrupts when so much sound has been played."""
        self.turns += 1
        self.memory.append(
            {"role": "user", "content": text, "turn_id": self.turns, "metadata": {"source": "asr", "user": "1002"}}
        )
        heard = await self._play(self.memory, barge_in_ms, **params)
        metadata: dict[str, Any] = {"source": "llm"}
        content = heard.transcript
        if heard.interrupted_at_ms is not None:
            content = heard.spoken_by(heard.interrupted_at_ms)
            metadata |= {"interrupted": True, "original": heard.transcript}
        self.memory.append({"role": "assistant", "content": content, "turn_id": self.turns, "metadata": metadata})
        return heard

    async def _play(self, messages: list[dict[str, Any]], barge_in_ms: float | None = None, **params: Any) -> Heard:
        heard = Heard(self._rate, time.monotonic())
        body = {
            "messages": messages,
            "turn_id": self.turns,
            "timestamp": int(time.time() * 1000),
            "modalities": ["audio"],
            "audio": {"voice": "alloy", "format": "wav"},
            "stream": True,
            **params,
        }
        async with contextlib.aclosing(self._events(body, heard)) as events:
            while True:
                limit = None
                if barge_in_ms is not None and heard.arrivals:
                    limit = max(0.0, heard.arrivals[0][0] + barge_in_ms / 1000 - time.monotonic())
                try:
                    event = await asyncio.wait_for(anext(events), limit)
                except TimeoutError:
                    heard.interrupted_at_ms = barge_in_ms
                    return heard
                except StopAsyncIteration:
                    return heard
                _note(event, heard)

    async def _events(self, body: dict[str, Any], heard: Heard) -> AsyncIterator[bytes]:
        """The payloads of the events as they arrive. Leaving it early hangs up."""
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            content = json.dumps(body).encode()
            fields = {
                "Host": self._address.netloc,
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                "Connection": "close",
                **({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            heard.asked_at = time.monotonic()
            writer.write(f"POST {self._path} HTTP/1.1\r\n{head}\r\n".encode() + content)
            status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
            heard.status = int(status)
            if heard.status != 200:
                heard.body = await reader.read()
                return
            pending = b""
            while size := int(await reader.readline(), 16):
                pending += (await reader.readexactly(size + 2))[:-2]
                *frames, pending = pending.split(b"\n\n")
                for frame in frames:
                    if frame.startswith(b"data: "):
                        yield frame.removeprefix(b"data: ")
        finally:
            writer.close()


def _note(payload: bytes, heard: Heard) -> None:
    now = time.monotonic()
    assert not heard.is_done, "nothing may follow the end"
    if payload == b"[DONE]":
        heard.is_done = True
        return
    chunk = json.loads(payload)
    heard.chunks.append(chunk)
    for choice in chunk.get("choices", ()):
        audio = choice["delta"].get("audio") or {}
        if audio.get("transcript"):
            heard.transcripts.append(audio["transcript"])
        heard.words += audio.get("words", ())
        if audio.get("data"):
            pcm = base64.b64decode(audio["data"], validate=True)
            heard.pcm += pcm
            heard.arrivals.append((now, len(pcm)))
