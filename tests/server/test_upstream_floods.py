"""Upstreams and voices that send as fast as they can: what they keep the worker busy with costs other calls little.

A greenlet in the worker asks to be woken each millisecond. What counts is how much processor time the worker spends
between two of its wakings: unlike the time on the wall it does not depend on what else the machine does.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from exchange import AUDIO, CHAT, RAG
from fake_upstream import (
    DONE,
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    answer,
    chunk,
    chunks,
    event,
    head,
    http_chunk,
    text_chunk,
    whole,
)
from fake_voice import PCM_HEAD
from running_server import RunningServer, hooked, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

PROBE = """
import gevent, os, time
def probe():
    worst = before = 0.0
    while True:
        gevent.sleep(0.001)
        stretch = time.thread_time() - before
        if not os.path.exists({path!r}):
            worst = stretch = 0.0
        if stretch >= worst:
            worst = stretch
            with open({path!r}, "w") as file:
                file.write(str(worst))
        if not os.path.exists({path!r} + ".woken"):
            open({path!r} + ".woken", "w").close()
        before = time.thread_time()
gevent.spawn(probe)
"""
CALLERS = 12
SECONDS = 1.0
MAX_SECONDS = 0.04
"""Of processor time at a stretch. Today it is 4 to 13 ms, on a slow machine twice that."""
CONTENT = event(text_chunk("x", "word "))
BEGUN: list[Step] = [head(), event(chunk({"role": "assistant", "content": ""})), CONTENT]
WELL_ENDED: list[Step] = [CONTENT, event(chunks("")[-1]), event(DONE), END]
SILENT_CHUNK = b'data:{"choices":[]}\n\n'
TINY_CHUNK = b'data:{"choices":[{"delta":{"content":"a"}}]}\n\n'
BLOCK = 1 << 18


def block(unit: bytes) -> bytes:
    return unit * (BLOCK // len(unit))


def endless(unit: bytes, *before: Step, framed: bool = True) -> Callable[[Call], Iterator[Step]]:
    """A script that sends this again and again, after what is sent before it."""
    sent = http_chunk(block(unit)) if framed else block(unit)

    def script(_call: Call) -> Iterator[Step]:
        yield from before
        while True:
            yield sent

    return script


def held_back(_call: Call) -> Iterable[Step]:
    """As much as may come before the first word, all at once, and then a good answer."""
    return [head(), *[http_chunk(block(SILENT_CHUNK))] * 12, *WELL_ENDED]


FLOODS: dict[str, Callable[[Call], Iterable[Step]]] = {
    "comments": endless(b":\n", *BEGUN),
    "comments before the first word": endless(b":\n", head()),
    "empty events": endless(b"data:\n\n", *BEGUN),
    "empty lines": endless(b"\n", *BEGUN),
    "lines of an event": endless(b"data:\n", *BEGUN),
    "events without choices": endless(SILENT_CHUNK, *BEGUN),
    "words of one letter": endless(TINY_CHUNK, *BEGUN),
    "held back up to the first word": held_back,
    "chunks of one byte": endless(b"1\r\n\n\r\n", *BEGUN, framed=False),
    "a line in chunks of one byte": endless(b"1\r\nx\r\n", *BEGUN, framed=False),
    "headers": endless(b"a: b\r\n", b"HTTP/1.1 200 OK\r\n", framed=False),
    "interim answers": endless(b"HTTP/1.1 100 Continue\r\n\r\n", framed=False),
    "behind DONE": endless(b"1\r\n\n\r\n", head(), *WELL_ENDED[:-1], framed=False),
}


@pytest.fixture(scope="module")
def stretch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the longest stretch of the worker's, in seconds."""
    return tmp_path_factory.mktemp("probe") / "stretch"


@contextlib.contextmanager
def probed(stretch: Path, fake: FakeUpstream, **settings: str) -> Iterator[RunningServer]:
    env = {"LLM_BASE_URL": fake.base_url, "WAITING_MESSAGES": "Wait.", **settings}
    with running_server(env, argv=hooked(stretch.parent, PROBE.format(path=str(stretch)))) as server:
        yield server


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(stretch: Path, fake: FakeUpstream) -> Iterator[RunningServer]:
    with probed(stretch, fake) as server:
        yield server


def hear(server: RunningServer, path: str, body: dict[str, Any], until: float) -> None:
    """Ask again and again, and hear as fast as it comes."""
    while time.monotonic() < until:
        with contextlib.suppress(OSError), server.connect() as connection:
            connection.sendall(post(path, body, connection="close"))
            connection.settimeout(0.2)
            while time.monotonic() < until and connection.recv(1 << 20):
                pass


def longest(stretch: Path, server: RunningServer, path: str, **fields: Any) -> float:
    """The worker's longest stretch while so many callers hear what the upstream sends."""
    stretch.unlink(missing_ok=True)
    wait_until(stretch.exists)
    body = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": 0, **fields}
    until = time.monotonic() + SECONDS
    callers = [threading.Thread(target=hear, args=(server, path, body, until)) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    # However long it takes: a stretch that still goes on counts, too.
    woken = stretch.with_suffix(".woken")
    woken.unlink(missing_ok=True)
    wait_until(woken.exists, 60)
    return float(stretch.read_text())


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_an_upstreams_costs_other_calls_little(
    server: RunningServer, fake: FakeUpstream, stretch: Path, flood: str
) -> None:
    fake.script = FLOODS[flood]
    assert longest(stretch, server, CHAT) < MAX_SECONDS


@pytest.mark.parametrize(
    "flood", ["events without choices", "words of one letter", "held back up to the first word", "comments"]
)
def test_under_our_envelope_it_costs_no_more(
    server: RunningServer, fake: FakeUpstream, stretch: Path, flood: str
) -> None:
    fake.script = FLOODS[flood]
    assert longest(stretch, server, RAG) < MAX_SECONDS


def test_an_error_is_read_no_further_than_anybody_would(
    server: RunningServer, fake: FakeUpstream, stretch: Path
) -> None:
    nested = b",".join([b"[]"] * 4_000_000)
    error = b'{"error":{"message":"no","details":[' + nested + b"]}}"
    fake.script = lambda _call: whole(error, 400)
    assert longest(stretch, server, CHAT) < MAX_SECONDS

    body = {"messages": [{"role": "user", "content": "Are you open?"}]}
    refused = requests.post(server.url + CHAT, json=body, timeout=20)
    assert refused.status_code == 400
    assert refused.json()["detail"] == "no"


def test_a_flood_that_is_no_answer_is_silence(servers: Servers, upstream: FakeUpstream) -> None:
    server = servers(TTFT_TIMEOUT="0.5", IDLE_TIMEOUT="0.8")
    upstream.script = endless(b"a: b\r\n", *BEGUN, b"0\r\n", framed=False)
    with server.connect() as connection:
        connection.sendall(post(CHAT, {"messages": [{"role": "user", "content": "Are you open?"}]}, connection="close"))
        assert b"upstream_stalled" in receive_until(connection, b"no such bytes")


def test_a_flood_of_a_voice_costs_other_calls_little(fake: FakeUpstream, stretch: Path) -> None:
    def script(call: Call) -> Iterable[Step]:
        if not call.path.endswith("/speech"):
            return answer("Hello there.")
        return [head(200, PCM_HEAD), *[block(b"1\r\nx\r\n")] * 20, HANG]

    fake.script = script
    with probed(stretch, fake, AUDIO_MODE="speech", TTS_BASE_URL=fake.base_url) as server:
        assert longest(stretch, server, AUDIO) < MAX_SECONDS
