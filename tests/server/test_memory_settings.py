"""The memory's settings on the real server: what a start refuses and warns of, and stores of each kind."""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
import tool_folder
from exchange import AUDIO, CHAT, RAG
from fake_upstream import DONE, END, HANG, FakeUpstream, Step, answer, chunk, event, events, whole
from running_server import RunningServer, ServerDidNotStart, post, receive_until, running_server
from waiting import wait_until

pytestmark = pytest.mark.server

NOWHERE = {"LLM_BASE_URL": "http://127.0.0.1:9/v1"}
FULL = {"MEMORY": "full"}
TTL = 3
QUESTION = "What is the deposit for a tandem?"
QUOTE = "The deposit for a tandem is fifty dollars."


def streamed(*sent: bytes) -> list[Step]:
    return [*events(sent), event(DONE), END]


def ask(server: RunningServer, path: str, text: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Ask in the one session of these tests; return the answer and its log line."""
    request_id = uuid.uuid4().hex
    body = {"messages": [{"role": "user", "content": text}], "session_id": "room", **fields}
    response = requests.post(server.url + path, json=body, headers={"x-request-id": request_id}, timeout=30)
    assert response.status_code == 200, response.text
    return response.text, server.wait_for_end(request_id)


@pytest.mark.row("MM-02")
@pytest.mark.parametrize(
    ("env", "argv"),
    [
        ({}, ["-w", "2"]),
        ({"WEB_CONCURRENCY": "3"}, []),
        ({"GUNICORN_CMD_ARGS": "--workers 2"}, []),
        ({"MEMORY": "tools", "MEMORY_STORE": "memory:", "WEB_CONCURRENCY": "2"}, []),
    ],
)
def test_several_workers_need_a_store_they_share(env: Mapping[str, str], argv: Sequence[str]) -> None:
    with pytest.raises(ServerDidNotStart) as caught, running_server({**NOWHERE, **FULL, **env}, argv=argv):
        pass

    assert caught.value.returncode == 1
    (line,) = [line for line in caught.value.output.splitlines() if line.startswith("parley: ")]
    assert line.startswith("parley: MEMORY_STORE=memory: ") and "sqlite:/dev/shm/parley.db" in line


@pytest.mark.row("MM-02")
def test_an_edited_agent_needs_a_shared_store_as_well(tmp_path: Path) -> None:
    (tmp_path / "mia.json").write_text("{}")
    env = {**NOWHERE, "AGENTS_DIR": str(tmp_path), "KB_POLL": "0.1", "WEB_CONCURRENCY": "2"}
    with running_server(env) as server:
        (tmp_path / "mia.json").write_text('{"memory": "full"}')

        wait_until(lambda: server.output().count("agents_kept") == 2)

        (line,) = {json.loads(line)["fault"] for line in server.lines() if "agents_kept" in line}
        assert line.startswith("mia: MEMORY_STORE=memory: ")


@pytest.fixture(scope="module")
def quoting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    """A server without a model and without keys, whose store is a file."""
    folder = tmp_path_factory.mktemp("quoting")
    (folder / "kb.json").write_text(f'[{{"title": "Deposit", "text": "{QUOTE}"}}]')
    store = {"MEMORY_STORE": f"sqlite:{folder}/s.db", "KB_DIR": str(folder)}
    with running_server({**FULL, **store, "AUDIO_LEAD_MS": "5000", "WAITING": "off"}) as server:
        yield server, folder


@pytest.mark.row("MM-06")
def test_quotes_are_not_stored(quoting: tuple[RunningServer, Path]) -> None:
    server, folder = quoting
    text, end = ask(server, RAG, QUESTION)
    assert QUOTE in text and end["upstream"] == "knowledge"

    _, end = ask(server, RAG, "And for a bicycle?")

    assert end["memory"] == "1/1"
    stored = b"".join(file.read_bytes() for file in folder.glob("s.db*"))
    assert QUESTION.encode() in stored and QUOTE.encode() not in stored


def test_a_recording_is_a_turn_as_well(quoting: tuple[RunningServer, Path]) -> None:
    server, _ = quoting
    _, end = ask(server, AUDIO, "Hello?", session_id="recorded")
    _, end = ask(server, AUDIO, "And?", session_id="recorded", stream=False)

    assert end["memory"] == "2/2"


def test_strangers_who_could_ask_are_warned_of(quoting: tuple[RunningServer, Path]) -> None:
    server, _ = quoting

    assert '"event":"open_memory"' in server.output()
    assert requests.delete(f"{server.url}/sessions/room", timeout=30).status_code == 204


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory, upstream_url: str) -> Iterator[RunningServer]:
    """A server of one worker that remembers in it, for a short time, and relays audio."""
    folder = tmp_path_factory.mktemp("tools")
    with FakeUpstream() as tool_server:
        tool_server.script = whole(b'{"free":2}')
        tool_folder.write(folder, tool_server.base_url)
        env = {"LLM_BASE_URL": upstream_url, "TOOLS_DIR": str(folder), "AUDIO_MODE": "relay", "AUDIO_LEAD_MS": "5000"}
        with running_server({**env, **FULL, "MEMORY_TTL": str(TTL)}) as server:
            yield server


@pytest.mark.row("MM-04")
def test_an_upstream_that_speaks_gets_no_calls_of_tools(single: RunningServer, upstream: FakeUpstream) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "order_status", "arguments": "{}"}}
    upstream.enqueue(streamed(chunk({"role": "assistant", "tool_calls": [call]}), chunk({}, "tool_calls")))
    upstream.script = answer("Two are free.")
    ask(single, CHAT, "Which?")
    words = [chunk({"audio": {"id": "a", "transcript": text}}) for text in ("Good ", "morning!")]
    upstream.script = streamed(*words, chunk({"audio": {"id": "a", "data": "AAAA" * 800}}), chunk({}, "stop"))

    ask(single, AUDIO, "Say it.")
    read = upstream.calls[-1].json["messages"]
    upstream.script = answer("Fine.")
    ask(single, CHAT, "Thanks.")

    assert [each["role"] for each in read] == ["user", "assistant", "user"]
    roles = [(each["role"], each["content"]) for each in upstream.calls[-1].json["messages"]]
    assert [role for role, _ in roles] == ["user", "assistant", "tool", "assistant", "user", "assistant", "user"]
    assert roles[-2] == ("assistant", "Good morning!")


@pytest.mark.row("MM-05")
def test_a_session_is_forgotten_after_its_time(single: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("Yes.")
    ask(single, CHAT, "A word.", session_id="short")

    _, end = ask(single, CHAT, "More.", session_id="short")
    assert end["memory"] == "2/2"

    time.sleep(TTL + 0.2)

    _, end = ask(single, CHAT, "More.", session_id="short")
    assert end["memory"] == "0/0"


def test_another_worker_is_refused(single: RunningServer) -> None:
    single.signal(signal.SIGTTIN)

    wait_until(lambda: '"event":"worker_refused"' in single.output())


@pytest.mark.row("MM-05")
def test_a_store_that_can_not_be_used_costs_no_turn(upstream: FakeUpstream, tmp_path: Path) -> None:
    env = {"LLM_BASE_URL": upstream.base_url, **FULL, "MEMORY_STORE": f"sqlite:{tmp_path}/none/s.db"}
    with running_server(env) as server:
        for path in (CHAT, RAG, "/v1/chat/completions"):
            text, end = ask(server, path, "Hello?")
            assert "there" in text and (end["memory"], end["outcome"]) == ("failed", "ok")

        metrics = requests.get(f"{server.url}/metrics", timeout=30).text
        assert server.output().count('"event":"memory_failed"') == 1
        assert 'parley_memory_lookups_total{result="failed"} 3.0' in metrics
        assert requests.delete(f"{server.url}/sessions/room", timeout=30).status_code == 503


def test_a_turn_that_the_stop_cuts_is_remembered(upstream: FakeUpstream, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    env = {"LLM_BASE_URL": upstream.base_url, **FULL, "MEMORY_STORE": f"sqlite:{file}", "GRACEFUL_TIMEOUT": "4"}
    upstream.script = [*events([chunk({"content": "It costs eleven"})]), HANG]
    body = {"messages": [{"role": "user", "content": "How much then?"}], "session_id": "room"}
    with running_server(env) as server, server.connect() as connection:
        connection.sendall(post(CHAT, body, x_request_id="cut"))
        receive_until(connection, b"eleven")
        server.signal(signal.SIGTERM)
        server.wait_for_exit(20)
        (end,) = server.request_ends("cut")

    assert (end["outcome"], end["memory"]) == ("shutdown", "0/0")
    assert b"How much then?" in file.read_bytes() and b"It costs eleven" in file.read_bytes()
    assert not os.path.exists(f"{file}-wal")


def test_without_a_memory_nothing_is_deleted_or_logged(patient: RunningServer, upstream: FakeUpstream) -> None:
    _, end = ask(patient, CHAT, "Hello?")
    gone = requests.delete(f"{patient.url}/v1/sessions/room", timeout=30)

    assert end["memory"] is None and (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
