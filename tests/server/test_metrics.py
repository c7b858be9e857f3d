"""Health, readiness and metrics, as an operator's tools read them."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import HANG, FakeUpstream, answer, chunks, completion, events, refusal
from running_server import RunningServer, post, receive_until, running_server
from scraping import series, total
from waiting import wait_until

pytestmark = pytest.mark.server

CHAT, RAG, AUDIO = ENDPOINTS = ("/chat/completions", "/rag/chat/completions", "/audio/chat/completions")
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Are you open?"}], "waiting": "off"}
JSON = {**HELLO, "stream": False}


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = answer("Hello there")
        yield fake


def wait_for(server: RunningServer, name: str, wanted: float, **labels: str) -> None:
    def found() -> float:
        return total(series(server), name, **labels)

    wait_until(lambda: found() == wanted, tell=lambda: f"{name} is {found()}, not {wanted}")


@pytest.mark.row("OB-02")
def test_health_asks_nobody_and_ready_says_what_is_wrong(upstream: FakeUpstream) -> None:
    upstream.script = refusal(500, {"message": "no"})
    with running_server({"LLM_BASE_URL": upstream.base_url}) as running:
        for _ in range(6):
            requests.post(running.url + CHAT, json=HELLO, timeout=30)
        asked = len(upstream.calls)
        for path in ("/ready", "/readyz"):
            ready = requests.get(running.url + path, timeout=30)
            assert (ready.status_code, ready.json()["details"]["upstreams"]) == (200, {"primary": "open"})
        for path in ("/health", "/healthz"):
            assert requests.get(running.url + path, timeout=30).json() == {"status": "ok"}
        assert len(upstream.calls) == asked


@pytest.mark.row("OB-02")
def test_ready_fails_while_draining_and_health_does_not(upstream: FakeUpstream) -> None:
    upstream.script = [*events(chunks("Hello there")[:2]), HANG]
    with running_server({"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "5"}) as running:
        wait_until_ready(running)
        with contextlib.ExitStack() as stack:
            call, *checks = [stack.enter_context(running.connect()) for _ in range(41)]
            call.sendall(post(CHAT, HELLO))
            receive_until(call, b"Hello")
            running.signal(signal.SIGTERM)
            answers = []
            for check, path in zip(checks, ("/ready", "/health") * 20, strict=True):
                with contextlib.suppress(OSError):  # idle ones are closed in a drain
                    check.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                    answers.append((path, receive_until(check, b'"}')))
                time.sleep(0.02)
        draining = [text for path, text in answers if path == "/ready" and b" 503 " in text[:15]]
        assert draining and all(b"the server is shutting down" in text for text in draining)
        assert not [text for path, text in answers if path == "/health" and text and b" 200 " not in text[:15]]


@pytest.mark.row("OB-02")
def test_readiness_details_need_a_key(upstream: FakeUpstream) -> None:
    settings = {"LLM_API_KEY": "sk-ours-0123456789", "API_KEYS": "door-0123456789"}
    with running_server({"LLM_BASE_URL": upstream.base_url, **settings}) as running:
        wait_until_ready(running)
        assert requests.get(f"{running.url}/ready", timeout=30).json() == {"status": "ready"}
        shown = requests.get(f"{running.url}/ready", headers={"x-api-key": "door-0123456789"}, timeout=30).json()
        assert shown["details"].keys() == {"model", "auth", "streams", "upstreams", "kb", "agents", "redis", "database"}
        assert requests.get(f"{running.url}/metrics", timeout=30).status_code == 401


@pytest.mark.row("OB-03")
def test_every_metric_is_there_and_moves(upstream: FakeUpstream) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "MAX_STREAMS": "2"}) as running:
        upstream.script = [*events(chunks("Hello there")[:3]), HANG]
        with running.connect() as one, running.connect() as two:
            for call in (one, two):
                call.sendall(post(CHAT, HELLO))
                receive_until(call, b" there")
            wait_for(running, "parley_open_streams", 2, endpoint="chat")
            assert requests.post(running.url + RAG, json=HELLO, timeout=30).status_code == 503
        wait_for(running, "parley_open_streams", 0)
        wait_for(running, "parley_cancel_seconds_count", 2)
        upstream.script = refusal(500, {"message": "no"})
        for _ in range(6):
            requests.post(running.url + CHAT, json=HELLO, timeout=30)
        wait_for(running, "parley_breaker_open", 1, upstream="primary")
        now = series(running)
        assert total(now, "parley_rejections_total", code="server_overloaded") == 1
        assert total(now, "parley_requests_total", outcome="client_closed") == 2
        assert total(now, "parley_requests_total", outcome="error_before", code="upstream_error") == 6
        assert total(now, "parley_first_byte_seconds_count", endpoint="chat") == 2
        assert total(now, "parley_first_content_seconds_count", endpoint="chat") == 2
        assert total(now, "parley_upstream_attempts_total", upstream="primary", result="ok") == 2
        assert total(now, "parley_upstream_attempts_total", upstream="primary", result="upstream_error") >= 6
        assert total(now, "parley_loop_lag_seconds_count") >= 1
        wait_for(running, "parley_breaker_open", 0, upstream="primary")  # its pause ends, though nobody asks


def ask_all(server: RunningServer, count: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(lambda _: requests.post(server.url + CHAT, json=JSON, timeout=30).status_code, range(count))
        assert set(statuses) == {200}


@pytest.mark.row("OB-03")
def test_four_workers_add_up_even_after_one_is_killed(upstream: FakeUpstream, tmp_path: Path) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "4", "TMPDIR": str(tmp_path)}
    upstream.script = completion("Hello")
    with running_server(settings) as running:
        ask_all(running, 80)
        wait_for(running, "parley_requests_total", 80)
        upstream.script = [*events(chunks("Hello there")[:3]), HANG]
        with contextlib.ExitStack() as stack:
            for _ in range(12):
                call = stack.enter_context(running.connect())
                call.sendall(post(CHAT, HELLO))
                receive_until(call, b" there")
            wait_for(running, "parley_open_streams", 12)
            before = series(running)
            for pid in running.worker_pids():
                os.kill(pid, signal.SIGKILL)
            wait_for_new_workers(running, 4)
            wait_for(running, "parley_open_streams", 0)
        counters = {name: value for name, value in before.items() if re.search("_(total|count|bucket|sum)$", name[0])}
        after = series(running)
        assert not [name for name, value in counters.items() if after[name] < value]
        upstream.script = completion("Hello")
        ask_all(running, 20)
        wait_for(running, "parley_requests_total", 100)
        folder = folder_of(running)
    assert not folder.exists() and list(tmp_path.iterdir()) == []


@pytest.mark.row("RF-11")
def test_reloads_leave_no_files_and_no_counter_falls(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2", "GRACEFUL_TIMEOUT": "3"}
    upstream.script = completion("Hello")
    with running_server(settings) as running:
        folder = folder_of(running)
        seen = 0.0
        for reloads in range(1, 4):
            ask_all(running, 10)
            old = set(running.worker_pids())
            running.signal(signal.SIGHUP)
            # Scraped all the while: nothing is counted twice or lost while files are merged.
            while old & set(running.worker_pids()) or len(running.worker_pids()) < 2 or not answers(running):
                seen = check_grows(running, seen, reloads * 10)
            assert check_grows(running, seen, reloads * 10) == reloads * 10
        wait_until(lambda: owners(folder) <= set(running.worker_pids()), tell=lambda: str(list(folder.iterdir())))
        assert {file.name for file in folder.glob("*_ended.db")} == {"counter_ended.db", "histogram_ended.db"}
        assert total(series(running), "parley_first_byte_seconds_count", endpoint="chat") == 30


def owners(folder: Path) -> set[int]:
    """Return the processes whose files are in the folder."""
    return {int(found[1]) for file in folder.iterdir() if (found := re.search(r"_(\d+)\.db$", file.name))}


def check_grows(running: RunningServer, least: float, most: float) -> float:
    """Return the number of requests in the metrics, which must lie between these."""
    with contextlib.suppress(requests.ConnectionError):
        told = total(series(running), "parley_requests_total", outcome="ok")
        assert least <= told <= most
        return told
    return least


@pytest.mark.row("RF-11")
@pytest.mark.row("RF-27")
def test_a_start_removes_the_folders_of_killed_masters_only(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    with running_server(settings) as living, running_server(settings) as killed:
        of_living, of_killed = folder_of(living), folder_of(killed)
        assert of_living != of_killed
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait_for_exit()
        with running_server({**settings, "WEB_CONCURRENCY": "1"}):
            assert of_living.exists() and not of_killed.exists()
        assert series(living) and of_living.exists()
    assert not of_living.exists()


def folder_of(running: RunningServer) -> Path:
    """Return where the server's workers share their metrics: beside the lock that their master holds."""
    held = set()
    for file in Path(f"/proc/{running.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            held.add(Path(os.readlink(file)))
    (lock,) = {path for path in held if path.name == "owner.lock"}
    return lock.parent


def wait_until_ready(running: RunningServer) -> None:
    wait_until(lambda: requests.get(f"{running.url}/ready", timeout=30).status_code == 200)


def wait_for_new_workers(running: RunningServer, count: int) -> None:
    wait_until(lambda: "Booting worker" in running.output() and len(running.worker_pids()) == count)
    wait_until(lambda: answers(running))


def answers(running: RunningServer) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{running.url}/health", timeout=30).status_code == 200
    return False
