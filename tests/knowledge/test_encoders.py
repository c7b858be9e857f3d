"""Vectors beside the streams: an API's deadline, the filling of an index, the embedded encoder ready in time."""

import concurrent.futures
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import pytest
from fake_upstream import HANG, Call, FakeUpstream, Step, refusal, whole
from structlog.testing import capture_logs

from parley.errors import ServerOverloaded
from parley.http_client import pool
from parley.knowledge import minilm
from parley.knowledge.documents import Passage
from parley.knowledge.encoders import ApiEncoder, EmbeddedEncoder, builder_of, complete
from parley.knowledge.index import Index, Query
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import EncoderFailed, SemanticIndex
from parley.settings import Settings

TEXTS = ["Our dog.", "The price.", *[f"Nothing of interest stands here, {number} times." for number in range(38)]]
PASSAGES = [Passage(str(number), "", text, "a.json", {}) for number, text in enumerate(TEXTS)]


def vectors(call: Call) -> list[Step]:
    """What an embeddings API answers: a vector for each text, the same for all that speak of animals."""
    rows = [[1.0, 0.0] if "dog" in text or "pet" in text else [0.0, 1.0] for text in call.json["input"]]
    body = json.dumps({"data": [{"index": at, "embedding": row} for at, row in enumerate(rows)]}).encode()
    return whole(body, headers={"connection": "close"})


@pytest.fixture
def api() -> Iterator[FakeUpstream]:
    """An embeddings API."""
    with FakeUpstream() as fake:
        fake.script = vectors
        yield fake


def settings(api: FakeUpstream, folder: Path) -> Settings:
    environ = {"EMBEDDINGS_BASE_URL": api.base_url, "EMBEDDINGS_CACHE": str(folder), "EMBEDDINGS_TIMEOUT": "0.2"}
    return Settings.from_environ(environ)


def built(settings: Settings) -> Index:
    return builder_of(settings)(PASSAGES, lambda: None)


def wait(condition: Callable[[], Any]) -> None:
    """Let the background work until it holds."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


def ids(index: Index, text: str) -> list[str]:
    return [hit.passage.id for hit in index.search(Query(text), 1)]


def test_an_api_that_is_late_fails_a_query_in_time(api: FakeUpstream, tmp_path: Path) -> None:
    api.script = [HANG]
    encoder = ApiEncoder(settings(api, tmp_path))
    started = time.monotonic()

    with pytest.raises(EncoderFailed):
        encoder.query(["a pet"])

    assert 0.1 < time.monotonic() - started < 2


def test_an_api_that_is_late_leaves_the_words(api: FakeUpstream, tmp_path: Path) -> None:
    index = built(settings(api, tmp_path))
    assert isinstance(index, SemanticIndex)
    wait(lambda: index.ready)
    api.script = [HANG]

    with capture_logs() as logged:
        found = ids(index, "the price")

    assert found == ["1"] and [line["event"] for line in logged] == ["query_not_encoded"]


def test_an_index_gets_its_vectors_in_the_background(api: FakeUpstream, tmp_path: Path) -> None:
    with capture_logs() as logged:
        index = built(settings(api, tmp_path))
        assert isinstance(index, SemanticIndex)
        before = index.ready, list(api.calls), ids(index, "a pet")
        wait(lambda: index.ready)

    assert before == (False, [], []) and ids(index, "a pet") == ["0"]
    sent = [len(call.json["input"]) for call in api.calls]
    assert sent == [24, 16, 1]  # in batches, and then the question
    assert {"event": "embeddings_ready", "passages": 40, "log_level": "info"} in logged


def test_vectors_that_are_in_the_cache_are_not_asked_for_again(api: FakeUpstream, tmp_path: Path) -> None:
    first = built(settings(api, tmp_path))
    wait(lambda: isinstance(first, SemanticIndex) and first.ready)
    api.calls.clear()

    again = built(settings(api, tmp_path))
    wait(lambda: isinstance(again, SemanticIndex) and again.ready)

    assert api.calls == []


def test_a_command_that_waits_for_the_vectors_fills_the_index_with_the_background(
    api: FakeUpstream, tmp_path: Path
) -> None:
    index = built(settings(api, tmp_path))

    with gevent.Timeout(10):
        complete(index)

    assert isinstance(index, SemanticIndex) and index.ready and ids(index, "a pet") == ["0"]
    assert sum(len(call.json["input"]) for call in api.calls) == len(PASSAGES) + 1


def test_while_the_api_refuses_passages_words_answer_and_the_log_says_so(api: FakeUpstream, tmp_path: Path) -> None:
    api.script = refusal(500, {"message": "out of order"}, {"connection": "close"})

    with capture_logs() as logged:
        index = built(settings(api, tmp_path))
        wait(lambda: any(line["event"] == "passages_not_encoded" for line in logged))

    assert isinstance(index, SemanticIndex) and not index.ready and ids(index, "the price") == ["1"]


def test_an_index_that_nobody_holds_any_more_is_not_filled(api: FakeUpstream, tmp_path: Path) -> None:
    build = builder_of(settings(api, tmp_path))
    build(PASSAGES, lambda: None)  # replaced at once
    index = build(PASSAGES[:2], lambda: None)
    wait(lambda: isinstance(index, SemanticIndex) and index.ready)

    assert [len(call.json["input"]) for call in api.calls] == [2]


def test_where_no_connection_can_be_opened_passages_are_tried_again_later(
    api: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the process has no file left to open."""

    def full(*_: object, **__: object) -> None:
        raise ServerOverloaded("the server has no file left for a connection to the upstream")

    monkeypatch.setattr(pool, "connect", full)
    with capture_logs() as logged:
        index = built(settings(api, tmp_path))
        wait(lambda: any(line["event"] == "passages_not_encoded" for line in logged))

    assert ids(index, "the price") == ["1"]


class Model:
    """Stands for the embedded model: slow to load, and may fail."""

    loaded = 0
    fails = False

    def __init__(self) -> None:
        type(self).loaded += 1
        time.sleep(0.2)

    def encode(self, texts: Sequence[str]) -> Floats:
        if self.fails:
            raise ValueError("out of order")
        return np.ones((len(texts), 2), np.float32)


def test_the_embedded_model_is_loaded_once_though_two_threads_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "MiniLm", type("Loaded", (Model,), {}))
    encoder = EmbeddedEncoder(1.0)

    asking = [gevent.spawn(encoder.passages, ["a"]) for _ in range(2)]
    gevent.joinall(asking, raise_error=True)

    assert minilm.MiniLm.loaded == 1  # type: ignore[attr-defined]


def test_a_command_waits_for_the_embedded_model_though_all_vectors_are_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "MiniLm", type("Loaded", (Model,), {}))
    monkeypatch.setattr(minilm, "installed", lambda: True)
    chosen = Settings.from_environ({"EMBEDDINGS_CACHE": str(tmp_path), "EMBEDDINGS_TIMEOUT": "0.1"})
    complete(built(chosen))
    index = built(chosen)  # with an encoder of its own, as in another process

    complete(index)
    with capture_logs() as logged:
        hits = index.search(Query("the price"), 1)

    assert "meaning" in hits[0].parts and logged == []


def test_an_embedded_model_that_fails_is_told_once_and_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(minilm, "MiniLm", type("Failing", (Model,), {"fails": True}))
    encoder = EmbeddedEncoder(1.0)

    with capture_logs() as logged:
        encoder.load()
        with pytest.raises(EncoderFailed):
            encoder.query(["a"])

    assert [line["event"] for line in logged] == ["encoder_failed", "encoder_failed"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not minilm.installed(), reason="the embedded encoder is not installed")
def test_two_threads_get_the_vectors_that_one_gets() -> None:
    texts = [f"What does repair number {number} cost?" for number in range(40)]
    model = minilm.MiniLm()
    alone = [model.encode([text]) for text in texts]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: model.encode([text]), texts))

    assert np.array_equal(np.concatenate(together), np.concatenate(alone))


@pytest.mark.slow
@pytest.mark.skipif(not minilm.installed(), reason="the embedded encoder is not installed")
def test_the_embedded_encoder_is_loaded_before_the_first_question(tmp_path: Path) -> None:
    with capture_logs() as logged:
        builder_of(Settings.from_environ({"EMBEDDINGS_CACHE": str(tmp_path)}))([], lambda: None)
        wait(lambda: any(line["event"] == "encoder_loaded" for line in logged))
