"""The encoders and the index factory: an API's deadline, vectors in the background, the embedded model in time."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import pytest
from fake_upstream import HANG, Call, FakeUpstream, Step, refusal, whole
from knowledge_folder import LetterEncoder
from structlog.testing import capture_logs

from parley.errors import ServerOverloaded
from parley.http_client import pool
from parley.knowledge import encoders, minilm
from parley.knowledge.base_settings import NO_SETTINGS
from parley.knowledge.documents import Passage
from parley.knowledge.encoders import (
    ApiEncoder,
    EmbeddedEncoder,
    Encoders,
    IndexFactory,
    index_without_threshold,
    make_ready,
)
from parley.knowledge.index import Index, LexicalIndex, Query
from parley.knowledge.postings import Floats
from parley.knowledge.semantic import EXAMPLES, Calibration, Encoder, EncoderFailed, SemanticIndex
from parley.knowledge.vector_cache import VectorCache
from parley.languages import ENGLISH

TEXTS = ["Our dog.", "The price.", *[f"Nothing of interest stands here, {number} times." for number in range(38)]]
PASSAGES = [Passage(str(number), "", text, "a.json", {}) for number, text in enumerate(TEXTS)]


def vectors(call: Call) -> list[Step]:
    """Answer as an embeddings API: one vector for each text, the same for all texts about animals."""
    rows = [[1.0, 0.0] if "dog" in text or "pet" in text else [0.0, 1.0] for text in call.json["input"]]
    body = json.dumps({"data": [{"index": at, "embedding": row} for at, row in enumerate(rows)]}).encode()
    return whole(body, headers={"connection": "close"})


@pytest.fixture
def api() -> Iterator[FakeUpstream]:
    """A fake embeddings API."""
    with FakeUpstream() as fake:
        fake.script = vectors
        yield fake


def encoder_for(api: FakeUpstream) -> ApiEncoder:
    return ApiEncoder(api.base_url, None, "m", timeout=0.2, connect_timeout=5)


def factory(encoder: Encoder | None, folder: Path) -> IndexFactory:
    return IndexFactory(
        Encoders(encoder, encoder), VectorCache(folder / "embeddings.sqlite"), min_coverage=0.33, min_evidence=0.28
    )


def built(encoder: Encoder | None, folder: Path) -> Index:
    return factory(encoder, folder).build(PASSAGES, lambda: None)


def wait(condition: Callable[[], Any]) -> None:
    """Let greenlets run until the condition is true."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


def ids(index: Index, text: str) -> list[str]:
    return [hit.passage.id for hit in index.search(Query(text), 1)]


def test_an_api_that_is_late_fails_a_query_in_time(api: FakeUpstream, tmp_path: Path) -> None:
    api.script = [HANG]
    encoder = encoder_for(api)
    started = time.monotonic()

    with pytest.raises(EncoderFailed):
        encoder.query(["a pet"])

    assert 0.1 < time.monotonic() - started < 10


def test_an_api_that_is_late_leaves_the_words(api: FakeUpstream, tmp_path: Path) -> None:
    index = built(encoder_for(api), tmp_path)
    assert isinstance(index, SemanticIndex)
    wait(lambda: index.ready)
    api.script = [HANG]

    with capture_logs() as logged:
        found = ids(index, "the price")

    assert found == ["1"] and [line["event"] for line in logged] == ["query_not_encoded"]


def test_an_index_gets_its_vectors_in_the_background(api: FakeUpstream, tmp_path: Path) -> None:
    with capture_logs() as logged:
        index = built(encoder_for(api), tmp_path)
        assert isinstance(index, SemanticIndex)
        before = index.ready, list(api.calls), ids(index, "a pet")
        wait(lambda: index.ready)

    assert before == (False, [], []) and ids(index, "a pet") == ["0"]
    sent = [len(call.json["input"]) for call in api.calls]
    assert sent == [24, 16, 1]  # in batches, and then the question
    assert {"event": "embeddings_ready", "passages": 40, "log_level": "info"} in logged


def test_vectors_in_the_cache_are_not_encoded_again(api: FakeUpstream, tmp_path: Path) -> None:
    first = built(encoder_for(api), tmp_path)
    wait(lambda: isinstance(first, SemanticIndex) and first.ready)
    api.calls.clear()

    again = built(encoder_for(api), tmp_path)
    wait(lambda: isinstance(again, SemanticIndex) and again.ready)

    assert api.calls == []


def test_a_command_fills_an_index_beside_the_background(api: FakeUpstream, tmp_path: Path) -> None:
    index = built(encoder_for(api), tmp_path)

    with gevent.Timeout(10):
        make_ready(index)

    assert isinstance(index, SemanticIndex) and index.ready and ids(index, "a pet") == ["0"]
    assert sum(len(call.json["input"]) for call in api.calls) == len(PASSAGES) + 1


def test_while_the_api_refuses_passages_words_answer(api: FakeUpstream, tmp_path: Path) -> None:
    api.script = refusal(500, {"message": "out of order"}, {"connection": "close"})

    with capture_logs() as logged:
        index = built(encoder_for(api), tmp_path)
        wait(lambda: any(line["event"] == "passages_not_encoded" for line in logged))

    assert isinstance(index, SemanticIndex) and not index.ready and ids(index, "the price") == ["1"]


def test_an_index_out_of_use_is_not_filled(api: FakeUpstream, tmp_path: Path) -> None:
    build = factory(encoder_for(api), tmp_path).build
    build(PASSAGES, lambda: None)  # replaced at once
    index = build(PASSAGES[:2], lambda: None)
    wait(lambda: isinstance(index, SemanticIndex) and index.ready)

    assert [len(call.json["input"]) for call in api.calls] == [2]


def test_without_a_free_file_passages_are_tried_again_later(
    api: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(*_: object, **__: object) -> None:
        raise ServerOverloaded("the server has no file left for a connection to the upstream")

    monkeypatch.setattr(pool, "connect", full)
    with capture_logs() as logged:
        index = built(encoder_for(api), tmp_path)
        wait(lambda: any(line["event"] == "passages_not_encoded" for line in logged))

    assert ids(index, "the price") == ["1"]


class Model:
    """A fake of the embedded model: slow to load, and may fail."""

    loaded = 0
    fails = False

    def __init__(self) -> None:
        type(self).loaded += 1
        time.sleep(0.2)

    def encode(self, texts: Sequence[str]) -> Floats:
        if self.fails:
            raise ValueError("out of order")
        return np.ones((len(texts), 2), np.float32)


def test_two_threads_load_the_embedded_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "MiniLm", type("Loaded", (Model,), {}))
    encoder = EmbeddedEncoder.for_english(1.0)

    asking = [gevent.spawn(encoder.passages, ["a"]) for _ in range(2)]
    gevent.joinall(asking, raise_error=True)

    assert minilm.MiniLm.loaded == 1  # type: ignore[attr-defined]


def test_bases_without_an_encoder_are_told_once(api: FakeUpstream, tmp_path: Path) -> None:
    encoders = Encoders(english=encoder_for(api))
    factory = IndexFactory(encoders, VectorCache(tmp_path / "cache"), min_coverage=0.33, min_evidence=None)
    german = [Passage("1", "", "Die Praxis ist von 8 bis 12 geöffnet.", "a.json", {})]

    with capture_logs() as logged:
        found = [factory.build(german, lambda: None) for _ in range(2)]

    assert all(isinstance(index, LexicalIndex) and index.language.code == "de" for index in found)
    (line,) = [line for line in logged if line["event"] == "retrieval"]
    assert line["tier"] == "lexical" and "requirements-multilingual.txt" in line["hint"]


@pytest.mark.slow
def test_a_command_waits_for_the_model_with_all_vectors_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "MiniLm", type("Loaded", (Model,), {}))
    make_ready(built(EmbeddedEncoder.for_english(0.1), tmp_path))
    index = built(EmbeddedEncoder.for_english(0.1), tmp_path)  # with an encoder of its own, as in another process

    make_ready(index)
    with capture_logs() as logged:
        hits = index.search(Query("the price"), 1)

    assert "meaning" in hits[0].parts and logged == []


def test_a_failing_embedded_model_is_logged_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(minilm, "MiniLm", type("Failing", (Model,), {"fails": True}))
    encoder = EmbeddedEncoder.for_english(1.0)

    with capture_logs() as logged:
        encoder.load()
        with pytest.raises(EncoderFailed):
            encoder.query(["a"])

    assert [line["event"] for line in logged] == ["encoder_failed", "encoder_failed"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not minilm.installed(), reason="the embedded encoder is not installed")
def test_the_embedded_model_is_loaded_before_the_first_question(tmp_path: Path) -> None:
    with capture_logs() as logged:
        factory(EmbeddedEncoder.for_english(1.0), tmp_path).build([], lambda: None)
        wait(lambda: any(line["event"] == "encoder_loaded" for line in logged))


def test_examples_of_small_talk_are_asked_for_until_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "RETRY_SECONDS", (0.001,))
    encoder = LetterEncoder(fails=True)
    encoder.calibration = Calibration(0.2, 0.1, min_small_talk=0.9)
    factory = IndexFactory(Encoders(encoder, encoder), VectorCache(None), min_coverage=0.3, min_evidence=None)
    tiers = [factory.tier_for(NO_SETTINGS, ENGLISH, encoder.name) for _ in range(2)]
    gevent.sleep(0.05)
    assert tiers[0].examples() is None

    encoder.fails = False
    with gevent.Timeout(30):
        while tiers[1].examples() is None:
            gevent.sleep(0.001)

    assert tiers[0].examples() is tiers[1].examples() and encoder.encoded == len(EXAMPLES)


def test_without_an_encoder_the_index_is_lexical(tmp_path: Path) -> None:
    made = factory(None, tmp_path)
    with capture_logs() as logged:
        index = made.build(PASSAGES, lambda: None)
        made.build(PASSAGES, lambda: None)

    assert not isinstance(index, SemanticIndex) and ids(index, "the price") == ["1"]
    line = {"event": "retrieval", "language": "en", "tier": "lexical", "encoder": None, "log_level": "info"}
    assert logged == [line]


def test_an_index_for_measuring_finds_something_always(api: FakeUpstream, tmp_path: Path) -> None:
    question = "Who won the world cup in Uruguay against Argentina at that price?"

    lexical = index_without_threshold(PASSAGES, None, VectorCache(None))
    semantic = index_without_threshold(PASSAGES, encoder_for(api), VectorCache(None))

    assert isinstance(semantic, SemanticIndex) and semantic.ready
    assert ids(lexical, question) == ids(semantic, question) == ["1"] and ids(built(None, tmp_path), question) == []
