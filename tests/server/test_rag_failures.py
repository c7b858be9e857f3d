"""RG-02, RG-03: looking up fails or finds nothing; the caller is answered all the same."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import Call, FakeUpstream
from heard import WAITED, Heard, ask, says
from running_server import RunningServer, hooked, running_server

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
QUESTION = {"role": "user", "content": "What does a tune-up cost?"}

BREAKS = """
import gevent
class Broken:
    def search(self, query, limit):
        if "raise" in query.text:
            raise OSError("no index")
        gevent.sleep(30)
class Bases:
    state = "ok"
    def refresh(self):
        return False
    def get(self, name):
        return type("Base", (), {"index": Broken()})
worker.app.wsgi().extensions["parley"].knowledge.bases = Bases()
"""


@pytest.fixture(scope="module")
def _settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return hooked(tmp_path_factory.mktemp("conf"), BREAKS)


@pytest.fixture(scope="module")
def broken(upstream_url: str, _settings: tuple[str, str]) -> Iterator[RunningServer]:
    """A server whose search raises where the question says so, and else takes half a minute."""
    env = {"LLM_BASE_URL": upstream_url, "WAITING_MESSAGES": "Wait.", "RAG_TIMEOUT": "0.4"}
    with running_server(env, argv=_settings) as server:
        yield server


def degraded(server: RunningServer) -> float:
    """What the metric says."""
    lines = requests.get(f"{server.url}/metrics", timeout=10).text.splitlines()
    found = [line for line in lines if line.startswith('parley_rag_lookups_total{result="degraded"}')]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.mark.row("RG-02")
@pytest.mark.parametrize("way", ["rag", "waited"])
@pytest.mark.parametrize("question", ["Please raise it", "Please be slow"])
def test_without_a_search_the_question_goes_upstream_alone(
    broken: RunningServer, first: FakeUpstream, question: str, way: str
) -> None:
    before, started = degraded(broken), time.monotonic()

    heard = ask(broken, way, messages=[{"role": "user", "content": question}], include_citations=True)

    heard.answered("Hello there")  # where a waiting message was spoken, it was spoken once
    assert heard.comments == [b"rag degraded"] and time.monotonic() - started < 10
    (call,) = heard.calls(first)
    assert call.json["messages"] == [{"role": "user", "content": question}]
    assert degraded(broken) == before + 1 and heard.end["passages"] is None


@pytest.mark.row("RG-02")
def test_a_waiting_message_with_a_delay_comes_in_time(broken: RunningServer, first: FakeUpstream) -> None:
    body = {"messages": [{"role": "user", "content": "Please be slow"}], "waiting": 50}
    with requests.post(f"{broken.url}/rag/chat/completions", json=body, stream=True, timeout=30) as response:
        frames = response.iter_content(chunk_size=None)
        assert WAITED.encode() in next(frames) and not first.calls  # the search is still under way
        rest = b"".join(frames)

    assert rest.count(b": rag degraded\n\n") == 1 and WAITED.encode() not in rest and rest.endswith(b"[DONE]\n\n")


@pytest.mark.row("RG-02")
def test_a_json_answer_without_a_search_has_no_citations(broken: RunningServer, first: FakeUpstream) -> None:
    first.script = says("Hello there")

    heard = Heard(broken, "json", *_asked_json(broken))

    heard.answered("Hello there")
    assert b'"citations":[]' in heard.body


def _asked_json(server: RunningServer) -> tuple[Any, ...]:
    body = {"messages": [{"role": "user", "content": "Please raise it"}], "stream": False}
    response = requests.post(f"{server.url}/rag/chat/completions", json=body, timeout=30)
    return response.headers["x-request-id"], response.status_code, response.headers, response.content


@pytest.mark.row("RG-02")
def test_leaving_during_a_hanging_search_asks_no_upstream(broken: RunningServer, first: FakeUpstream) -> None:
    body = {"messages": [{"role": "user", "content": "Please be slow"}], "waiting": "always"}
    headers = {"x-request-id": "left-in-search"}
    with requests.post(
        f"{broken.url}/rag/chat/completions", json=body, headers=headers, stream=True, timeout=30
    ) as response:
        next(response.iter_content(chunk_size=None))

    assert broken.wait_for_end("left-in-search")["outcome"] == "client_closed"
    assert not [call for call in first.calls if call.headers["x-request-id"] == "left-in-search"]


@pytest.mark.row("RG-03")
@pytest.mark.parametrize("way", ["rag", "waited"])
@pytest.mark.parametrize("empty", [True, False])
def test_nothing_found_is_told_to_the_model_which_answers(
    first: FakeUpstream, quick_servers: Servers, tmp_path_factory: pytest.TempPathFactory, empty: bool, way: str
) -> None:
    server = quick_servers(KB_DIR=str(nothing(tmp_path_factory))) if empty else quick_servers()

    heard = ask(server, way, messages=[{"role": "user", "content": "Xyzzy plugh?"}])

    heard.answered("Hello there")
    call: Call
    (call,) = heard.calls(first)
    told = call.json["messages"][-1]["content"]
    assert "nothing was found" in told and told.endswith("Xyzzy plugh?") and "<reference" not in told
    assert heard.comments == [] and heard.end["passages"] == 0


def nothing(factory: pytest.TempPathFactory) -> Path:
    """An empty folder, the same for all tests."""
    folder = factory.getbasetemp() / "no-knowledge"
    folder.mkdir(exist_ok=True)
    return folder
