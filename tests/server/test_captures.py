"""CAPTURE on the real server: what is kept of requests and answers, where, for whom; and that by default nothing is."""

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream, answer, chunks, completion, events, refusal
from running_server import RunningServer, running_server
from waiting import wait_until

KEY = "door-key-CANARY-0123456789"
UPSTREAM_KEY = "plainCANARYkey/9876543210"
CHAT, RAG, AUDIO = "/chat/completions", "/rag/chat/completions", "/audio/chat/completions"
DOOR = {"authorization": f"Bearer {KEY}"}
KEPT = 4

pytestmark = [pytest.mark.server, pytest.mark.row("PG-15")]


@pytest.fixture(scope="module")
def server(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that keeps a few requests, with keys at its door."""
    settings = {"LLM_BASE_URL": upstream_url, "LLM_API_KEY": UPSTREAM_KEY, "API_KEYS": KEY, "CAPTURE": str(KEPT)}
    shared = tmp_path_factory.mktemp("shared")
    with running_server({**settings, "LOG_LEVEL": "debug"}, argv=("--worker-tmp-dir", str(shared))) as running:
        yield running


def ask(server: RunningServer, name: str, path: str = CHAT, words: str = "CANARYWORD?", **fields: Any) -> str:
    """Ask under an id, and return the whole answer."""
    body = {"messages": [{"role": "user", "content": words}], "stream": True, **fields}
    told = requests.post(server.url + path, json=body, headers={**DOOR, "x-request-id": name}, timeout=20)
    return told.content.decode()


def capture(server: RunningServer, name: str) -> dict[str, Any] | None:
    """Return a capture once its turn has ended; None where there is none."""
    told = requests.get(f"{server.url}/playground/api/capture", params={"id": name}, headers=DOOR, timeout=30)
    if told.status_code == 404:
        return None
    found: dict[str, Any] = told.json()
    return found


def kept(server: RunningServer) -> list[dict[str, Any]]:
    told = requests.get(f"{server.url}/playground/api/captures", headers=DOOR, timeout=30).json()
    found: list[dict[str, Any]] = told["captures"]
    return found


def answered(server: RunningServer, name: str, whole: str) -> dict[str, Any]:
    """Return the capture of a request, once it holds the whole answer."""
    wait_until(lambda: (capture(server, name) or {}).get("answer") == whole, tell=lambda: str(capture(server, name)))
    found = capture(server, name)
    assert found is not None
    return found


@pytest.mark.parametrize("path", [CHAT, RAG, AUDIO])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_body_and_answer_are_kept(server: RunningServer, upstream: FakeUpstream, path: str, stream: bool) -> None:
    upstream.script = answer("CANARYANSWER it is.") if stream else completion("CANARYANSWER it is.")
    name = f"kept-{path.count('/')}-{path[1:4]}-{stream}"
    whole = ask(server, name, f"{path}?x=1", stream=stream, turn_id=7)

    found = answered(server, name, whole) if len(whole) < 250_000 else capture(server, name)
    assert found is not None and found["path"] == f"{path}?x=1" and found["endpoint"] == (path.split("/")[-3] or "chat")
    assert '"content": "CANARYWORD?"' in found["body"] and '"turn_id": 7' in found["body"]
    assert found["answer_bytes"] == len(whole.encode()) and whole.startswith(found["answer"])
    assert path == AUDIO or "CANARYANSWER" in whole.replace("CANARY ANSWER", "CANARYANSWER")


def test_only_the_last_ones_are_kept(server: RunningServer, upstream: FakeUpstream) -> None:
    names = [f"last-{number}" for number in range(KEPT + 2)]
    for name in names:
        answered(server, name, ask(server, name))

    assert [one["id"] for one in kept(server)] == names[: -KEPT - 1 : -1]
    assert capture(server, "last-0") is None
    status = requests.get(f"{server.url}/playground/api/status", headers=DOOR, timeout=30).json()
    assert status["capture"] == KEPT and any("callers' words" in hint["text"] for hint in status["hints"])


def test_what_left_before_a_barge_in_is_kept(server: RunningServer, upstream: FakeUpstream) -> None:
    never = threading.Event()
    upstream.script = [*events(chunks("Welcome to the house")[:3]), never]
    body = {"messages": [{"role": "user", "content": "Hello?"}], "stream": True}
    headers = {**DOOR, "x-request-id": "barge-in"}
    with requests.post(server.url + CHAT, json=body, headers=headers, stream=True, timeout=20) as response:
        assert b"Welcome" in next(response.iter_lines(chunk_size=1)) + b"".join(
            line for _, line in zip(range(4), response.iter_lines(chunk_size=1), strict=False)
        )
    server.wait_for_end("barge-in")

    found = capture(server, "barge-in")
    assert found is not None and "Welcome" in found["answer"] and "[DONE]" not in found["answer"]


def test_refused_requests_leave_what_their_callers_may_say(server: RunningServer, upstream: FakeUpstream) -> None:
    wrong = {"authorization": "Bearer wrong-CANARY-key", "x-request-id": "wrong"}
    assert requests.post(server.url + CHAT, json={"messages": []}, headers=wrong, timeout=30).status_code == 401
    large = b" " * ((2 << 20) + 1)
    named = {**DOOR, "x-request-id": "large"}
    assert requests.post(server.url + CHAT, data=large, headers=named, timeout=30).status_code == 413
    assert capture(server, "wrong") is None and capture(server, "large") is None

    for name, raw in (("torn", b'{"messages": [CANARYTORN'), ("latin", b'{"messages": "\xe9CANARYTORN"}')):
        told = requests.post(server.url + CHAT, data=raw, headers={**DOOR, "x-request-id": name}, timeout=30)
        found = answered(server, name, told.text)
        assert told.status_code == 400 and found["body"] == raw.decode(errors="replace")


def test_an_upstreams_failure_is_kept_as_it_was_told(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = refusal(400, {"message": "no such thing", "type": "x", "code": "odd"})
    whole = ask(server, "failed")

    assert '"error"' in answered(server, "failed", whole)["answer"]


def test_sizes_are_bounded_and_keys_taken_out(server: RunningServer, upstream: FakeUpstream) -> None:
    secrets = f"{UPSTREAM_KEY} {KEY} sk-abcdefgh01234567"
    upstream.script = answer(f"Look: {secrets.split()[2]} {KEY} " + "x" * 700_000)
    whole = ask(server, "large", words=f"{secrets} {'y' * 500_000}")
    server.wait_for_end("large")

    found = capture(server, "large")
    assert found is not None and found["body_cut"] and found["answer_cut"]
    assert found["body_bytes"] > 500_000 and found["answer_bytes"] == len(whole.encode())
    for text in (found["body"], found["answer"]):
        assert 200_000 < len(text) <= 256 << 10 and not [one for one in secrets.split() if one in text]
    assert "***" in found["body"]


def test_nothing_is_on_a_disk_or_in_the_log(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("CANARYANSWER")
    answered(server, "secret", ask(server, "secret"))

    log = server.output()
    assert "CANARY" not in log and '"capture_on"' in log and log.count('"capture_on"') == 1
    files = [file for pid in server.worker_pids() for file in open_files(pid)]
    assert not [file for file in files if b"CANARYWORD" in file.read_bytes()]


def open_files(pid: int) -> list[Path]:
    """Return the plain files that a process has open."""
    links = [Path(os.path.realpath(link)) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [file for file in links if file.is_file()]


@pytest.mark.parametrize("name", ["captures", "capture?id=any"])
def test_captures_are_for_who_may_see_the_data(server: RunningServer, name: str) -> None:
    address = f"{server.url}/playground/api/{name}"
    assert requests.get(address, timeout=30).status_code == 401
    foreign = {**DOOR, "sec-fetch-site": "cross-site"}
    assert requests.get(address, headers=foreign, timeout=30).status_code == 403
    assert requests.post(address, headers=DOOR, timeout=30).status_code == 405
    proxied = requests.get(address, headers={**DOOR, "x-forwarded-for": "1.2.3.4"}, timeout=30)
    assert proxied.status_code == 404 and proxied.headers.get("cache-control") is None


def test_without_keys_only_this_machine_sees_them(upstream: FakeUpstream) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "PLAYGROUND": "on", "CAPTURE": "1"}) as server:
        ask(server, "one")
        for name in ("captures", "capture?id=one"):
            address = f"{server.url}/playground/api/{name}"
            refused = requests.get(address, headers={"host": "any.example"}, timeout=30)
            assert (refused.status_code, "CANARY" in refused.text) == (403, False)
        assert capture(server, "one") is not None
        # It is gone with its worker.
        old = server.worker_pids()
        os.kill(old[0], signal.SIGKILL)
        wait_until(lambda: server.worker_pids() not in ([], old))
        wait_until(lambda: requests.get(f"{server.url}/health", timeout=30).status_code == 200)
        assert capture(server, "one") is None


def test_each_of_several_workers_tells_of_its_own(upstream: FakeUpstream) -> None:
    settings = {"LLM_BASE_URL": upstream.base_url, "WEB_CONCURRENCY": "2", "CAPTURE": "5"}
    with running_server(settings) as server:
        address = f"{server.url}/playground/api/captures"
        found: dict[int, set[str]] = {}
        numbers = itertools.count()

        def look(_: int) -> None:
            ask(server, f"call-{next(numbers)}")
            told = requests.get(address, timeout=30).json()
            assert told["workers"] == 2 and told["capture"] == 5
            found[told["worker"]] = {one["id"] for one in told["captures"]}

        def both_have_told() -> bool:
            # At once: of questions in a row an idle worker may take all.
            with ThreadPoolExecutor(8) as callers:
                list(callers.map(look, range(16)))
            return len(found) == 2 and all(found.values())

        wait_until(both_have_told)
        missed = requests.get(f"{server.url}/playground/api/capture?id=none", timeout=30)
        assert missed.status_code == 404 and "of 2" in missed.text
        # The next question, on another connection, may reach the other worker.
        assert missed.headers["connection"] == "close"
        assert not set.intersection(*found.values())


@pytest.mark.row("PG-10")
def test_by_default_nothing_is_kept(upstream: FakeUpstream) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url}) as server:
        ask(server, "call")
        server.wait_for_end("call")
        told = requests.get(f"{server.url}/playground/api/captures", timeout=30).json()
        assert (told["capture"], told["captures"]) == (0, [])
        assert capture(server, "call") is None and "capture" not in server.output()
        status = requests.get(f"{server.url}/playground/api/status", timeout=30).json()
        assert status["capture"] == 0 and "callers' words" not in str(status["hints"])


@pytest.mark.parametrize("settings", [{"PLAYGROUND": "off"}, {"PORT": "8123"}], ids=["off", "hosted"])
def test_where_nobody_sees_it_nothing_is_kept(upstream: FakeUpstream, settings: dict[str, str]) -> None:
    with running_server({"LLM_BASE_URL": upstream.base_url, "CAPTURE": "5", **settings}) as server:
        ask(server, "call")
        assert requests.get(f"{server.url}/playground/api/captures", timeout=30).status_code == 404
        assert '"capture_off"' in server.output() and '"capture_on"' not in server.output()
