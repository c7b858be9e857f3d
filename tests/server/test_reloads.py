"""Workers that are replaced: recycled, killed, or reloaded under open streams."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import (
    FakeUpstream,
    answer,
)
from open_streams import MESSAGES, begin, hear_all, until
from running_server import RunningServer, ServerDidNotStart, copy_project, running_server, setting_names
from waiting import wait_until

pytestmark = pytest.mark.server
CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"


DONE_EVENT = b"data: [DONE]\n\n"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.mark.row("SD-05")
def test_recycled_workers_cost_nobody_an_answer(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    argv = ("--max-requests", "20", "--max-requests-jitter", "10")
    with running_server(settings, argv=argv) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = set(server.worker_pids())
        upstream.script = answer("Hello there", interval=0.02)
        answers = pool.map(lambda _: requests.post(server.url + CHAT, json=MESSAGES, timeout=20).content, range(80))
        assert all(DONE_EVENT in answered for answered in answers)
        wait_until(lambda: set(server.worker_pids()) != first)
        assert "Autorestarting worker" in server.output()
        assert {end["outcome"] for end in server.request_ends()} == {"ok"}


def starting(server: RunningServer) -> set[int]:
    """The workers that take connections."""
    return {pid for pid in server.worker_pids() if takes(server, pid)}


def takes(server: RunningServer, pid: int) -> bool:
    try:
        return server.is_listening(pid)
    except OSError:  # gone
        return False


def ask(server: RunningServer, path: str = CHAT, **fields: Any) -> int:
    return requests.post(server.url + path, json={**MESSAGES, **fields}, timeout=20).status_code


@pytest.mark.row("SD-06")
def test_a_killed_worker_takes_only_its_own_streams_along(upstream: FakeUpstream) -> None:
    stop = threading.Event()
    upstream.script = until(stop)
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    with running_server(settings) as server, contextlib.ExitStack() as stack:
        streams = begin(server, stack, 40)
        victim, other = server.worker_pids()
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        upstream.wait_until(lambda: upstream.open_calls < 40)
        wait_until(lambda: len(server.worker_pids()) == 2 and server.output().count("recordings_loaded") == 3)
        print(f"\na new worker is ready after {time.monotonic() - killed:.1f} s")
        left = upstream.open_calls
        stop.set()
        ends = hear_all_even_broken(streams)
        assert other in server.worker_pids() and ask(server) == 200
    whole = [end for end in ends if DONE_EVENT in end]
    cut = [end for end in ends if DONE_EVENT not in end]
    assert (len(whole), len(cut)) == (left, 40 - left) and 0 < left < 40
    assert not any(end.endswith(b"\r\n0\r\n\r\n") for end in cut)  # a broken body, no clean end


def hear_all_even_broken(connections: list[socket.socket]) -> list[bytes]:
    def hear(connection: socket.socket) -> bytes:
        received = b""
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(1 << 16):
                received += more
        return received

    with concurrent.futures.ThreadPoolExecutor(len(connections)) as pool:
        return list(pool.map(hear, connections))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    copy_project(tmp_path)
    return tmp_path


def reload(server: RunningServer) -> None:
    """SIGHUP; comes back when new workers alone take connections."""
    before = set(server.worker_pids())
    server.signal(signal.SIGHUP)
    wait_until(lambda: bool(starting(server)) and before.isdisjoint(starting(server)))
    wait_until(lambda: requests.get(f"{server.url}/ready", timeout=20).status_code == 200)


@pytest.mark.row("SD-07")
def test_a_reload_reads_everything_anew_under_open_streams(upstream: FakeUpstream, own: Path) -> None:
    stop = threading.Event()
    upstream.script = until(stop)
    settings = {"LLM_BASE_URL": upstream.base_url, "LLM_MODEL": "before"}
    with running_server(settings, cwd=own) as server, contextlib.ExitStack() as stack:
        streams = begin(server, stack, 5)
        health = own / "blueprints" / "meta.py"
        health.write_text(health.read_text().replace('{"status": "ok"}', '{"status": "ok, and new"}'))
        (own / "kb_data" / "new.json").write_text(json.dumps([{"text": "A zeppelin ride costs 900 dollars."}]))
        (own / "kb_data" / "broken.json").write_text('[{"text": "half')
        (own / "audio_assets" / "welcome.txt").write_text("Entirely new words.")
        (own / ".env").write_text("LLM_MODEL=after\nMAX_STREAMS=1\n")
        reload(server)
        assert requests.get(f"{server.url}/health", timeout=20).json() == {"status": "ok, and new"}
        upstream.script = answer("Hello there")
        question = {"messages": [{"role": "user", "content": "What does a zeppelin ride cost?"}]}
        assert requests.post(server.url + RAG, json=question, timeout=20).status_code == 200
        sent = upstream.calls[-1].json
        assert "900 dollars" in sent["messages"][-1]["content"] and sent["model"] == "before"
        audio = requests.post(server.url + AUDIO, json={**MESSAGES, "stream": False, "asset": "welcome"}, timeout=20)
        assert "Entirely new words." in audio.text
        assert re.search(r"knowledge_fault.*broken\.json:1:", server.output()) or "broken.json:1:" in server.output()
        assert ask(server, RAG) == 200
        upstream.wait_until(lambda: upstream.open_calls == 5)
        stop.set()
        assert all(end.count(DONE_EVENT) == 1 for end in hear_all(streams))
    assert "Traceback" not in server.output()


@pytest.mark.row("SD-07")
def test_streams_that_outlive_a_reloads_grace_are_told(upstream: FakeUpstream) -> None:
    upstream.script = until(threading.Event())
    with (
        running_server({"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "3"}) as server,
        contextlib.ExitStack() as stack,
    ):
        streams = begin(server, stack, 3)
        old = server.worker_pids()
        reload(server)
        ends = hear_all(streams)
        wait_until(lambda: set(old).isdisjoint(server.worker_pids()))
        upstream.script = answer("Hello there")
        assert ask(server) == 200
    for end in ends:
        assert b'"code":"server_shutting_down"' in end and b"[DONE]" not in end and end.endswith(b"\r\n0\r\n\r\n")


def worked_on(own: Path) -> dict[str, tuple[Path, str | None]]:
    """Return files of the project with what a bad deploy may put at their ends or in their place, None for nothing."""
    meta, conf = own / "blueprints" / "meta.py", own / "gunicorn.conf.py"
    return {
        "syntax error": (meta, meta.read_text() + "\ndef broken(:\n"),
        "missing package": (meta, "import no_such_package\n" + meta.read_text()),
        "raises at import": (meta, meta.read_text() + "\nraise RuntimeError('half deployed')\n"),
        "exits at import": (meta, meta.read_text() + "\nraise SystemExit('go away')\n"),
        "killed at import": (meta, meta.read_text() + "\nimport os\nos.kill(os.getpid(), 9)\n"),
        "no app": (own / "app.py", "application = None\n"),
        "faulty configuration": (conf, conf.read_text() + "\nworkers = 'many'\n"),
        "configuration that does not run": (conf, conf.read_text() + "\nimport no_such_package\n"),
        "no configuration": (conf, None),
        "no workers": (conf, conf.read_text() + "\nworkers = 0\n"),
        "another folder": (conf, conf.read_text() + "\nchdir = '/'\n"),
        "no folder for workers": (conf, conf.read_text() + "\nworker_tmp_dir = '/no/such/folder'\n"),
        "a hook that fails in the master": (conf, conf.read_text() + "\ndef pre_fork(server, worker):\n    1 / 0\n"),
        "a hook of reloads that fails": (conf, conf.read_text() + "\ndef on_reload(server):\n    1 / 0\n"),
    }


BAD_DEPLOYS = (
    "syntax error",
    "missing package",
    "raises at import",
    "exits at import",
    "killed at import",
    "no app",
    "faulty configuration",
    "configuration that does not run",
    "no configuration",
    "no workers",
    "another folder",
    "no folder for workers",
    "a hook that fails in the master",
    "a hook of reloads that fails",
)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunningServer, FakeUpstream]]:
    """A copy of the project, and its server, for one bad deploy after the other; and an upstream of their own."""
    folder = tmp_path_factory.mktemp("deployed")
    copy_project(folder)
    with FakeUpstream() as upstream, running_server({"LLM_BASE_URL": upstream.base_url}, cwd=folder) as server:
        yield folder, server, upstream


@pytest.mark.row("RF-21")
@pytest.mark.parametrize("deploy", BAD_DEPLOYS)
def test_a_reload_that_can_not_work_costs_no_call(
    deployed: tuple[Path, RunningServer, FakeUpstream], deploy: str
) -> None:
    folder, server, upstream = deployed
    stop, printed = threading.Event(), len(server.output())
    upstream.script = until(stop)
    file, faulty = worked_on(folder)[deploy]
    good = file.read_text()

    def told(*events: str) -> bool:
        return any(f'"{event}"' in server.output()[printed:] for event in events)

    with contextlib.ExitStack() as stack:
        streams = begin(server, stack, 10)
        before = server.worker_pids()
        stack.callback(file.write_text, good)
        file.unlink() if faulty is None else file.write_text(faulty)
        server.signal(signal.SIGHUP)
        wait_until(lambda: told("reload_failed", "reload_refused"))
        wait_until(lambda: server.worker_pids() == before)
        upstream.wait_until(lambda: upstream.open_calls == 10)
        upstream.script = answer("Hello there")
        assert [ask(server) for _ in range(3)] == [200] * 3
        file.write_text(good)
        reload(server)
        wait_until(lambda: told("reloaded"))
        assert ask(server) == 200
        # That of the last question ends a moment later than its answer.
        upstream.wait_until(lambda: upstream.open_calls == 10)
        stop.set()
        assert all(end.count(DONE_EVENT) == 1 for end in hear_all(streams))
        # Or the next reload would find an old worker.
        wait_until(lambda: set(before).isdisjoint(server.worker_pids()))


@pytest.mark.row("RF-21")
def test_a_faulty_setting_waits_for_the_next_start(upstream: FakeUpstream, own: Path) -> None:
    """Settings are read once, in the master."""
    blank = [name for name in setting_names() if name != "HEARTBEAT"]
    with running_server({"LLM_BASE_URL": upstream.base_url}, cwd=own, blank=blank) as server:
        (own / ".env").write_text("HEARTBEAT=now and then\n")
        reload(server)
        assert ask(server) == 200


@pytest.mark.row("RF-21")
def test_old_workers_accept_until_the_new_ones_have_booted(upstream: FakeUpstream, own: Path) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    with running_server(settings, cwd=own) as server:
        meta = own / "blueprints" / "meta.py"
        go_on = own / "go-on"
        waits = f"while not Path({str(go_on)!r}).exists():\n    time.sleep(0.01)\n"
        meta.write_text(f"{meta.read_text()}\nimport time\nfrom pathlib import Path\n{waits}")
        before = set(server.worker_pids())
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.worker_pids()) == 4)
        assert starting(server) >= before
        assert [ask(server) for _ in range(5)] == [200] * 5
        go_on.touch()
        wait_until(lambda: len(server.worker_pids()) == 2 and before.isdisjoint(server.worker_pids()))
        assert ask(server) == 200
    assert "reload_failed" not in server.output()


@pytest.mark.row("RF-21")
def test_a_worker_that_can_not_start_again_ends_no_other(upstream: FakeUpstream, own: Path) -> None:
    """The code on the disk has changed for the worse without a reload, and a worker dies."""
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2"}
    with running_server(settings, cwd=own) as server:
        file, faulty = worked_on(own)["missing package"]
        good = file.read_text()
        file.write_text(str(faulty))
        victim, other = server.worker_pids()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: server.output().count("no_such_package") >= 2)
        assert other in server.worker_pids() and ask(server) == 200
        file.write_text(good)
        wait_until(lambda: server.output().count("recordings_loaded") == 3)
        assert ask(server) == 200


@pytest.mark.row("RF-21")
def test_a_start_that_can_not_work_still_ends(upstream: FakeUpstream, own: Path) -> None:
    file, faulty = worked_on(own)["missing package"]
    file.write_text(str(faulty))
    with (
        pytest.raises(ServerDidNotStart) as raised,
        running_server({"LLM_BASE_URL": upstream.base_url}, cwd=own),
    ):
        pass
    assert raised.value.returncode == 3


@pytest.mark.row("RF-21")
def test_reloads_in_a_row_and_a_stop_between_do_not_wait(upstream: FakeUpstream, own: Path) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "GRACEFUL_TIMEOUT": "3"}, cwd=own) as server:
        before = set(server.worker_pids())
        for _ in range(3):
            server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.worker_pids()) == 1 and before.isdisjoint(server.worker_pids()))
        assert ask(server) == 200
        meta = own / "blueprints" / "meta.py"
        meta.write_text(meta.read_text() + "\nimport time\ntime.sleep(30)\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.worker_pids()) == 2)
        assert ask(server) == 200
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit(15) == 0
