"""nginx and haproxy as docs/deploying.md configures them: words one by one, and callers who leave are noticed."""

import contextlib
import itertools
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_upstream import DONE, END, HANG, FakeUpstream, Step, answer, chunks, event, events
from running_server import ROOT, RunningServer, free_port, post, receive_until, running_server
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.row("RF-12")]
CHAT, RAG = "/chat/completions", "/rag/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "When are you open?"}], "stream": True}
PAGE = (ROOT / "docs" / "deploying.md").read_text()
WORDS = 20


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[RunningServer]:
    settings = {"LLM_BASE_URL": upstream.base_url, "WAITING_MESSAGES": "Let me look.", "TRUSTED_PROXIES": "1"}
    with running_server({**settings, "TTFT_TIMEOUT": "20", "PRECOMMIT_TIMEOUT": "20"}) as running:
        wait_until(lambda: '"passages"' in running.output())
        yield running


def configured(name: str, port: int, server: RunningServer) -> str:
    """Return the page's file for a proxy on `port` in front of the server."""
    (text,) = re.findall(rf"^```{name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for old, new in {"127.0.0.1:8080": f"127.0.0.1:{port}", "127.0.0.1:8000": f"127.0.0.1:{server.port}"}.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running_proxy(command: Sequence[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_listening(port) or process.poll() is not None)
            assert process.poll() is None, command
            yield
        finally:
            process.terminate()


def is_listening(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def nginx(server: RunningServer, folder: Path) -> Iterator[int]:
    port, file = free_port(), folder / "nginx.conf"
    # Its temporary files would be in a folder of the system's.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    file.write_text(configured("nginx", port, server).replace("http {", f"http {{ {places}"))
    with running_proxy(["nginx", "-p", str(folder), "-c", str(file), "-g", "daemon off;"], port):
        yield port


@contextlib.contextmanager
def haproxy(server: RunningServer, folder: Path) -> Iterator[int]:
    port, file = free_port(), folder / "haproxy.cfg"
    file.write_text(configured("haproxy", port, server))
    with running_proxy(["haproxy", "-f", str(file)], port):
        # It asks /ready before it sends anybody on.
        wait_until(lambda: b" 200 " in ask(port, b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        yield port


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return receive_until(connection, b"\r\n\r\n")


PROXIES = {"nginx": nginx, "haproxy": haproxy}


@pytest.fixture(scope="module", params=PROXIES)
def port(
    request: pytest.FixtureRequest, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy in front of the server."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    with PROXIES[request.param](server, tmp_path_factory.mktemp(request.param)) as port:
        yield port


@contextlib.contextmanager
def calling(port: int, path: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.2", 0)) as connection:
        connection.sendall(post(path, HELLO))
        yield connection


def test_each_word_arrives_before_the_next_is_made(upstream: FakeUpstream, port: int) -> None:
    go_on = [threading.Event() for _ in range(3)]
    first, *words, last = chunks("one two three")
    script: list[Step] = [*events([first])]
    for released, word in zip(go_on, words, strict=True):
        script += [event(word), released]
    upstream.script = [*script, event(last), event(DONE), END]
    with calling(port, CHAT) as connection:
        for released, word in zip(go_on, (b"one", b"two", b"three"), strict=True):
            assert word in receive_until(connection, word)
            released.set()
        assert b"[DONE]" in receive_until(connection, b"[DONE]")


def test_words_do_not_come_in_lumps(upstream: FakeUpstream, port: int) -> None:
    upstream.script = answer(" ".join(map(str, range(WORDS))), interval=0.03)
    received, moments = b"", []
    with calling(port, CHAT) as connection:
        while b"[DONE]" not in received:
            received += connection.recv(65536)
            moments.append(time.monotonic())
    # Three of them where haproxy waits for more (200 ms at a time).
    assert sum(later - earlier > 0.01 for earlier, later in itertools.pairwise(moments)) > WORDS / 2


def test_the_waiting_message_comes_before_the_answer(upstream: FakeUpstream, port: int) -> None:
    go_on = threading.Event()
    upstream.script = [go_on, *answer("Nine to six.")]
    with calling(port, RAG) as connection:
        assert b"Let me look." in receive_until(connection, b"look.")
        go_on.set()
        assert b"[DONE]" in receive_until(connection, b"[DONE]")


@pytest.mark.parametrize("script", [[HANG], [*events(chunks("Hello there")[:2]), HANG]], ids=["before", "within"])
def test_a_caller_who_leaves_is_noticed(upstream: FakeUpstream, port: int, script: list[Step]) -> None:
    upstream.script, asked = script, len(upstream.calls)
    with calling(port, CHAT) as connection:
        upstream.wait_for_calls(asked + 1)
        if len(script) > 1:
            receive_until(connection, b"Hello")
    upstream.wait_until(upstream.calls[asked].finished.is_set)
    assert upstream.calls[asked].outcome == "peer_left"


def test_the_callers_address_is_passed_on(server: RunningServer, upstream: FakeUpstream, port: int) -> None:
    upstream.script = answer("Hello")
    with calling(port, CHAT) as connection:
        head = receive_until(connection, b"[DONE]").lower()
    (request_id,) = re.findall(rb"x-request-id: (\S+)", head)
    end = server.wait_for_end(request_id.decode())
    assert (end["client"], end["client_by"]) == ("127.0.0.2", "proxy")
