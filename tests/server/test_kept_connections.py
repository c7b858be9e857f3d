"""Connections that are opened ahead or kept: to small servers, to those that can't be reached, to those that died."""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_tls_upstream import Certificates, FakeTlsUpstream
from fake_upstream import DONE, HANG, Call, FakeUpstream, Step, answer, chunks, completion
from few_threads import sync_gunicorn, threaded
from running_server import RunningServer, running_server

pytestmark = pytest.mark.server
SAID = [{"role": "user", "content": "When are you open?"}]
LATE = 6.0
"""Seconds that no turn may take: half of what the small server waits on an idle connection."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def turn(server: RunningServer, path: str = "/chat/completions", **fields: Any) -> float:
    """Return the seconds that a good answer took."""
    started = time.monotonic()
    answered = requests.post(server.url + path, json={"messages": SAID, "stream": True, **fields}, timeout=20)
    assert answered.status_code == 200 and "there" in answered.text, answered.text
    return time.monotonic() - started


@pytest.mark.row("RE-01")
@pytest.mark.parametrize("kind", ["sync", "1 thread", "3 threads", "fallback"])
def test_no_turn_is_lost_or_late_at_a_small_server(tmp_path: Path, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        threads = {"1 thread": 1}.get(kind, 3)
        small = stack.enter_context(sync_gunicorn(tmp_path) if kind == "sync" else threaded(threads))
        settings = {"LLM_BASE_URL": small, "SPARE_CONNECTIONS": ""}
        if kind == "fallback":
            settings["LLM_BASE_URL"] = "http://127.0.0.1:1/v1"
            settings["LLM_FALLBACKS"] = json.dumps([{"base_url": small, "api_key": "k"}])
        server = stack.enter_context(running_server(settings))
        took = [turn(server) for _ in range(10)]
        with ThreadPoolExecutor(10) as pool:
            took += pool.map(lambda _: turn(server), range(10))
            time.sleep(0.3)
            took += pool.map(lambda _: turn(server, "/rag/chat/completions"), range(10))
        assert max(took) < LATE, took
    assert {end["outcome"] for end in server.request_ends()} == {"ok"}


@pytest.mark.row("RE-01")
def test_two_workers_leave_a_small_server_its_threads() -> None:
    with (
        threaded(3) as small,
        running_server({"LLM_BASE_URL": small, "WEB_CONCURRENCY": "2"}) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        took = list(pool.map(lambda _: turn(server), range(32)))
    assert max(took) < LATE, took


@pytest.mark.row("RE-01")
@pytest.mark.parametrize(("wanted", "opened"), [("", 8), ("0", 0), ("2", 2)], ids=["unset", "none", "two"])
def test_spares_behind_tls_are_kept_to_each_upstream(certificates: Certificates, wanted: str, opened: int) -> None:
    with (
        FakeTlsUpstream(certificates.good) as first,
        FakeTlsUpstream(certificates.good) as second,
        running_server(
            {
                "LLM_BASE_URL": first.base_url,
                "LLM_FALLBACKS": json.dumps([{"base_url": second.base_url, "api_key": "k"}]),
                "SPARE_CONNECTIONS": wanted,
                "SSL_CERT_FILE": str(certificates.authority),
            }
        ) as server,
    ):
        for upstream in (first, second):
            upstream.wait_until(lambda upstream=upstream: len(upstream.open_connections) == opened)
        turn(server)
        assert (first.connections, second.connections) == (max(1, opened), opened)


@pytest.mark.row("RE-02")
def test_spares_that_can_not_stand_are_told_and_tried_seldom(certificates: Certificates) -> None:
    with (
        FakeTlsUpstream(certificates.self_signed) as first,
        FakeTlsUpstream(certificates.expired) as second,
        running_server(
            {
                "LLM_BASE_URL": first.base_url,
                "LLM_FALLBACKS": json.dumps([{"base_url": second.base_url, "api_key": "k"}]),
                "SSL_CERT_FILE": str(certificates.authority),
            }
        ) as server,
    ):
        first.wait_until(lambda: first.connections >= 3)
        told = [json.loads(line) for line in server.lines() if "spare_connections_failed" in line]
        ready = requests.get(f"{server.url}/ready", timeout=30)
        assert first.connections <= 4 and second.connections <= 4
    assert {line["upstream"]: line["level"] for line in told} == {"primary": "warning", "fallback-1": "warning"}
    assert len(told) == 2 and "self-signed" in told[0]["reason"] + told[1]["reason"]
    assert ready.status_code == 200 and "expired" in ready.json()["details"]["connection_faults"]["fallback-1"]


@pytest.mark.row("RE-02")
def test_a_spare_that_an_interruption_used_up_comes_back(certificates: Certificates) -> None:
    with (
        FakeTlsUpstream(certificates.good) as upstream,
        running_server({"LLM_BASE_URL": upstream.base_url, "SSL_CERT_FILE": str(certificates.authority)}) as server,
    ):
        upstream.wait_until(lambda: upstream.connections == 8)
        upstream.script = [*answer("Hello there")[:4], HANG]
        for number in range(1, 4):
            with requests.post(
                f"{server.url}/chat/completions", json={"messages": SAID, "stream": True}, stream=True, timeout=30
            ) as heard:
                next(heard.iter_content(1))
            upstream.wait_until(lambda number=number: upstream.connections == 8 + number, timeout=10)
        assert len(upstream.open_connections) <= 9


class InParts(http.server.BaseHTTPRequestHandler):
    """Writes head and body apart, as Python's own server does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b"".join(b"data: " + payload + b"\n\n" for payload in [*chunks("Hello there"), DONE])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


PYWSGI = """
from gevent import monkey; monkey.patch_all()
from gevent.pywsgi import WSGIServer
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("content-type", "text/event-stream")])
    return iter([{payloads!r}])
server = WSGIServer(("127.0.0.1", 0), app, log=None)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def in_parts(kind: str) -> Iterator[str]:
    """Yield the base URL of a server that writes head and body apart."""
    with contextlib.ExitStack() as stack:
        if kind == "http.server":
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), InParts))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            port = server.server_port
        else:
            payloads = b"".join(b"data: " + payload + b"\n\n" for payload in [*chunks("Hello there"), DONE])
            command = [sys.executable, "-c", PYWSGI.format(payloads=payloads)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout
            port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/v1"


@pytest.mark.row("RE-03")
@pytest.mark.parametrize("kind", ["http.server", "pywsgi"])
def test_head_and_body_in_parts_cost_no_delay(kind: str) -> None:
    with in_parts(kind) as base_url, running_server({"LLM_BASE_URL": base_url}) as server, requests.Session() as caller:
        turn(server)
        for _ in range(25):
            body = {"messages": SAID, "stream": True}
            assert "there" in caller.post(f"{server.url}/chat/completions", json=body, timeout=30).text
        kept = sorted(end["ttft_ms"] for end in server.request_ends()[10:])
    # The system delays an acknowledgement by 40 ms at least. Of a busy machine the quicker turns tell more.
    assert kept[len(kept) // 4] < 30, kept


DEAD = {1, 2, 3, 4}


def silent_where_kept(good: list[Step]) -> Callable[[Call], list[Step]]:
    return lambda call: [HANG] if call.connection_number in DEAD else good


@pytest.mark.row("RF-22")
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/chat/completions", {}),
        ("/v1/rag/chat/completions", {"waiting": "off"}),
        ("/rag/chat/completions", {}),
        ("/chat/completions", {"stream": False}),
    ],
    ids=["chat", "rag", "waited", "whole"],
)
def test_kept_connections_that_died_cost_no_turn(path: str, fields: dict[str, Any]) -> None:
    settings = {"SPARE_CONNECTIONS": "4", "TTFT_TIMEOUT": "4", "PRECOMMIT_TIMEOUT": "6"}
    good = completion("Hello there") if fields.get("stream") is False else answer("Hello there")
    with FakeUpstream() as upstream, running_server({"LLM_BASE_URL": upstream.base_url, **settings}) as server:
        upstream.wait_until(lambda: upstream.connections == 4)
        upstream.script = silent_where_kept(good)
        with ThreadPoolExecutor(3) as pool:
            took = list(pool.map(lambda _: turn(server, path, **fields), range(3)))
        took.append(turn(server, path, **fields))
        assert max(took[:3]) < 6 and took[3] < 2
        silent = [call for call in upstream.calls if call.connection_number in DEAD]
        assert len(silent) <= 3 and len(upstream.calls) == 4 + len(silent)
        assert "kept_connection_silent" in server.output()
    ends = server.request_ends()
    assert {(end["outcome"], end["attempts"]) for end in ends} == {("ok", 1)}
