"""nginx, Caddy and haproxy as they are configured here: words one by one, and callers who leave are noticed."""

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_upstream import DONE, END, HANG, FakeUpstream, Step, answer, chunks, event, events
from proxies import running_balancer, running_proxy, temporary_paths
from running_server import ROOT, RunningServer, free_port, post, receive_until, running_server
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.row("RF-12")]
CHAT, RAG = "/chat/completions", "/rag/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "When are you open?"}], "stream": True}
DEPLOY = ROOT / "deploy"
FILES = {"nginx": DEPLOY / "nginx.conf", "caddy": DEPLOY / "Caddyfile"}
PAGE = (ROOT / "docs" / "deploying.md").read_text()
LISTENS = {"nginx": "listen 80;", "caddy": "voice.example.com {", "haproxy": "127.0.0.1:8080"}
"""The words with which each file says where the proxy listens."""
KEY = "a-key-of-a-caller-0123456789"
WORDS = 20


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[RunningServer]:
    settings = {"LLM_BASE_URL": upstream.base_url, "WAITING_MESSAGES": "Let me look.", "TRUSTED_PROXIES": "1"}
    settings |= {"API_KEYS": KEY, "LLM_MODEL": "fake-model"}
    with running_server({**settings, "TTFT_TIMEOUT": "20", "PRECOMMIT_TIMEOUT": "20"}) as running:
        wait_until(lambda: '"passages"' in running.output())
        yield running


def configured(name: str, listens: str, server: RunningServer) -> str:
    """Return the file for a proxy, with these words for where it listens, in front of the server."""
    if name in FILES:
        text = FILES[name].read_text()
    else:
        (text,) = re.findall(rf"^```{name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for old, new in {LISTENS[name]: listens, "127.0.0.1:8000": f"127.0.0.1:{server.port}"}.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(server: RunningServer, folder: Path) -> Iterator[int]:
    port, file = free_port(), folder / "nginx.conf"
    places = temporary_paths(folder)
    # As in the distribution's own file, which reads those in conf.d. Its workers write large bodies into our folder.
    inside = configured("nginx", f"listen 127.0.0.1:{port};", server)
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(
        f"{user} pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {places}\n{inside} }}"
    )
    with running_proxy(["nginx", "-p", str(folder), "-c", str(file), "-g", "daemon off;"], port):
        yield port


@contextlib.contextmanager
def balancer(server: RunningServer, folder: Path) -> Iterator[int]:
    """Yield the port of nginx in front of two servers, of which one is down: every call is answered by the other."""
    with running_balancer(server.port, free_port(), folder) as port:
        yield port


@contextlib.contextmanager
def caddy(server: RunningServer, folder: Path) -> Iterator[int]:
    port, file = free_port(), folder / "Caddyfile"
    # No certificate for a name that is not ours, no port for its administration.
    options = "{\n\tadmin off\n\tauto_https off\n}\n"
    file.write_text(options + configured("caddy", f"http://:{port} {{\n\tbind 127.0.0.1", server))
    places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    with running_proxy(command, port, {**os.environ, **places}):
        yield port


@contextlib.contextmanager
def haproxy(server: RunningServer, folder: Path) -> Iterator[int]:
    port, file = free_port(), folder / "haproxy.cfg"
    file.write_text(configured("haproxy", f"127.0.0.1:{port}", server))
    with running_proxy(["haproxy", "-f", str(file)], port):
        # It asks /ready before it sends anybody on.
        wait_until(lambda: b" 200 " in ask(port, b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        yield port


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return receive_until(connection, b"\r\n\r\n")


PROXIES = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy, "balancer": balancer}
PROGRAMS = {"balancer": "nginx"}
"""The program of a proxy that has another name."""


@pytest.fixture(scope="module", params=PROXIES)
def port(
    request: pytest.FixtureRequest, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy in front of the server."""
    program = PROGRAMS.get(request.param, request.param)
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    with PROXIES[request.param](server, tmp_path_factory.mktemp(request.param)) as port:
        yield port


@contextlib.contextmanager
def calling(port: int, path: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.2", 0)) as connection:
        connection.sendall(post(path, HELLO, x_api_key=KEY))
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


# The balancer passes calls on as nginx.conf does, which tests/test_fleet_files.py holds: it need not be examined, too.
@pytest.mark.parametrize("port", ["nginx", "caddy", "haproxy"], indirect=True)
def test_the_doctor_finds_nothing_wrong(upstream: FakeUpstream, port: int) -> None:
    # Later than a waiting message may come, so that a buffered one shows.
    upstream.script = [1.5, *answer("We are open from nine to six.", interval=0.02)]
    command = ["-m", "flask", "doctor", "--only", "SV", "--url", f"http://127.0.0.1:{port}", "--key", KEY, "--json"]
    told = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    found = [one for one in json.loads(told.stdout)["checks"] if one["status"] in ("warn", "fail")]
    # A gap in the sound may be that of a machine that runs other tests.
    bad = [one["detail"] for one in found if (one["id"], one["status"]) != ("SV-3", "warn")]
    assert bad == []
    assert told.returncode == 0
