"""A server on a Unix socket: calls, requests sent ahead, and callers who leave."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_upstream import DONE, END, FakeUpstream, answer, chunks, event, events
from running_server import RunningServer, post, receive_until, running_server

pytestmark = [pytest.mark.server, pytest.mark.row("RF-27")]
CHAT, RAG = "/chat/completions", "/v1/rag/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": True}
AHEAD = {
    "nothing": b"",
    "part": b"GET /hea",
    "whole": b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
    "call": post(CHAT, HELLO),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("socket") / "s"


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream, path: Path) -> Iterator[RunningServer]:
    settings = {"LLM_BASE_URL": upstream.base_url, "WAITING": "off", "IDLE_TIMEOUT": "30"}
    with running_server(settings, argv=("-b", f"unix:{path}")) as running:
        yield running


@pytest.fixture
def call(server: RunningServer, path: Path) -> Iterator[socket.socket]:
    """A connection to the Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(9)
        connection.connect(str(path))
        yield connection


@pytest.mark.parametrize("route", [CHAT, RAG])
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_request_sent_ahead_cuts_no_stream(
    upstream: FakeUpstream, call: socket.socket, ahead: str, route: str
) -> None:
    go_on = threading.Event()
    first, *rest = chunks("Hello there")
    upstream.script = answer("Again")
    upstream.enqueue([*events([first, *rest[:1]]), go_on, *map(event, rest[1:]), event(DONE), END])
    call.sendall(post(route, HELLO))
    heard = receive_until(call, b"Hello")
    call.sendall(AHEAD[ahead])
    # Longer than the connection's state is polled; a stream that is cut ends here.
    call.settimeout(0.3)
    with pytest.raises(TimeoutError):
        call.recv(1)
    call.settimeout(20)
    go_on.set()
    heard += receive_until(call, b"0\r\n\r\n")
    assert b"data: [DONE]" in heard
    if ahead == "call" and b"Again" not in heard:
        # Its answer, before the next test says what the upstream answers.
        receive_until(call, b"Again")
    upstream.wait_until(lambda: upstream.open_calls == 0)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_caller_who_leaves_is_noticed(upstream: FakeUpstream, call: socket.socket, ahead: str) -> None:
    asked = len(upstream.calls)
    upstream.enqueue([*events(chunks("Hello there")[:2]), threading.Event()])
    call.sendall(post(CHAT, HELLO))
    receive_until(call, b"Hello")
    call.sendall(AHEAD[ahead])
    call.close()
    upstream.wait_for_calls(asked + 1)
    upstream.wait_until(lambda: upstream.open_calls == 0)
    assert upstream.calls[asked].outcome == "peer_left"
