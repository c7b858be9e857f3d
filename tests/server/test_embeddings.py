"""An embeddings API that goes wrong while callers ask: words alone at once, told once, healed by itself."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import Call, FakeUpstream, Step, refusal, whole
from heard import ask, says
from running_server import RunningServer, running_server
from waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.row("RF-18")]
DOG, PRICE = [1.0, 0.1], [0.1, 1.0]


def rows_of(call: Call) -> list[list[float]]:
    return [DOG if "dog" in text or "pet" in text else PRICE for text in call.json["input"]]


def data(rows: list[Any], **fields: Any) -> list[Step]:
    body = {"data": [{"index": at, "embedding": row, **fields} for at, row in enumerate(rows)]}
    return whole(json.dumps(body).encode(), headers={"connection": "close"})


def well(call: Call) -> list[Step]:
    return data(rows_of(call))


FAULTS: dict[str, Callable[[Call], list[Step]]] = {
    "no vectors": lambda _: data([]),
    "empty vectors": lambda call: data([[] for _ in rows_of(call)]),
    "zeros": lambda call: data([[0.0, 0.0] for _ in rows_of(call)]),
    "other dimensions": lambda call: data([[*row, 0.0] for row in rows_of(call)]),
    "not a number": lambda call: whole(json.dumps({"data": [{"embedding": [float("nan"), 1.0]}]}).encode()),
    "an error": lambda _: refusal(500, {"message": "out of order"}, {"connection": "close"}),
}


@pytest.fixture
def encoder() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = well
        yield fake


@pytest.fixture
def server(encoder: FakeUpstream, first: FakeUpstream, tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose passages have their vectors."""
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "a.json").write_text(json.dumps({"Chain": "A new chain costs 35.", "Friend": "Our dog is Rex."}))
    settings = {
        "LLM_BASE_URL": first.base_url,
        "EMBEDDINGS_BASE_URL": encoder.base_url,
        "EMBEDDINGS_CACHE": str(tmp_path / "cache"),
        "KB_DIR": str(tmp_path / "kb"),
        "RAG_TIER": "auto",
        "LOG_FORMAT": "json",
    }
    first.script = says("Fine.")
    with running_server(settings) as running:
        wait_until(lambda: "embeddings_ready" in running.output(), 30, tell=running.output)
        yield running


def told(server: RunningServer, first: FakeUpstream, question: str) -> str:
    heard = ask(server, "rag", messages=[{"role": "user", "content": question}])
    (call,) = heard.calls(first)
    return str(call.json["messages"][-1]["content"])


def embeddings(server: RunningServer) -> str:
    return str(requests.get(f"{server.url}/ready", timeout=30).json()["details"]["embeddings"])


@pytest.mark.parametrize("fault", FAULTS)
def test_words_answer_until_the_api_is_well_again(
    server: RunningServer, encoder: FakeUpstream, first: FakeUpstream, fault: str
) -> None:
    assert "Rex" in told(server, first, "Have you got a pet?") and embeddings(server) == "ok"

    encoder.script = FAULTS[fault]
    answers = [told(server, first, "How much is a new chain?") for _ in range(3)]

    assert all("35" in answer for answer in answers)
    if fault != "other dimensions":
        # Vectors of other dimensions are made anew; all others are waited for.
        assert "embeddings API" in embeddings(server)
        encoder.script = well
    wait_until(lambda: "Rex" in told(server, first, "Have you got a pet?"), 40, tell=server.output)
    wait_until(lambda: embeddings(server) == "ok", 40, tell=server.output)
    warned = [line for line in server.lines() if "not_encoded" in line]
    assert len(warned) <= 2, "once for each reason"
    assert requests.get(f"{server.url}/ready", timeout=30).status_code == 200
    assert "rag_failed" not in server.output()
