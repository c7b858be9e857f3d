"""`/rag` where the search fails or finds nothing, and where the upstream fails after the waiting message."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import (
    END,
    HANG,
    Call,
    FakeUpstream,
    Step,
    chunks,
    close,
    encode,
    event,
    events,
    head,
    refusal,
)
from heard import WAITED, Heard, ask, fallback_to, in_turn, rested, says
from running_server import RunningServer, hooked, running_server

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
QUESTION = {"role": "user", "content": "What does a tune-up cost?"}

BREAKS = """
import gevent
class Broken:
    def rank(self, query, limit):
        if "raise" in query.text:
            raise OSError("no index")
        gevent.sleep(30)
class Bases:
    state = "ok"
    listed = {}
    def require(self, name):
        pass
    def refresh(self):
        return False
    def attend(self, seconds):
        pass
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
    lines = requests.get(f"{server.url}/metrics", timeout=30).text.splitlines()
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


ROLE, *WORDS, FINISH = chunks("One two")
BOOM = {"message": "boom at 10.0.0.1", "type": "server_error", "param": None}


BEFORE: dict[str, tuple[list[Step], str]] = {
    "500": (refusal(500, BOOM), "upstream_error"),
    "429": (refusal(429, BOOM, {"retry-after-ms": "50"}), "rate_limited"),
    "a close": ([close], "upstream_unreachable"),
    "an error after the role": ([*events([ROLE]), event(encode({"error": BOOM})), END], "upstream_error"),
    "no event": ([head(), END], "upstream_empty_response"),
    "silence": ([HANG], "upstream_timeout"),
}


@pytest.mark.row("RG-01")
@pytest.mark.parametrize("fault", BEFORE)
def test_a_failure_after_the_waiting_message_is_retried(single: RunningServer, first: FakeUpstream, fault: str) -> None:
    rested(single, first)
    first.script = in_turn(BEFORE[fault][0], says("65 dollars"))
    ask(single, "waited").answered("65 dollars")
    assert len(first.calls) == 2


@pytest.mark.row("RG-01")
@pytest.mark.parametrize("fault", BEFORE)
def test_after_the_waiting_message_the_next_upstream_answers(
    quick_servers: Servers, first: FakeUpstream, second: FakeUpstream, fault: str
) -> None:
    server = quick_servers(LLM_FALLBACKS=fallback_to(second))
    rested(server, first)
    first.script, second.script = BEFORE[fault][0], says("65 dollars")
    heard = ask(server, "waited")
    heard.answered("65 dollars")
    assert heard.end["upstream"] == "fallback-1" and heard.status == 200


@pytest.mark.row("RG-01")
def test_a_lasting_failure_is_told_after_the_waiting_message(single: RunningServer, first: FakeUpstream) -> None:
    for script, code in BEFORE.values():
        first.script = script
        heard = ask(single, "waited")
        heard.failed(502, code)
        assert heard.payloads[0].count(WAITED.encode()) == 1 and len(heard.payloads) == 3


@pytest.mark.row("RG-01")
@pytest.mark.parametrize("fault", ["500", "a close", "no event"])
def test_fallback_text_is_spoken_after_the_waiting_message(
    speaking: RunningServer, first: FakeUpstream, fault: str
) -> None:
    first.script, code = BEFORE[fault]
    ask(speaking, "waited").spoke(" Sorry?", code)
