"""Hostile connections: peers without a key that flood, stall, trickle or never read, for tests and measuring tools.

    with Strangers(server.port, ["pipelined_health"], count=100, seconds=10) as strangers:
        ...                              # calls beside them
    assert strangers.tally.answers > 0

They run in a process of their own, so that neither their CPU time nor their event loop is the caller's. A shape in
`SHAPES` does its work on one open connection until the server closes it; then the stranger connects again. Every
connection, loop and process is bounded in count and time.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import json
import random
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

CONNECT_SECONDS = 5.0
BEGIN_SECONDS = 60.0
MOST_SECONDS = 3600.0
MOST_CONNECTIONS = 1_000_000
"""Connections that all strangers of one process make together at most."""
MOST_ROUNDS = 100_000
"""Rounds of writing on one connection at most."""
BATCH = 50
"""Requests in one write of those that send ahead."""
TRICKLE_SECONDS = 0.2
LARGE_MESSAGES = 4096
LEAVE_SECONDS = 0.3
"""Time within which those leave who send a large body."""
READ_BYTES = 1 << 16


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a request as bytes, with a Content-Length where it has a body."""
    lines = [f"{method} {path} HTTP/1.1", "host: x", *headers, *([f"content-length: {len(body)}"] if body else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


QUESTION = b'{"messages":[{"role":"user","content":"Are you open?"}],"stream":true}'
HEALTH = request("GET", "/health")
WITHOUT_KEY = request("POST", "/chat/completions", body=QUESTION)
NOT_FOUND = request("GET", "/nowhere")
ROOT = request("HEAD", "/") + request("GET", "/")
LARGE_BODY = b" " * 4096
CHUNKED = ("transfer-encoding: chunked", "content-type: application/json")
IN_CHUNKS = request("POST", "/chat/completions", *CHUNKED) + b"1000\r\n%b\r\n0\r\n\r\n" % LARGE_BODY
WITH_BODIES = request("POST", "/nowhere", body=LARGE_BODY) + IN_CHUNKS
HALF_HEAD = b"POST /chat/completions HTTP/1.1\r\nhost: x\r\nauthoriz"
CHUNKS_BEGIN = request("POST", "/chat/completions", *CHUNKED)
ONE_BYTE_CHUNKS = b"1\r\nx\r\n" * 2000


@dataclasses.dataclass
class Tally:
    """Counts of one process of strangers."""

    connections: int = 0
    unreachable: int = 0
    """Attempts to connect that failed or took longer than CONNECT_SECONDS."""
    closed: int = 0
    """Connections that the server closed."""
    standing: int = 0
    """Connections open at the end."""
    answers: int = 0
    bytes_sent: int = 0


class Line:
    """One open connection of a stranger."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally) -> None:
        self.reader = reader
        self.writer = writer
        self.tally = tally

    async def send(self, data: bytes) -> None:
        """Write, and wait until the server has taken nearly all of it. Raises OSError once the connection is closed."""
        self.writer.write(data)
        self.tally.bytes_sent += len(data)
        await self.writer.drain()

    async def discard(self) -> None:
        """Read away what is answered, up to the connection's end."""
        while data := await self.reader.read(READ_BYTES):
            self.tally.answers += data.count(b"HTTP/1.1 ")

    async def repeat(self, data: bytes, pause: float = 0.0) -> None:
        """Send the same bytes again and again, and read what is answered, until the server closes."""
        reading = asyncio.create_task(self.discard())
        try:
            for _ in range(MOST_ROUNDS):
                await self.send(data)
                await asyncio.sleep(pause)
                if reading.done():
                    return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


Shape = Callable[[Line], Awaitable[None]]


def repeated(data: bytes, first: bytes = b"", pause: float = 0.0) -> Shape:
    """Return the shape that sends `first`, then `data` over and over."""

    async def shape(line: Line) -> None:
        await line.send(first)
        await line.repeat(data, pause)

    return shape


def silent(first: bytes = b"") -> Shape:
    """Return the shape that sends `first` and then waits for the server to close."""

    async def shape(line: Line) -> None:
        await line.send(first)
        await line.discard()

    return shape


async def trickled_head(line: Line) -> None:
    """Send a head byte by byte, never its end."""
    reading = asyncio.create_task(line.discard())
    try:
        for at in range(MOST_ROUNDS):
            await line.send(HALF_HEAD[at : at + 1] or b"x")
            await asyncio.sleep(TRICKLE_SECONDS)
            if reading.done():
                return
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def deaf(line: Line) -> None:
    """Send requests ahead and never read an answer."""
    line.writer.transport.pause_reading()  # type: ignore[attr-defined] - a transport that reads
    for _ in range(MOST_ROUNDS):
        await line.send(HEALTH * BATCH)


async def alternating(line: Line) -> None:
    """Ask well and badly in turn, each once the one before has been answered."""
    for number in range(MOST_ROUNDS):
        await line.send(NOT_FOUND if number % 2 else HEALTH)
        if not (data := await line.reader.read(READ_BYTES)):
            return
        line.tally.answers += data.count(b"HTTP/1.1 ")


async def reconnecting(line: Line) -> None:
    """Ask once without a key, read the answer and go."""
    await line.send(WITHOUT_KEY)
    line.tally.answers += bool(await line.reader.read(READ_BYTES))


@functools.cache
def large_body() -> bytes:
    """Return a request of 1.8 MB for /rag: as many messages as are accepted, each of 440 bytes, in a conversation."""
    sentence = b"Could you tell me when the workshop on the harbour is open, and what a tune-up of my bicycle costs? "
    roles = (b"user", b"assistant")
    message = b'{"role":"%b","content":"%b"}'
    said = b",".join(message % (roles[number % 2 == 0], sentence * 4) for number in range(LARGE_MESSAGES))
    content = b'{"stream":true,"waiting":"off","messages":[%b]}' % said
    return request("POST", "/rag/chat/completions", "connection: close", body=content)


async def large_bodies(line: Line) -> None:
    """Send a large body, and read the answer to its end."""
    await line.send(large_body())
    await line.discard()


async def large_bodies_left(line: Line) -> None:
    """Send a large body, and leave before or inside the answer."""
    await line.send(large_body())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(random.uniform(0, LEAVE_SECONDS)):
            await line.discard()


def client_hello() -> bytes:
    """Return the first bytes of a TLS handshake."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


PIPELINING: dict[str, Shape] = {
    "pipelined_health": repeated(HEALTH * BATCH),
    "pipelined_without_key": repeated(WITHOUT_KEY * BATCH),
    "pipelined_not_found": repeated(NOT_FOUND * BATCH),
    "pipelined_root": repeated(ROOT * BATCH),
    "pipelined_bodies": repeated(WITH_BODIES * 10),
}
SILENT: dict[str, Shape] = {
    "half_head": silent(HALF_HEAD),
    "trickled_head": trickled_head,
    "nothing": silent(),
    "tls_hello": silent(client_hello()),
}
BEHIND_REFUSALS: dict[str, Shape] = {
    "one_byte_chunks": repeated(ONE_BYTE_CHUNKS, CHUNKS_BEGIN),
    "chunk_extensions": repeated(b"y" * 4096, CHUNKS_BEGIN + b"1;x="),
    "extended_chunks": repeated(b"1;a=b\r\nx\r\n" * 2000, CHUNKS_BEGIN),
    "endless_trailers": repeated(b"x-trailer: 1\r\n" * 500, CHUNKS_BEGIN + b"1\r\nx\r\n0\r\n"),
    "unfinished_body": silent(request("POST", "/chat/completions", "content-length: 5000") + b"{"),
    "trickled_body": repeated(b" ", request("POST", "/chat/completions", "content-length: 5000"), TRICKLE_SECONDS),
}
OTHERS: dict[str, Shape] = {
    "endless_head": repeated(b"x-more: " + b"y" * 1000 + b"\r\n", b"GET /health HTTP/1.1\r\nhost: x\r\n"),
    "endless_line": repeated(b"y" * 4096, b"GET /"),
    "reconnecting": reconnecting,
    "deaf": deaf,
    "alternating": alternating,
}
LARGE: dict[str, Shape] = {"large_bodies": large_bodies, "large_bodies_left": large_bodies_left}
"""Work for a server that asks for no key; a refused upload for one that does."""
SHAPES: dict[str, Shape] = {**PIPELINING, **SILENT, **BEHIND_REFUSALS, **OTHERS, **LARGE}
PAUSES = dict.fromkeys(SILENT, 5.0)
"""Seconds before a stranger whose connection was closed comes again, where it isn't at once."""


class Attack:
    """All strangers of one process."""

    def __init__(self, port: int, kinds: Sequence[str], seconds: float, seed: int = 1) -> None:
        self._port = port
        self._kinds = kinds
        self._until = time.monotonic() + min(seconds, MOST_SECONDS)
        self._chance = random.Random(seed)
        self._begun = 0
        self._is_over = False
        self.tally = Tally()
        self.all_begun = asyncio.Event()

    async def run(self, count: int, ended: asyncio.Event) -> Tally:
        """Let `count` strangers connect again and again until the time is over or `ended` is set."""
        strangers = [asyncio.create_task(self._stranger(number, count)) for number in range(count)]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), self._until - time.monotonic())
        tally = dataclasses.replace(self.tally)
        self._is_over = True
        for task in strangers:
            task.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        return tally

    async def _stranger(self, number: int, count: int) -> None:
        kind = self._kinds[number % len(self._kinds)]
        await self._connection(SHAPES[kind], lambda: self._count_begun(count))
        while not self._is_over and self.tally.connections < MOST_CONNECTIONS:
            await asyncio.sleep(PAUSES.get(kind, 0.0) * self._chance.uniform(0.5, 1.0))
            await self._connection(SHAPES[kind], lambda: None)

    def _count_begun(self, count: int) -> None:
        self._begun += 1
        if self._begun == count:
            self.all_begun.set()

    async def _connection(self, shape: Shape, begun: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, TimeoutError):
            self.tally.unreachable += 1
            return
        finally:
            begun()
        self.tally.connections += 1
        self.tally.standing += 1
        try:
            await shape(Line(reader, writer, self.tally))
            self.tally.closed += 1
        except (OSError, EOFError):
            self.tally.closed += 1
        finally:
            self.tally.standing -= 1
            writer.transport.abort()


class Strangers:
    """A process of strangers, for the length of a `with` block; `tally` is known at its end.

    `nice` lowers their priority: strangers come from other machines, and should not take this one's cores from the
    server and from what measures it.
    """

    def __init__(self, port: int, kinds: Sequence[str], count: int, seconds: float, *, nice: int = 0) -> None:
        options = ["--port", str(port), "--count", str(count), "--seconds", str(seconds)]
        self._command = ["nice", "-n", str(nice), sys.executable, __file__, *options, *kinds]
        self.tally = Tally()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "begun\n":
            self.__exit__()
            raise RuntimeError("the strangers did not begin")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            printed, _stderr = self._process.communicate(timeout=30)  # closes its stdin, which ends it
            self.tally = Tally(**json.loads(printed or "{}"))
        finally:
            self._process.kill()
            self._process.wait()


async def attack(options: argparse.Namespace) -> Tally:
    """Attack until the time is over, or until standard input is closed."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    running = Attack(options.port, options.kinds or sorted(SHAPES), options.seconds)
    task = asyncio.create_task(running.run(options.count, ended))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(running.all_begun.wait(), min(BEGIN_SECONDS, options.seconds))
    print("begun", flush=True)
    return await task


def main() -> int:
    """Read the command line, attack, and print the tally as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[[], *sorted(SHAPES)], help="default: all in turn")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = options.count + 100 if hard == resource.RLIM_INFINITY else min(hard, options.count + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    print(json.dumps(dataclasses.asdict(asyncio.run(attack(options)))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
