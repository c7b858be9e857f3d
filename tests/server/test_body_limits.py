"""Bodies at and above the limits, and hostile ones beside other streams."""

import gzip
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from exchange import CHAT, ROUTES, Answer, Caller, ask_once, check_error
from fake_upstream import DONE, END, FakeUpstream, Step, chunks, event, head, text_chunk
from heard import says
from plain_http import HELLO, check_refusal, send, send_bytes
from running_server import RunningServer, hooked, post, running_server

pytestmark = pytest.mark.server

MIB = 1 << 20
LIMIT = 2 * MIB
JSON = json.dumps(HELLO).encode()
V1 = ("/v1/chat/completions", "/v1/rag/chat/completions", "/v1/audio/chat/completions")
HELD_MS = 300
"""Ten times what the longest hold of a worker may be on an idle machine."""

TICKS = """
import gevent, time
def tick():
    last = time.monotonic()
    while True:
        gevent.sleep(0.001)
        now = time.monotonic()
        if now - last > 0.01:
            print(f"held {1000 * (now - last):.1f} ms", flush=True)
        last = now
gevent.spawn(tick)
"""
"""Says how long nothing else could run in the worker."""


@pytest.fixture
def server(single: RunningServer, first: FakeUpstream) -> RunningServer:
    """The server; its upstream answers in the form that is asked for."""
    first.script = says("Hello there")
    return single


def filled(before: bytes, unit: bytes, after: bytes, size: int = LIMIT) -> bytes:
    """A body as large as may be: so many units between the two."""
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def field(unit: bytes, begin: bytes = b"[", end: bytes = b"0]") -> bytes:
    return filled(JSON[:-1] + b',"x":' + begin, unit, end + b"}")


def conversation(count: int, size: int) -> bytes:
    return json.dumps({**HELLO, "messages": [{"role": "user", "content": "w" * size}] * count}).encode()


HOSTILE: dict[str, tuple[Callable[[], bytes], int]] = {
    "1.8 MiB in 5 000 messages": (lambda: conversation(5000, 340), 400),
    "1.8 MiB in 4 096 messages": (lambda: conversation(4096, 420), 200),
    "1.8 MiB in one message": (lambda: conversation(1, 1_880_000), 200),
    "open brackets": (lambda: b"[" * LIMIT, 400),
    "closed brackets": (lambda: b"[" * MIB + b"]" * MIB, 400),
    "brackets in a string": (lambda: field(b"[", b'"', b'"'), 200),
    "empty lists": (lambda: field(b"[],"), 400),
    "objects": (lambda: field(b'{"a":1},'), 400),
    "zeros": (lambda: field(b"0,"), 400),
    "floats": (lambda: field(b"1.5,"), 400),
    "integers of 4 300 digits": (lambda: field(b"9" * 4300 + b","), 200),
    "a float of two million digits": (lambda: field(b"1", b"0.", b""), 200),
    "NaN at the end": (lambda: field(b"9" * 40 + b",", end=b"NaN]"), 400),
    "a hundred thousand names": (lambda: field(b'"a":0,', b"{", b'"a":0}'), 400),
    "escapes": (lambda: field(b"\\n", b'"', b'"'), 200),
    "surrogates": (lambda: field(b"\\ud83d\\ude00", b'"', b'"'), 200),
    "a lone surrogate at the end": (lambda: field(b"\\ud83d\\ude00", b'"', b'\\ud83d"'), 400),
    "backslashes": (lambda: field(b"\\\\", b'"', b'\\"'), 400),
    "quotes": (lambda: field(b'"', b"", b""), 400),
    "spaces": (lambda: field(b" ", b"", b"0"), 200),
    "not UTF-8 at the end": (lambda: field(b"x", b'"', b'\xff"'), 400),
}


@pytest.fixture(scope="module")
def ticking(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that says when its worker was held, which never loses patience."""
    argv = hooked(tmp_path_factory.mktemp("ticking"), TICKS)
    with running_server({"LLM_BASE_URL": upstream_url}, argv=argv) as running:
        yield running
        assert "Traceback" not in running.output()


def longest_hold(server: RunningServer, act: Callable[[], Any]) -> float:
    """Milliseconds for which the worker could do nothing else meanwhile, at the longest; below ten counts as none."""
    offset = len(server.output())
    act()
    with Caller(server) as caller:
        caller.check_in_step()
    held = re.findall(r"^held (\S+) ms$", server.output()[offset:], re.MULTILINE)
    return max(map(float, held), default=0.0)


@pytest.mark.row("IN-14")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_large_body_holds_up_no_other_stream(ticking: RunningServer, first: FakeUpstream, name: str) -> None:
    make, status = HOSTILE[name]
    body = make()
    first.script = says("Hello there")
    assert 1.75 * MIB < len(body) <= LIMIT
    for route in V1:
        answers: list[Answer] = []
        held = longest_hold(ticking, lambda: answers.append(ask_once(ticking, post(route, body))))  # noqa: B023 - called at once
        print(f"\n{name}, {route}: held {held} ms", end="")
        (answer,) = answers
        assert answer.status == status and held < HELD_MS
        if status != 200:
            error = answer.json["error"]
            assert check_error(answer, 400, error["code"], error["param"])


@pytest.mark.row("IN-14")
def test_more_than_4096_messages_are_refused(server: RunningServer, first: FakeUpstream) -> None:
    for route in ROUTES:
        answer = ask_once(server, post(route, conversation(4097, 1)))
        assert "4096" in check_error(answer, 400, "invalid_value", "messages")
    assert first.calls == []
    assert ask_once(server, post(CHAT, conversation(4096, 1))).status == 200


@pytest.mark.row("IN-14")
def test_more_than_100_000_values_are_refused(server: RunningServer, first: FakeUpstream) -> None:
    for route in ROUTES:
        answer = ask_once(server, post(route, field(b"0,")))
        assert "100000 values" in check_error(answer, 400, "invalid_json")
    assert first.calls == []


def in_chunks(body: bytes, size: int, path: str = CHAT) -> bytes:
    """A request whose body comes in chunks of this size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    start = f"POST {path} HTTP/1.1\r\nhost: parley\r\ntransfer-encoding: chunked\r\n\r\n"
    return start.encode() + framed + b"0\r\n\r\n"


def hammer(server: RunningServer, request: bytes) -> Answer:
    """The answer, for a client who sends all before it listens; as much as it may."""
    with Caller(server) as caller:
        try:
            return caller.ask(request)
        except OSError:
            return caller.answer()


@pytest.mark.row("IN-14")
@pytest.mark.parametrize(
    ("make", "statuses"),
    [
        (lambda: in_chunks(JSON.ljust(LIMIT // 8), 1), {200}),
        (lambda: in_chunks(JSON.ljust(LIMIT), LIMIT), {200}),
        (lambda: post(CHAT, b" " * 200 * MIB), {413, 0}),
        (lambda: post("/nowhere", b" " * 200 * MIB), {404, 0}),
        (lambda: in_chunks(b" " * 200 * MIB, 10 * MIB), {413, 0}),
    ],
    ids=["chunks of one byte", "one chunk", "200 MiB", "200 MiB to nowhere", "200 MiB in chunks"],
)
def test_a_large_body_sent_in_any_way_holds_up_no_stream(
    ticking: RunningServer, first: FakeUpstream, make: Callable[[], bytes], statuses: set[int]
) -> None:
    request, answers = make(), list[Answer]()
    held = longest_hold(ticking, lambda: answers.append(hammer(ticking, request)))
    print(f"\nheld {held} ms", end="")
    assert answers[0].status in statuses and held < HELD_MS


def counting(stop: threading.Event) -> Iterator[Step]:
    """A stream of a hundred words a second, until told to end."""
    yield head()
    while not stop.is_set():
        yield event(text_chunk("x", "and "))
        yield 0.01
    yield event(chunks("")[-1]) + event(DONE) + END


@pytest.mark.row("LM-04")
def test_hostile_bodies_hold_up_no_other_stream(ticking: RunningServer, first: FakeUpstream) -> None:
    stop, times = threading.Event(), []
    first.enqueue(lambda call: counting(stop))
    with ticking.connect() as connection:
        connection.sendall(post(CHAT, HELLO))

        def listen() -> None:
            while b"[DONE]" not in connection.recv(65536):
                times.append(time.monotonic())

        listener = threading.Thread(target=listen)
        listener.start()
        first.wait_for_calls(1)
        for make, _ in HOSTILE.values():
            ask_once(ticking, post("/v1/chat/completions", make()))
        stop.set()
        listener.join(20)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    print(f"\n{len(gaps)} gaps, the largest {1000 * max(gaps):.0f} ms", end="")
    assert not listener.is_alive() and len(gaps) > 10 and max(gaps) < 1


@pytest.mark.row("IN-15")
def test_a_body_announced_too_large_is_refused_before_it_comes(server: RunningServer, first: FakeUpstream) -> None:
    for route in ROUTES:
        with Caller(server) as caller:
            answer = caller.ask(post(route, b"", content_length="10000000"))
            assert str(LIMIT) in check_error(answer, 413, "request_too_large")
            caller.connection.sendall(b" " * 10_000_000)
            caller.check_in_step()
    assert first.calls == []


@pytest.mark.row("IN-15")
@pytest.mark.parametrize("wish", ["keep-alive", "close"])
def test_a_client_that_sends_it_all_first_sees_the_refusal(server: RunningServer, wish: str) -> None:
    for route in ROUTES:
        with Caller(server) as caller:
            check_error(caller.ask(post(route, b" " * 10_000_000, connection=wish)), 413, "request_too_large")
            assert wish != "close" or caller.is_closed()
            if wish == "keep-alive":
                caller.check_in_step()


@pytest.mark.row("IN-16")
@pytest.mark.parametrize("size", [100, 1000, 100_000, LIMIT + 1], ids=lambda size: f"chunks of {size}")
def test_a_chunked_body_is_never_cut_to_the_limit(server: RunningServer, first: FakeUpstream, size: int) -> None:
    body = JSON.ljust(LIMIT + 1)
    for route in ROUTES:
        check_error(ask_once(server, in_chunks(body, size, route)), 413, "request_too_large")
    assert first.calls == []
    assert ask_once(server, in_chunks(body[:-1], size)).status == 200


@pytest.mark.row("IN-17")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP", "x"])
def test_a_compressed_body_is_refused_unread(server: RunningServer, first: FakeUpstream, encoding: str) -> None:
    for route in ROUTES:
        answer = ask_once(server, post(route, gzip.compress(JSON.ljust(LIMIT)), content_encoding=encoding))
        assert "Content-Encoding" in check_error(answer, 415, "unsupported_encoding")
    assert first.calls == []


Servers = Callable[..., RunningServer]
SMALL = {"MAX_STREAMS": "1", "MAX_BODY": "4096"}


@pytest.fixture
def small(upstream: FakeUpstream, servers: Servers) -> RunningServer:
    """A server with one place, for small bodies."""
    return servers(**SMALL)


def with_messages(rest: bytes = b"") -> bytes:
    return b'{"messages":[{"role":"user","content":"Are you open?"}]' + rest + b"}"


def test_a_body_above_the_limit_is_refused_however_it_is_framed(small: RunningServer, upstream: FakeUpstream) -> None:
    largest = with_messages().ljust(4096)
    assert send(small, largest).status_code == 200 and len(upstream.calls) == 1
    for body in (largest + b" ", largest.ljust(5_000_000), iter([largest, b" "]), iter([largest] * 1000)):
        check_refusal(send(small, body), 413, "request_too_large")
    assert send(small, iter([largest])).status_code == 200 and len(upstream.calls) == 2


def test_an_announced_size_above_the_limit_is_refused_unread(small: RunningServer) -> None:
    answered, _ = send_bytes(small, post("/chat/completions", b"", content_length="10000000"))
    assert answered.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_a_compressed_body_is_refused(server: RunningServer, encoding: str) -> None:
    check_refusal(
        send(server, gzip.compress(with_messages()), **{"content-encoding": encoding}), 415, "unsupported_encoding"
    )
