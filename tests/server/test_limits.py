"""Limits under load: a full server, too few files, a disk that can't be written, several workers."""

import concurrent.futures
import contextlib
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from fake_upstream import HANG, Call, FakeUpstream, Step, answer, chunks, event, events, head, text_chunk
from running_server import RunningServer, ServerDidNotStart, held_by, hooked, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
SPEAKING: list[Step] = [*events(chunks("Hello there")[:3]), HANG]
DONE_EVENT = b"data: [DONE]\n\n"
SOON = 1.0
"""Seconds for what takes milliseconds on an idle machine."""
KIB = 1 << 10
PATIENT = {"TTFT_TIMEOUT": "60", "PRECOMMIT_TIMEOUT": "60", "IDLE_TIMEOUT": "60"}


@contextlib.contextmanager
def speaking(server: RunningServer, upstream: FakeUpstream, count: int) -> Iterator[list[socket.socket]]:
    """So many streams that have begun; they end well when the test sets off `upstream.script`'s event, or are left."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(count)]
        for connection in connections:
            connection.sendall(post(CHAT, HELLO, connection="close"))
        for connection in connections:
            assert b"Hello" in receive_until(connection, b"Hello")
        yield connections


def until(go_on: threading.Event) -> list[Step]:
    """A good answer that waits for the event after its first word."""
    script = answer("Hello there")
    return [*script[:4], go_on, *script[4:]]


def get(server: RunningServer, path: str) -> requests.Response:
    return requests.get(f"{server.url}{path}", timeout=20)


def metric(server: RunningServer, name: str) -> float:
    """The sum of a metric's series."""
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", get(server, "/metrics").text, re.MULTILINE)
    return sum(map(float, found))


# --- a full house ---


@pytest.mark.row("LM-01")
def test_a_full_server_refuses_at_once_and_harms_no_stream(quick_servers: Servers, first: FakeUpstream) -> None:
    server, go_on = quick_servers(MAX_STREAMS="4", **PATIENT), threading.Event()
    first.script = until(go_on)
    with speaking(server, first, 4) as connections:
        for path in (*ENDPOINTS, "/v1/rag/chat/completions"):
            started = time.monotonic()
            refused = requests.post(server.url + path, json=HELLO, timeout=20)
            assert time.monotonic() - started < SOON
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["code"] == "server_overloaded"
        go_on.set()
        assert all(receive_until(connection, b"0\r\n\r\n").count(DONE_EVENT) == 1 for connection in connections)
    assert len(first.calls) == 4
    wait_until(lambda: get(server, "/ready").json()["details"]["streams"] == 0)
    assert requests.post(server.url + CHAT, json=HELLO, timeout=20).status_code == 200


@pytest.mark.row("LM-02")
def test_health_answers_at_full_load(quick_servers: Servers, first: FakeUpstream) -> None:
    server = quick_servers(MAX_STREAMS="4", **PATIENT)
    first.script = SPEAKING
    with contextlib.ExitStack() as stack, speaking(server, first, 4):
        for _ in range(300):
            stack.enter_context(server.connect())
        for path in ("/health", "/healthz", "/ready", "/readyz", "/models") * 3:
            started = time.monotonic()
            assert get(server, path).status_code == 200 and time.monotonic() - started < SOON


@pytest.mark.row("LM-03")
def test_a_key_over_its_rate_is_told_when_to_retry(quick_servers: Servers, first: FakeUpstream) -> None:
    server = quick_servers(API_KEYS="door-one,door-two", RATE_LIMIT="2/minute")
    ask = {path: lambda key, path=path: ask_with(server, path, key) for path in ENDPOINTS}
    assert [ask[CHAT]("door-one").status_code, ask[RAG]("door-one").status_code] == [200, 200]
    for path in ENDPOINTS:
        refused = ask[path]("door-one")
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
        assert refused.json()["error"]["code"] == "rate_limited"
        told = {name: int(refused.headers[name]) for name in RATE_HEADERS}
        assert (told["x-ratelimit-limit"], told["x-ratelimit-remaining"]) == (2, 0)
        assert 1 <= told["retry-after"] == told["x-ratelimit-reset"] <= 61
    assert ask[CHAT]("door-two").status_code == 200
    assert len(first.calls) == 3


RATE_HEADERS = ("retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def ask_with(server: RunningServer, path: str, key: str) -> requests.Response:
    return requests.post(server.url + path, json=HELLO, headers={"x-api-key": key}, timeout=20)


@pytest.mark.row("LM-03")
def test_a_key_holds_no_more_streams_than_it_may(quick_servers: Servers, first: FakeUpstream) -> None:
    server = quick_servers(API_KEYS="door-one,door-two", MAX_STREAMS_PER_KEY="1", **PATIENT)
    first.script = SPEAKING
    with server.connect() as connection:
        connection.sendall(post(CHAT, HELLO, x_api_key="door-one"))
        receive_until(connection, b"Hello")
        refused = ask_with(server, RAG, "door-one")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        first.script = answer("Hello there")
        assert ask_with(server, CHAT, "door-two").status_code == 200
    wait_until(lambda: ask_with(server, CHAT, "door-one").status_code == 200)


# --- one process for all ---


def ticking(call: Call) -> Iterator[Step]:
    """Fifty words a second, until its caller leaves; a short answer for whoever asks something large."""
    if len(call.body) > 10_000:
        yield from answer("Hello there")
        return
    yield head()
    while True:
        yield event(text_chunk("x", "Hello "))
        yield 0.02


@pytest.mark.row("LM-04")
def test_no_work_for_one_caller_makes_the_others_wait(quick_servers: Servers, first: FakeUpstream) -> None:
    server = quick_servers(**PATIENT)
    first.script = ticking
    question = "How much does a tune-up cost, and when are you open? " * 20_000
    large = {"messages": [{"role": "user", "content": question}], "stream": True}
    gaps: list[float] = []
    with speaking(server, first, 10) as connections, concurrent.futures.ThreadPoolExecutor(12) as pool:
        over = threading.Event()
        listeners = [pool.submit(listen, connection, over) for connection in connections]
        try:
            for _ in range(3):
                for path in (CHAT, RAG):
                    assert requests.post(server.url + path, json=large, timeout=20).status_code == 200
                assert requests.post(server.url + AUDIO, json={**HELLO, "stream": False}, timeout=20).ok
                assert get(server, "/metrics").ok and get(server, "/openapi.json").ok
        finally:
            over.set()
        gaps = [max(listener.result()) for listener in listeners]
    print(f"\nthe longest gap of each stream: {statistics.median(gaps) * 1000:.0f} ms, at most {max(gaps) * 1000:.0f}")
    assert max(gaps) < 0.5


def listen(connection: socket.socket, over: threading.Event) -> list[float]:
    """Seconds between what came."""
    times = [time.monotonic()]
    while not over.is_set():
        assert connection.recv(1 << 16)
        times.append(time.monotonic())
    return [after - before for before, after in itertools.pairwise(times)]


SLOW_PARSE = """
import gevent.monkey
from blueprints import web
from parley.concurrency import LARGE_BYTES
sleep, usual = gevent.monkey.get_original("time", "sleep"), web.parse
def slowly(raw, *rest, **named):
    if len(raw) >= LARGE_BYTES:
        sleep(1)  # of the thread in which it is
    return usual(raw, *rest, **named)
web.parse = slowly
"""


@pytest.mark.row("LM-04")
def test_a_large_body_is_parsed_beside_the_streams(upstream_url: str, first: FakeUpstream, tmp_path: Path) -> None:
    first.script = ticking
    large = {"messages": [{"role": "user", "content": "x" * (1 << 20)}]}
    env, over = {"LLM_BASE_URL": upstream_url, **PATIENT}, threading.Event()
    with running_server(env, argv=hooked(tmp_path, SLOW_PARSE)) as server, speaking(server, first, 1) as (stream,):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            listener = pool.submit(listen, stream, over)
            started = time.monotonic()
            assert requests.post(server.url + CHAT, json=large, timeout=20).status_code == 200
            assert time.monotonic() - started >= 1
            over.set()
        assert max(listener.result()) < 0.7


@pytest.mark.row("LM-07")
def test_a_waiting_stream_takes_little_memory(quick_servers: Servers, first: FakeUpstream) -> None:
    server, count = quick_servers(**PATIENT), 300
    first.script = SPEAKING
    with speaking(server, first, count):
        pass  # what a first crowd costs once
    wait_until(lambda: get(server, "/ready").json()["details"]["streams"] == 0)
    before = held_by(*server.worker_pids()).rss_bytes
    with speaking(server, first, count), speaking(server, first, count):
        each = (held_by(*server.worker_pids()).rss_bytes - before) / count / KIB
        print(f"\n{each:.1f} KiB for each stream beyond {count}")
    assert each < 60


# --- files ---


def with_files(soft: int, hard: int) -> tuple[str, ...]:
    """A command that becomes another one, which may have so many files open."""
    return ("sh", "-c", f'ulimit -n {hard} && ulimit -Sn {soft} && exec "$@"', "sh")


@pytest.mark.row("LM-05")
def test_the_soft_limit_of_open_files_is_raised_at_the_start(first: FakeUpstream) -> None:
    with running_server(
        {"LLM_BASE_URL": first.base_url, "MAX_STREAMS": "300"}, wrapped=with_files(256, 2048)
    ) as server:
        (worker,) = server.worker_pids()
        soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        assert (soft >= 2 * 300 + 100, hard) == (True, 2048) and "lowered" not in server.output()


@pytest.mark.row("LM-05")
def test_with_too_few_files_fewer_streams_are_taken(first: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": first.base_url, **PATIENT}
    go_on = threading.Event()
    with running_server(settings, wrapped=with_files(140, 140)) as server:
        assert "MAX_STREAMS is lowered to 10" in server.output()
        workers = server.worker_pids()
        first.script = until(go_on)
        with speaking(server, first, 10) as connections:
            refused = requests.post(server.url + CHAT, json=HELLO, timeout=20)
            assert refused.json()["error"]["code"] == "server_overloaded"
            with contextlib.ExitStack() as stack:
                for _ in range(100):  # more than it may open: they wait, or are refused
                    stack.enter_context(server.connect())
                go_on.set()
                assert all(DONE_EVENT in receive_until(connection, b"0\r\n\r\n") for connection in connections)
        wait_until(lambda: get(server, "/health").ok)
        assert server.worker_pids() == workers and "Traceback" not in server.output()


@pytest.mark.row("LM-05")
def test_without_a_file_left_the_answer_is_503(first: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": first.base_url, **PATIENT, "SPARE_CONNECTIONS": "1"}
    with running_server(settings) as server, contextlib.ExitStack() as stack:
        (worker,) = server.worker_pids()
        first.wait_until(lambda: first.connections >= 1)
        callers = [stack.enter_context(server.connect()) for _ in range(3)]
        for caller in callers:
            caller.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            receive_until(caller, b"ok")
        usual = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        first.script = SPEAKING
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (1, usual[1]))
        callers[0].sendall(post(CHAT, HELLO))  # by the connection that was opened ahead
        receive_until(callers[0], b"Hello")
        for path, caller in zip((CHAT, RAG), callers[1:], strict=True):
            caller.sendall(post(path, HELLO))
            refused = receive_until(caller, b'"detail"')
            assert refused.startswith(b"HTTP/1.1 503") and b"server_overloaded" in refused
        resource.prlimit(worker, resource.RLIMIT_NOFILE, usual)
        first.script = answer("Hello there")
        wait_until(lambda: requests.post(server.url + CHAT, json=HELLO, timeout=20).status_code == 200)
        assert server.worker_pids() == [worker]


@pytest.mark.row("LM-06")
def test_no_stream_waits_for_an_upstream_connection(quick_servers: Servers, first: FakeUpstream) -> None:
    server = quick_servers(MAX_STREAMS="60", **PATIENT)
    first.script = SPEAKING
    with speaking(server, first, 60):
        assert first.open_calls == 60 and len(first.open_connections) >= 60
        assert requests.post(server.url + CHAT, json=HELLO, timeout=20).status_code == 503


# --- several workers ---


@pytest.fixture(scope="module")
def four() -> Iterator[tuple[RunningServer, FakeUpstream]]:
    """Four workers, and an upstream of their own."""
    with FakeUpstream() as fake:
        settings = {"LLM_BASE_URL": fake.base_url, "WEB_CONCURRENCY": "4", "MAX_STREAMS": "50", **PATIENT}
        with running_server(settings) as server:
            yield server, fake


@pytest.mark.row("LM-08")
def test_the_metrics_of_four_workers_add_up(four: tuple[RunningServer, FakeUpstream]) -> None:
    server, upstream = four
    before = metric(server, "parley_requests_total")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(requests.post, server.url + CHAT, json=HELLO, timeout=20) for _ in range(80)]
        assert all(answered.result().status_code == 200 for answered in asked)
    for _ in range(8):  # whichever worker is asked
        assert metric(server, "parley_requests_total") == before + 80
    upstream.script = SPEAKING
    with speaking(server, upstream, 30):
        assert {metric(server, "parley_open_streams") for _ in range(8)} == {30}
    wait_until(lambda: metric(server, "parley_open_streams") == 0)
    upstream.script = answer("Hello there")


@pytest.mark.row("LM-08")
def test_a_dead_worker_takes_its_gauges_but_no_counts_along(
    four: tuple[RunningServer, FakeUpstream],
) -> None:
    server, upstream = four
    upstream.script = SPEAKING
    before = metric(server, "parley_requests_total")
    with speaking(server, upstream, 30):
        assert metric(server, "parley_open_streams") == 30
        victim = server.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in server.worker_pids() and len(server.worker_pids()) == 4)
        wait_until(lambda: metric(server, "parley_open_streams") == upstream.open_calls)
        assert metric(server, "parley_requests_total") >= before
    wait_until(lambda: metric(server, "parley_open_streams") == 0)
    upstream.script = answer("Hello there")


# --- the disk ---

MAY_UNSHARE = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
)
READ_ONLY = ["mount -o remount,ro,bind /"]
FULL = [
    'for folder in "$TMPDIR" /dev/shm; do mount -t tmpfs -o size=64k tmpfs "$folder"',
    '{ cat /dev/zero > "$folder/all" 2> /dev/null || true; }; done',
]
NOWHERE = ["mount -t tmpfs -o ro tmpfs /dev/shm", *READ_ONLY]


def mounted(*commands: str) -> tuple[str, ...]:
    """A command that becomes another one, which sees other file systems than we."""
    return ("unshare", "-m", "sh", "-c", " && ".join(["mount --make-rprivate /", *commands, 'exec "$@"']), "sh")


def check_all_answer(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("Hello there")
    for path in (CHAT, RAG):
        assert DONE_EVENT in requests.post(server.url + path, json=HELLO, timeout=20).content
    assert requests.post(server.url + AUDIO, json={**HELLO, "stream": False}, timeout=20).status_code == 200
    # Without a file to share, each worker tells its own: sooner or later one that has answered is asked.
    assert any(metric(server, "parley_requests_total") >= 1 for _ in range(100))
    assert "Traceback" not in server.output()


@pytest.mark.row("LM-09")
@pytest.mark.skipif(not MAY_UNSHARE, reason="needs the right to mount file systems of its own")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("mounts", [READ_ONLY, FULL], ids=["read-only", "full"])
def test_a_disk_that_cannot_be_written_is_not_needed(
    first: FakeUpstream, tmp_path: Path, mounts: list[str], workers: str
) -> None:
    folders = {"HOME": "/nonexistent", "TMPDIR": str(tmp_path)}
    settings = {"LLM_BASE_URL": first.base_url, "WEB_CONCURRENCY": workers, **folders}
    with running_server(settings, wrapped=mounted(*mounts)) as server:
        pids = server.worker_pids()
        check_all_answer(server, first)
        assert server.worker_pids() == pids
        assert ("/metrics shows one worker" in server.output()) == (mounts == FULL and workers == "2")


@pytest.mark.row("LM-09")
@pytest.mark.skipif(not MAY_UNSHARE, reason="needs the right to mount file systems of its own")
def test_without_any_writable_folder_the_start_says_so(first: FakeUpstream) -> None:
    with (
        pytest.raises(ServerDidNotStart) as caught,
        running_server({"LLM_BASE_URL": first.base_url}, wrapped=mounted(*NOWHERE)),
    ):
        pass
    assert caught.value.returncode == 1
    assert [line for line in caught.value.output.splitlines() if "parley: " in line and "TMPDIR" in line]
    assert "Traceback" not in caught.value.output


@pytest.mark.row("LM-09")
def test_nothing_is_written_but_the_log(first: FakeUpstream, tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    settings = {"LLM_BASE_URL": first.base_url, "HOME": str(home), "TMPDIR": str(temporary)}
    with running_server({**settings, "PYTHONDONTWRITEBYTECODE": "1"}) as server:
        check_all_answer(server, first)
        assert [*home.iterdir(), *temporary.iterdir()] == []
