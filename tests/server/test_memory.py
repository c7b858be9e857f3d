"""What a worker still holds when a turn is over, however it ended: nothing, without a garbage collection."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import requests
from fake_upstream import (
    DONE,
    END,
    HANG,
    FakeUpstream,
    Script,
    Step,
    answer,
    chunk,
    chunks,
    close,
    completion,
    event,
    events,
    head,
    refusal,
    whole,
)
from running_server import RunningServer, held_by, hooked, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
MIB = 1 << 20
TIMES = {"TTFT_TIMEOUT": "0.4", "PRECOMMIT_TIMEOUT": "1.5", "IDLE_TIMEOUT": "0.4", "STREAM_TIMEOUT": "2"}
SPEECH, RELAY, FALLBACK = {"AUDIO_MODE": "speech"}, {"AUDIO_MODE": "relay"}, {"FALLBACK_TEXT": "Sorry, say it again."}
NOBODY = "http://127.0.0.1:1/v1"

COUNTING = """
import collections, gc
from parley.speech.speech_stream import SpeechStream
from parley.turn_record import TurnRecord
from parley.turn import Turn
from parley.upstream.attempts import Attempts
from parley.wire.request import ChatRequest

def held():
    counts = collections.Counter(map(type, gc.get_objects()))
    return {kind.__name__: counts[kind] for kind in (Turn, ChatRequest, TurnRecord, Attempts, SpeechStream)}

worker.app.wsgi().add_url_rule("/held", "held", held)
gc.disable()
"""
"""A worker that collects no garbage, and tells how many objects of a turn there are."""

Ask = Callable[[RunningServer, FakeUpstream], None]


def said(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Where do you ship?"}], **fields}


def large(messages: int = 400, **fields: Any) -> dict[str, Any]:
    """A conversation of some 400 bytes a message."""
    turns = [{"role": "user", "content": f"{number} {'word ' * 80}"} for number in range(messages - 1)]
    return {"messages": [*turns, *said()["messages"]], **fields}


def asks(path: str, body: Any, **headers: str) -> Ask:
    """A caller who listens to the end."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()

    def ask(server: RunningServer, _: FakeUpstream) -> None:
        requests.post(server.url + path, sent, headers=headers, timeout=20)

    return ask


def leaves(path: str, body: Any, after: bytes | None = None) -> Ask:
    """A caller who leaves after these bytes, or else when the upstream has been asked."""

    def ask(server: RunningServer, upstream: FakeUpstream) -> None:
        calls = len(upstream.calls)
        with server.connect() as connection:
            connection.sendall(post(path, body))
            if after:
                assert after in receive_until(connection, after)
            else:
                upstream.wait_for_calls(calls + 1)

    return ask


class Ending(NamedTuple):
    """One way in which a turn ends; the second script is that of the fallback upstream."""

    script: Script
    ask: Ask
    settings: Mapping[str, str] = MappingProxyType({})
    second: Script = ()


GOOD, PART = answer("Hello there you"), events(chunks("Hello there you")[:3])
ERROR = refusal(500, {"message": "no"})
SOUND = event(chunk({"audio": {"id": "a", "data": "AAAA" * 8000, "transcript": "hi "}}))
SENTENCE = [*PART, event(chunk({"content": ". And"})), HANG]
"""Enough for the voice to begin."""
UPSTREAM: dict[str, Script] = {
    "answers": GOOD,
    "500": ERROR,
    "400": refusal(400, {"message": "no"}),
    "401": refusal(401, {"message": "no"}),
    "429": refusal(429, {"message": "no"}, {"retry-after-ms": "1"}),
    "says nothing": [HANG],
    "stalls": [*PART, HANG],
    "breaks off": [*PART, close],
    "closes at once": [close],
    "closes behind the head": [head(), close],
    "says DONE at once": [head(), event(DONE), END],
    "sends a page": whole(b"<html>", 200, {"content-type": "text/html"}),
    "reports an error": [*PART, event(b'{"error":{"message":"no"}}'), END],
    "says no word": [*events([chunk({}, "stop")]), event(DONE), END],
    "thinks alone": [*events([chunk({"reasoning": "Hmm"}), chunk({}, "length")]), event(DONE), END],
    "breaks off inside thoughts": [*events([chunk({"reasoning": "Hmm"})]), close],
    "sends no JSON": [*PART, event(b'{"cho'), END],
}


def text_endings(name: str, path: str, fields: dict[str, Any], outcomes: Iterable[str]) -> Iterator[tuple[str, Ending]]:
    """The endings of an answer in text."""
    for outcome in outcomes:
        yield f"{name}: upstream {outcome}", Ending(UPSTREAM[outcome], asks(path, said(**fields)))
    yield f"{name}: a large body", Ending(GOOD, asks(path, large(**fields)))
    for size, body in {"": said(**fields), " with a large body": large(**fields)}.items():
        yield f"{name}: left before the answer{size}", Ending([HANG], leaves(path, body))
        yield f"{name}: left inside the answer{size}", Ending([*PART, HANG], leaves(path, body, b"there"))
    yield f"{name}: nobody there", Ending(GOOD, asks(path, said(**fields)), {"LLM_BASE_URL": NOBODY})
    yield f"{name}: fallback text", Ending(ERROR, asks(path, said(**fields)), FALLBACK)
    yield f"{name}: fallback text inside", Ending([*PART, close], asks(path, said(**fields)), FALLBACK)
    spare = {"LLM_FALLBACKS": "second", "HEDGE_AFTER": "50"}
    yield (
        f"{name}: thoughts, then fallback text",
        Ending(UPSTREAM["thinks alone"], asks(path, said(**fields)), FALLBACK),
    )
    thinking = [*events([chunk({"reasoning": "Hmm"})]), HANG]
    yield f"{name}: left inside thoughts", Ending(thinking, leaves(path, said(**fields), b"Hmm"))
    yield f"{name}: held thoughts lost", Ending(thinking, asks(path, said(**fields)), spare, GOOD)
    yield f"{name}: held thoughts stall", Ending(thinking, asks(path, said(**fields)), spare, thinking)
    yield f"{name}: hedge lost", Ending([0.1, *GOOD], asks(path, said(**fields)), spare, [0.3, *GOOD])
    yield f"{name}: hedge won", Ending([0.3, *GOOD], asks(path, said(**fields)), spare, GOOD)
    yield f"{name}: both fail", Ending([0.1, *ERROR], asks(path, said(**fields)), spare, ERROR)
    yield f"{name}: left while two are asked", Ending([HANG], leaves(path, said(**fields)), spare, [HANG])


def json_endings(path: str) -> Iterator[tuple[str, Ending]]:
    """The endings of an answer in one piece."""
    for outcome, script in {
        "answers": completion("Hi"),
        "500": ERROR,
        "says nothing": [HANG],
        "says no word": completion(""),
    }.items():
        yield f"{path}: in one piece: upstream {outcome}", Ending(script, asks(path, said(stream=False)))
    yield f"{path}: in one piece: left", Ending([HANG], leaves(path, large(stream=False)))


def refusals(path: str) -> Iterator[tuple[str, Ending]]:
    """The endings of a request that is refused."""
    yield f"{path}: no JSON", Ending(GOOD, asks(path, b"{"))
    yield f"{path}: no JSON and large", Ending(GOOD, asks(path, b"{" + b" " * 100_000))
    yield f"{path}: no message", Ending(GOOD, asks(path, {"messages": 3}))
    yield f"{path}: too large", Ending(GOOD, asks(path, b" " * 3_000_000))
    yield f"{path}: no such knowledge", Ending(GOOD, asks(path, said(kb="none")))
    yield f"{path}: no key", Ending(GOOD, asks(path, said()), {"API_KEYS": "sk-callers-0123456789"})


def sound_endings() -> Iterator[tuple[str, Ending]]:
    """The endings of an answer in sound."""
    yield "recording: left", Ending(GOOD, leaves(AUDIO, large(), b'"data"'))
    for name, fields in {"speech": {}, "speech with knowledge": {"rag": True}}.items():
        yield f"{name}: said", Ending(answer("Yes."), asks(AUDIO, said(**fields)), SPEECH)
        yield f"{name}: left before the answer", Ending([HANG], leaves(AUDIO, said(**fields)), SPEECH)
        yield f"{name}: left inside the answer", Ending(SENTENCE, leaves(AUDIO, large(**fields), b'"data"'), SPEECH)
        for outcome in ("500", "breaks off"):
            ask = asks(AUDIO, said(**fields))
            yield f"{name}: upstream {outcome}", Ending(UPSTREAM[outcome], ask, SPEECH)
            yield f"{name}: upstream {outcome}, fallback text", Ending(UPSTREAM[outcome], ask, SPEECH | FALLBACK)
    yield "relayed sound: left", Ending([head(), SOUND, HANG], leaves(AUDIO, large(), b'"data"'), RELAY)
    yield "relayed sound: upstream breaks off", Ending([head(), SOUND, close], asks(AUDIO, said()), RELAY)


ENDINGS = {
    **dict(text_endings("chat", CHAT, {}, UPSTREAM)),
    **dict(text_endings("rag", RAG, {"waiting": "always"}, UPSTREAM)),
    **dict(text_endings("rag later", RAG, {"waiting": 100}, ("answers", "500", "says nothing", "breaks off"))),
    **dict(json_endings(CHAT)),
    **dict(json_endings(RAG)),
    **dict(refusals(CHAT)),
    **dict(refusals(RAG)),
    **dict(refusals(AUDIO)),
    **dict(sound_endings()),
}


@pytest.fixture(scope="module")
def second() -> Iterator[FakeUpstream]:
    """The fallback upstream."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def counting(
    upstream_url: str, second: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RunningServer]]:
    """Servers by their settings, with `COUNTING`."""
    running: dict[str, RunningServer] = {}
    argv = hooked(tmp_path_factory.mktemp("hooked"), COUNTING)
    usual = {"LLM_BASE_URL": upstream_url, "LLM_API_KEY": "sk-ours-0123456789abcdef", **TIMES}
    fallbacks = json.dumps([{"base_url": second.base_url, "api_key": "sk-second-0123456789", "model": "m"}])
    with contextlib.ExitStack() as stack:

        def server(**settings: str) -> RunningServer:
            if "LLM_FALLBACKS" in settings:
                settings["LLM_FALLBACKS"] = fallbacks
            key = json.dumps(settings, sort_keys=True)
            if key not in running:
                running[key] = stack.enter_context(running_server({**usual, **settings}, argv=argv))
            return running[key]

        yield server


def held(server: RunningServer) -> dict[str, int]:
    found: dict[str, int] = requests.get(f"{server.url}/held", timeout=20).json()
    return found


@pytest.mark.parametrize("name", ENDINGS)
def test_a_turn_that_is_over_holds_no_memory(
    name: str, counting: Callable[..., RunningServer], upstream: FakeUpstream, second: FakeUpstream
) -> None:
    ending = ENDINGS[name]
    server = counting(**ending.settings)
    upstream.script, second.script = ending.script, ending.second
    before = held(server)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ending.ask(server, upstream), range(3)))
    # Where turns end: a little later for what they left aside.
    wait_until(lambda: held(server) == before, timeout=5, tell=lambda: f"{before} became {held(server)}")


@pytest.mark.parametrize("path", [CHAT, RAG, AUDIO])
def test_a_body_is_not_held_for_as_long_as_its_answer(
    path: str, counting: Callable[..., RunningServer], upstream: FakeUpstream
) -> None:
    server = counting(**(SPEECH if path == AUDIO else {}), IDLE_TIMEOUT="20", STREAM_TIMEOUT="20")
    upstream.script = SENTENCE
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in connections:
            connection.sendall(post(path, large()))
            receive_until(connection, b'"data"' if path == AUDIO else b"there")
        assert held(server)["Turn"] == 3 and held(server)["ChatRequest"] == 0


def test_who_leaves_while_a_large_body_waits_is_let_go(
    counting: Callable[..., RunningServer], upstream: FakeUpstream, tmp_path: Path
) -> None:
    blocked = COUNTING + (
        "from parley import concurrency\n"
        "import gevent.monkey\n"
        "begun = gevent.monkey.get_original('threading', 'Event')()\n"
        "concurrency._large_work().spawn(begun.wait)\n"
        "worker.app.wsgi().add_url_rule('/begin', 'begin', lambda: begun.set() or 'begun')\n"
    )
    env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-ours-0123456789abcdef"}
    with running_server(env, argv=hooked(tmp_path, blocked)) as server:
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(server.connect()) for _ in range(8)]
            for number, connection in enumerate(connections):
                connection.sendall(post(CHAT, large(), x_request_id=f"waits-{number}"))
            wait_until(lambda: held(server)["Turn"] == 8)
        # Nothing of theirs has been worked on, and nothing has to be.
        assert {server.wait_for_end(f"waits-{number}")["outcome"] for number in range(8)} == {"client_closed"}
        assert (held(server)["Turn"], held(server)["ChatRequest"]) == (0, 0)
        requests.get(f"{server.url}/begin", timeout=20)
        assert requests.post(f"{server.url}{CHAT}", json=large(), timeout=20).status_code == 200
    assert len(upstream.calls) == 1


def test_who_leaves_while_a_large_body_arrives_is_let_go(
    counting: Callable[..., RunningServer], upstream: FakeUpstream
) -> None:
    server, request = counting(), post(CHAT, large(4096), x_request_id="arrives")
    # The turns of an earlier test may just be ending.
    wait_until(lambda: held(server)["Turn"] == 0)
    with server.connect() as connection:
        connection.sendall(request[: len(request) // 2])
        wait_until(lambda: held(server)["Turn"] == 1)
    assert server.wait_for_end("arrives")["outcome"] == "client_closed"
    wait_until(lambda: (held(server)["Turn"], held(server)["ChatRequest"]) == (0, 0))
    assert upstream.calls == []


def test_an_outage_of_300_turns_leaves_less_than_a_mib(
    counting: Callable[..., RunningServer], upstream: FakeUpstream
) -> None:
    server = counting()
    upstream.script = ERROR

    def fail(count: int) -> int:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: asks(RAG, said())(server, upstream), range(count)))
        return held_by(*server.worker_pids()).rss_bytes

    before = fail(100)  # what a first crowd costs once
    grown = fail(300) - before
    print(f"\n{grown / 300 / 1024:.1f} KiB a failed turn")
    assert grown < MIB


@pytest.mark.parametrize("stay", [True, False], ids=["who stay", "who leave"])
def test_twelve_callers_with_large_bodies_cost_others_little(
    counting: Callable[..., RunningServer], upstream: FakeUpstream, stay: bool
) -> None:
    server = counting(IDLE_TIMEOUT="20", STREAM_TIMEOUT="60")
    (worker,) = server.worker_pids()
    word = event(chunk({"content": "word "}))
    others: list[Step] = GOOD if stay else [HANG]
    upstream.script = lambda call: [*PART, *([0.02, word] * 3000)] if len(call.body) < 1000 else others
    request = post(RAG, large(4096, waiting="always"), connection="close")
    over, most, gaps = threading.Event(), 0, []

    def ask() -> None:
        while not over.is_set():
            with server.connect() as connection:
                connection.sendall(request)
                receive_until(connection, b"[DONE]" if stay else b"assistant")

    with server.connect() as stream, ThreadPoolExecutor(12) as pool:
        stream.sendall(post(CHAT, said()))
        receive_until(stream, b"there")
        asking = [pool.submit(ask) for _ in range(12)]
        last = time.monotonic()
        until = last + 4
        while last < until:
            assert stream.recv(1 << 16)
            now = time.monotonic()
            gaps.append(now - last)
            last, most = now, max(most, held_by(worker).rss_bytes)
        over.set()
        for asked in asking:
            asked.result()
    print(f"\nat most {most / MIB:.0f} MiB, gaps of {max(gaps) * 1000:.0f} ms at most, {len(gaps)} of them")
    assert most < 250 * MIB
    assert max(gaps) < 1
