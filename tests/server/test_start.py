"""The start: bad settings, bad ports, other ways to serve, and the time until the server is ready."""

import concurrent.futures
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import requests
from fake_upstream import (
    FakeUpstream,
    answer,
    chunks,
    close,
    events,
)
from running_server import (
    INHERITED,
    ROOT,
    ServerDidNotStart,
    free_port,
    running_server,
    setting_names,
)
from waiting import wait_until

pytestmark = pytest.mark.server

UPSTREAM = {"LLM_BASE_URL": "http://127.0.0.1:9/v1"}
HELLO = {"messages": [{"role": "user", "content": "Are you open?"}], "stream": True}
PATHS = ("/chat/completions", "/rag/chat/completions")
DONE_EVENT = b"data: [DONE]\n\n"


def refused(env: Mapping[str, str], argv: Sequence[str] = (), cwd: Path = ROOT) -> ServerDidNotStart:
    """How a start ends that must not succeed."""
    with pytest.raises(ServerDidNotStart) as caught, running_server({**UPSTREAM, **env}, argv=argv, cwd=cwd):
        pass
    assert caught.value.returncode not in (0, None)
    return caught.value


BAD_SETTINGS = {
    "MAX_STREAMS": "many",
    "LLM_BASE_URL": "localhost:8000",
    "WAITING": "sometimes",
    "OPENAI_API_KEY": "a b",
    "GRACEFUL_TIMEOUT": "0",
    "LLM_FALLBACKS": '[{"url": "https://api.example.com"}]',
    "RATE_LIMIT": "often",
    "CORS_ORIGINS": "a.example",
    "LOG_LEVEL": "loud",
}


@pytest.mark.row("SD-08")
def test_a_bad_setting_stops_the_start_with_one_line() -> None:
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(BAD_SETTINGS)) as pool:
        ends = list(pool.map(lambda setting: refused(dict([setting])), BAD_SETTINGS.items()))
    for name, end in zip(BAD_SETTINGS, ends, strict=True):
        (line,) = end.output.splitlines()
        assert line.startswith(f"parley: {name}: expected "), line
    assert time.monotonic() - started < 20  # all at once; each takes a fraction of a second


@pytest.mark.row("SD-08")
def test_a_bad_setting_in_a_file_is_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HEARTBEAT=now and then\n")
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-c", ROOT / "gunicorn.conf.py", "app:app"]
    env = {**{name: os.environ[name] for name in INHERITED if name in os.environ}, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20)
    (line,) = ended.stderr.splitlines()
    assert line.startswith("parley: HEARTBEAT: expected seconds") and ended.returncode == 1


SECRET_PROXY = "socks5://name:" + "hidden-0123@proxy.example"
PROXIED = {
    "the model": ("HTTPS_PROXY", SECRET_PROXY, {"LLM_BASE_URL": "https://api.example.com/v1"}),
    "OpenAI": ("https_proxy", "https://proxy.example", {"LLM_BASE_URL": "", "LLM_API_KEY": "sk-ours-0123456789"}),
    "a fallback": ("HTTP_PROXY", "http://p:99999", {"LLM_FALLBACKS": '[{"base_url": "http://api.example.com"}]'}),
    "the embeddings": ("ALL_PROXY", SECRET_PROXY, {"EMBEDDINGS_BASE_URL": "https://api.example.com/v1"}),
    "the voice": ("HTTPS_PROXY", "https://proxy.example", {"TTS_API_KEY": "sk-voice-0123456789"}),
}


@pytest.mark.row("SD-08")
@pytest.mark.parametrize("upstream", PROXIED)
def test_an_unusable_proxy_is_refused_by_its_name(upstream: str) -> None:
    variable, proxy, settings = PROXIED[upstream]
    end = refused({**settings, variable: proxy})
    assert [line for line in end.output.splitlines() if f"parley: {variable.upper()}: expected" in line]
    assert "hidden" not in end.output and "Traceback" not in end.output


@pytest.mark.row("SD-08")
def test_a_proxy_that_nothing_needs_is_no_fault() -> None:
    with running_server({**UPSTREAM, "ALL_PROXY": "socks5://proxy.example"}) as server:
        assert requests.get(f"{server.url}/health", timeout=20).status_code == 200
    named = {"LLM_BASE_URL": "https://api.example.com/v1", "HTTPS_PROXY": "socks5://p", "NO_PROXY": ".example.com"}
    with running_server(named) as server:
        assert requests.get(f"{server.url}/health", timeout=20).status_code == 200


@pytest.mark.row("SD-05")
@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (("--max-requests", "1000"), "max_requests_jitter"),
        (("--max-requests", "1000", "--workers", "2"), "max_requests_jitter"),
        (("--max-requests", "1000", "--max-requests-jitter", "50"), "two workers"),
    ],
)
def test_recycling_needs_jitter_and_a_second_worker(argv: Sequence[str], wanted: str) -> None:
    lines = refused({}, argv).output.splitlines()
    assert [line for line in lines if line.startswith("parley: max_requests") and wanted in line] == lines[-1:]


@pytest.mark.row("SD-09")
def test_a_port_in_use_is_named_and_ends_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        end = refused({}, ("-b", address))
    assert "Connection in use" in end.output and address.partition(":")[2] in end.output
    assert "Traceback" not in end.output and "Booting worker" not in end.output


@pytest.mark.row("SD-09")
@pytest.mark.parametrize("port", ["http", "65536", "-1"])
def test_an_invalid_port_is_named_and_ends_the_start(port: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "app:app"]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ended = subprocess.run(
        command, cwd=ROOT, env={**inherited, **UPSTREAM, "PORT": port}, capture_output=True, text=True, timeout=20
    )
    said = [line for line in ended.stderr.splitlines() if "port" in line.lower()]
    assert ended.returncode != 0 and len(said) == 1 and "Traceback" not in ended.stderr, ended.stderr


WORKERS = "parley: WEB_CONCURRENCY (or --workers): expected a whole number from 1"
"""Refusal of what gunicorn would take; the other ones are gunicorn's own."""


@pytest.mark.row("RF-27")
@pytest.mark.parametrize(
    ("env", "argv", "told"),
    [
        ("0", (), WORKERS),
        ("1", ("--workers", "0"), WORKERS),
        ("-3", (), "Error: Value must be positive: -3"),
        ("two", (), "ValueError: invalid literal for int() with base 10: 'two'"),
    ],
    ids=["zero", "option", "negative", "text"],
)
def test_a_number_of_workers_that_serves_nobody_is_refused(env: str, argv: Sequence[str], told: str) -> None:
    assert refused({"WEB_CONCURRENCY": env}, argv).output.splitlines()[-1] == told


@pytest.mark.row("SD-10")
def test_the_standard_library_is_patched_before_it_is_used() -> None:
    with running_server(UPSTREAM) as server:
        assert requests.get(f"{server.url}/models", timeout=20).status_code == 200
        assert "MonkeyPatchWarning" not in server.output() and "Warning" not in server.output()


@pytest.mark.row("SD-10")
def test_preloading_is_refused_in_one_line() -> None:
    lines = refused({}, ("--preload",)).output.splitlines()
    assert lines[-1].startswith("parley: --preload") and not [line for line in lines if "Warning" in line]


# --- other ways to serve it ---


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def check_serves(url: str, upstream: FakeUpstream) -> None:
    """It answers on every route, says how an answer broke, and waits no longer than it should."""
    for path in PATHS:
        upstream.script = answer("Hello there")
        assert DONE_EVENT in requests.post(url + path, json=HELLO, timeout=20).content
        upstream.script = [*events(chunks("Hello there")[:3]), close]
        broken = requests.post(url + path, json=HELLO, timeout=20).content
        assert b'"code":"upstream_disconnected"' in broken and DONE_EVENT not in broken
    recording = {**HELLO, "stream": False}
    assert requests.post(f"{url}/audio/chat/completions", json=recording, timeout=20).status_code == 200
    assert requests.post(f"{url}/chat/completions", data=b"{", timeout=20).status_code == 400


@pytest.mark.row("SD-11")
@pytest.mark.parametrize("argv", [("-k", "sync"), ("-k", "gthread"), ("-k", "gthread", "--threads", "4")], ids=str)
def test_another_worker_class_serves_and_says_what_it_lacks(upstream: FakeUpstream, argv: Sequence[str]) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url}, argv=argv) as server:
        check_serves(server.url, upstream)
        warned = [line for line in server.lines() if f"worker class {argv[1]}" in line]
        assert len(warned) == 1 and "-k gevent" in warned[0] and "Traceback" not in server.output()
        told = requests.get(f"{server.url}/ready", timeout=20).json()
        assert told["status"] == "ready" and f"worker class {argv[1]}" in told["warning"]
        assert server.stop(timeout=10) == 0


NO_HOOKS = "gunicorn.conf.py was not read"
ELSEWHERE = {
    "chdir": ("--chdir", str(ROOT)),
    "another-config": ("--chdir", str(ROOT), "-c", "python:this"),
    "sync": ("--chdir", str(ROOT), "-k", "sync"),
    "gthread": ("--chdir", str(ROOT), "-k", "gthread"),
    "preload": ("--chdir", str(ROOT), "--preload"),
}


@pytest.mark.row("RD-01")
@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_start_without_the_hooks_is_told(upstream: FakeUpstream, tmp_path: Path, way: str) -> None:
    env = {"LLM_BASE_URL": upstream.base_url, "API_KEYS": "door-1"}
    with running_server(env, argv=ELSEWHERE[way], cwd=tmp_path) as server:
        key = {"x-api-key": "door-1"}
        assert requests.post(server.url + CHAT, json=HELLO, headers=key, timeout=20).status_code == 200
        told = requests.get(f"{server.url}/ready", timeout=20).json()
        assert told["status"] == "ready" and NO_HOOKS in told["warning"] and str(ROOT) not in told["warning"]
        (line,) = [json.loads(line) for line in server.lines() if NO_HOOKS in line]
    assert (line["level"], line["folder"]) == ("error", str(ROOT)) and "gunicorn -k gevent app:app" in line["fault"]


@pytest.mark.row("RD-01")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_usual_start_has_nothing_to_tell(upstream: FakeUpstream, workers: str) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": workers}) as server:
        assert "warning" not in requests.get(f"{server.url}/ready", timeout=20).json()
        assert NO_HOOKS not in server.output()


@pytest.mark.row("RF-15")
def test_a_folder_that_is_changed_after_the_settings_is_refused(tmp_path: Path) -> None:
    argv = ("-c", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT))
    assert "parley: --chdir: .env was looked for in" in refused({"PYTHONPATH": str(ROOT)}, argv, tmp_path).output


@pytest.mark.row("SD-11")
@pytest.mark.row("RD-01")
def test_flask_run_serves(upstream: FakeUpstream) -> None:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    settings = {**dict.fromkeys(setting_names(), ""), "LLM_BASE_URL": upstream.base_url}
    port = free_port()
    command = [sys.executable, "-m", "flask", "run", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env={**inherited, **settings}, stderr=subprocess.DEVNULL) as served:
        try:
            wait_for(port)
            check_serves(f"http://127.0.0.1:{port}", upstream)
            assert NO_HOOKS in requests.get(f"http://127.0.0.1:{port}/ready", timeout=20).json()["warning"]
        finally:
            served.terminate()


def wait_for(port: int) -> None:
    wait_until(lambda: not is_free(port))


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return False
    return True


CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"


@pytest.mark.row("SD-12")
def test_with_ten_thousand_documents_it_is_ready_soon(upstream: FakeUpstream, tmp_path: Path) -> None:
    words = ["bicycle", "brake", "chain", "price", "repair", "saddle", "hour", "guarantee", "helmet", "lamp"]
    entries = [
        {"id": f"d{number}", "title": f"Item {number}", "text": f"{' '.join(words)} costs {number} dollars. " * 4}
        for number in range(10_000)
    ]
    (tmp_path / "many.json").write_text(json.dumps(entries))
    started = time.monotonic()
    with running_server({"LLM_BASE_URL": upstream.base_url, "KB_DIR": str(tmp_path)}) as server:
        wait_until(lambda: requests.get(f"{server.url}/readyz", timeout=20).status_code == 200, timeout=20)
        print(f"\nready after {time.monotonic() - started:.1f} s")
        assert requests.post(server.url + RAG, json=HELLO, timeout=20).status_code == 200
        wait_until(lambda: '"passages":10000' in server.output())
