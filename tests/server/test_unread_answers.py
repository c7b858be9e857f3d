"""Callers who ask for an answer in one piece and do not read it: each holds its place until it has been written."""

import contextlib
import json
import socket
import wave
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, completion
from running_server import RunningServer, post, running_server
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.row("RF-23")]
CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/v1/rag/chat/completions", "/audio/chat/completions")
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": False, "waiting": "off"}
PLACES = 3
LARGE = "Hello there. " * 250_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = completion(LARGE)
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with few places, whose only recording is as long as a large answer."""
    folder = tmp_path_factory.mktemp("audio")
    with wave.open(str(folder / "default.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48_000)
        sound.writeframes(bytes(48_000 * 2 * 40))
    (folder / "default.txt").write_text("Silence.")
    settings = {"LLM_BASE_URL": upstream.base_url, "AUDIO_DIR": str(folder), "AUDIO_SAMPLE_RATE": "48000"}
    with running_server({**settings, "MAX_STREAMS": str(PLACES)}) as running:
        yield running


@contextlib.contextmanager
def unread(server: RunningServer, path: str) -> Iterator[socket.socket]:
    """A call whose answer begins to come, and is not read on."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(post(path, HELLO, connection="close"))
        assert connection.recv(9) == b"HTTP/1.1 "
        yield connection


def streams(server: RunningServer) -> int:
    return int(requests.get(f"{server.url}/ready", timeout=20).json()["details"]["streams"])


def read_whole(connection: socket.socket) -> bytes:
    received = b"HTTP/1.1 "
    while more := connection.recv(1 << 20):
        received += more
    return received


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_answer_in_one_piece_holds_its_place_until_it_is_read(server: RunningServer, path: str) -> None:
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(unread(server, path)) for _ in range(PLACES)]
        for _ in range(3):
            refused = requests.post(server.url + path, json=HELLO, timeout=20)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_overloaded")
        assert streams(server) == PLACES
        head, _, body = read_whole(callers[0]).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and json.loads(body)["object"] == "chat.completion"
        assert requests.post(server.url + path, json=HELLO, timeout=20).status_code == 200
        callers[1].close()
        wait_until(lambda: streams(server) == PLACES - 2)
    wait_until(lambda: streams(server) == 0)


def test_a_caller_who_asks_again_at_once_finds_its_place(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "MAX_STREAMS": "1"}
    upstream.script = completion("Hello")
    with running_server(settings) as server:
        for _ in range(30):
            assert requests.post(server.url + CHAT, json=HELLO, timeout=20).status_code == 200
        upstream.script = [b"HTTP/1.1 500 Fake\r\ncontent-length: 0\r\n\r\n"]
        statuses = {requests.post(server.url + CHAT, json=HELLO, timeout=20).status_code for _ in range(4)}
        assert statuses <= {502, 503} and streams(server) == 0
    upstream.script = completion(LARGE)
