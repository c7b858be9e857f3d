"""A knowledge base in the path, for platforms that only append to a base URL."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import FakeUpstream
from heard import says
from running_server import RunningServer, running_server

pytestmark = [pytest.mark.server, pytest.mark.row("RD-05")]
HELLO = {"messages": [{"role": "user", "content": "Where is parking?"}]}
FORMS = ["/kb/{kb}{way}", "/kb/{kb}{way}/v1", "/kb/{kb}/v1{way}", "/v1/kb/{kb}{way}"]
BASES = {"": "at home", "north": "in the yard", "v1": "on the roof", "south.2-b": "in the lane"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("kb")
    for name, text in BASES.items():
        (home / name).mkdir(exist_ok=True)
        (home / name / "a.json").write_text(json.dumps({"Parking": f"Parking is {text}."}))
    return home


@pytest.fixture(scope="module")
def server(folder: Path, upstream_url: str) -> Iterator[RunningServer]:
    """A server that speaks what it answers from four knowledge bases."""
    settings = {"LLM_BASE_URL": upstream_url, "KB_DIR": str(folder), "RAG_TIER": "lexical", "WAITING": "off"}
    with running_server({**settings, "AUDIO_MODE": "speech", "AUDIO_LEAD_MS": "5000"}) as running:
        yield running


@pytest.fixture
def upstream(first: FakeUpstream) -> FakeUpstream:
    first.script = says("Over there.")
    return first


def asked(server: RunningServer, path: str, **fields: Any) -> requests.Response:
    return requests.post(f"{server.url}{path}", json={**HELLO, **fields}, timeout=30)


def told(upstream: FakeUpstream) -> str:
    return str(upstream.calls.pop().json["messages"][-1]["content"])


@pytest.mark.parametrize("name", ["north", "v1", "south.2-b"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("way", ["/rag", "/audio"])
@pytest.mark.parametrize("form", FORMS)
def test_the_base_of_the_path_answers(
    server: RunningServer, upstream: FakeUpstream, form: str, way: str, slash: str, name: str
) -> None:
    response = asked(server, f"{form.format(kb=name, way=way)}/chat/completions{slash}", stream=False)

    assert response.status_code == 200 and BASES[name] in told(upstream)


@pytest.mark.parametrize("form", FORMS)
def test_paths_under_v1_answer_in_one_piece_and_bare_ones_stream(
    server: RunningServer, upstream: FakeUpstream, form: str
) -> None:
    for name in ("north", "v1"):
        response = asked(server, f"{form.format(kb=name, way='/rag')}/chat/completions")

        is_stream = response.headers["content-type"].startswith("text/event-stream")
        assert is_stream is ("v1" not in form) and BASES[name] in told(upstream)


def test_the_path_wins_over_body_and_query(server: RunningServer, upstream: FakeUpstream) -> None:
    path = "/kb/north/rag/chat/completions?kb=v1"

    asked(server, path, kb="south.2-b")

    assert BASES["north"] in told(upstream)


@pytest.mark.parametrize("way", ["rag", "audio"])
@pytest.mark.parametrize("name", ["none", "..", "a.json", "north%00", "%2e%2e", "n\u00f6rth", "north%20"])
def test_an_unknown_base_is_answered_as_in_the_body(
    server: RunningServer, upstream: FakeUpstream, name: str, way: str
) -> None:
    in_path = asked(server, f"/kb/{name}/{way}/chat/completions") if name != ".." else None
    in_body = asked(server, f"/{way}/chat/completions", kb="none")

    assert (in_body.status_code, in_body.json()["error"]["code"]) == (404, "unknown_knowledge_base")
    if in_path is not None:
        assert (in_path.status_code, in_path.json()) == (404, in_body.json())
    assert upstream.calls == []


@pytest.mark.parametrize("form", FORMS)
def test_models_are_listed_beside_each_path(server: RunningServer, form: str) -> None:
    for way in ("/rag", "/audio"):
        response = requests.get(f"{server.url}{form.format(kb='north', way=way)}/models", timeout=20)

        assert (response.status_code, response.json()["object"]) == (200, "list")


@pytest.mark.parametrize(
    "path", ["/kb/north/chat/completions", "/kb//rag/chat/completions", "/kb/a/b/rag/chat/completions"]
)
def test_other_paths_are_not_found(server: RunningServer, path: str) -> None:
    assert asked(server, path).json()["error"]["code"] == "not_found"
