"""A worker that ends while the files of tools are being edited: the server goes on with what was good."""

import os
import signal
from pathlib import Path

import pytest
import requests
import tool_folder
from fake_upstream import FakeUpstream, answer
from running_server import RunningServer, running_server
from waiting import wait_until

from parley.files.folder import json_files
from parley.server.kept_files import KeptFiles

HELLO = {"messages": [{"role": "user", "content": "Hello?"}]}


def offered(server: RunningServer, upstream: FakeUpstream) -> set[str]:
    """Return the names of the tools that the model is told of."""
    requests.post(f"{server.url}/chat/completions", json={**HELLO, "stream": True}, timeout=30)
    return {tool["function"]["name"] for tool in upstream.calls[-1].json["tools"]}


def replace_worker(server: RunningServer) -> None:
    (worker,) = server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.worker_pids() not in ([], [worker]) and server._is_healthy())


@pytest.mark.server
@pytest.mark.row("TL-22")
def test_a_worker_starts_beside_half_edited_files(tmp_path: Path) -> None:
    with FakeUpstream() as upstream:
        upstream.script = answer("Hello there")
        tool_folder.write(tmp_path, upstream.base_url)
        with running_server({"LLM_BASE_URL": upstream.base_url, "TOOLS_DIR": str(tmp_path), "KB_POLL": "0"}) as server:
            before = offered(server, upstream)
            # A reload proves newer files good.
            good = tool_folder.FUNCTIONS.replace("def nap", "def doze")
            (tmp_path / "staff.py").write_text(good)
            server.signal(signal.SIGHUP)
            wait_until(lambda: '"reloaded"' in server.output() and len(server.worker_pids()) == 1)
            (tmp_path / "shop.json").write_text('{"tools": [')
            (tmp_path / "staff.py").write_text("def nap(:")
            replace_worker(server)
            assert offered(server, upstream) == before - {"nap"} | {"doze"}
            assert '"tools_kept"' in server.output() and "shop.json:1:12" in server.output()
            # A reload is still refused, and changes nothing of what is kept.
            server.signal(signal.SIGHUP)
            wait_until(lambda: '"reload_failed"' in server.output())
            replace_worker(server)
            assert "doze" in offered(server, upstream)


def test_what_is_read_is_kept_once_it_has_proven_good(tmp_path: Path) -> None:
    kept = KeptFiles(json_files)
    (tmp_path / "a.json").write_text("[]")
    kept.read(tmp_path)
    assert kept.contents == {}
    kept.keep()
    (tmp_path / "a.json").write_text("[")
    kept.read(tmp_path)
    assert kept.contents == {"a.json": b"[]"}
    kept.read(tmp_path / "gone")
    kept.keep()
    assert kept.contents == {}
