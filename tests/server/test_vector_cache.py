"""The file of cached vectors while another process holds its lock."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from fake_upstream import Call, FakeUpstream, Step, whole
from running_server import running_server
from waiting import wait_until

pytestmark = pytest.mark.server


def vectors(call: Call) -> list[Step]:
    rows = [{"index": at, "embedding": [1.0, 0.5]} for at in range(len(call.json["input"]))]
    return whole(json.dumps({"data": rows}).encode(), headers={"connection": "close"})


@pytest.fixture
def encoder() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = vectors
        yield fake


def test_a_locked_file_of_embeddings_stops_no_answer(encoder: FakeUpstream, tmp_path: Path) -> None:
    """The passages are encoded all the same, and nothing waits in the event loop for the lock."""
    knowledge, file = tmp_path / "kb", tmp_path / "cache" / "embeddings.sqlite"
    knowledge.mkdir()
    (knowledge / "a.json").write_text(json.dumps([{"text": f"Passage {number}."} for number in range(60)]))
    file.parent.mkdir()
    settings = {
        "LLM_BASE_URL": encoder.base_url,
        "EMBEDDINGS_BASE_URL": encoder.base_url,
        "EMBEDDINGS_CACHE": str(file.parent),
        "KB_DIR": str(knowledge),
        "RAG_TIER": "auto",
    }
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        waits = []
        with running_server(settings) as server:

            def is_filled() -> bool:
                asked = time.monotonic()
                assert requests.get(f"{server.url}/health", timeout=30).status_code == 200
                waits.append(time.monotonic() - asked)
                return "embeddings_ready" in server.output()

            wait_until(is_filled, 60, tell=server.output)

    assert max(waits) < 2.0, "seconds"
    assert sum(len(call.json["input"]) for call in encoder.calls) == 60
