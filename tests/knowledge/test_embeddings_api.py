"""The embeddings API: the request, the vectors of its answer, and answers that are none."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_upstream import FakeUpstream, refusal, whole

from parley.errors import UpstreamBadResponse
from parley.knowledge.embeddings_api import EmbeddingsApi

NOT_KEPT = {"connection": "close"}


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A fake embeddings API."""
    with FakeUpstream() as fake:
        yield fake


def encoded(upstream: FakeUpstream, *texts: str) -> Any:
    return EmbeddingsApi(upstream.base_url, "sk-secret", "m", 1.0).encode(texts, 2.0)


def answer(*rows: Any) -> bytes:
    return json.dumps({"data": [{"index": index, "embedding": row} for index, row in rows]}).encode()


def test_vectors_have_the_texts_order_and_length_one(upstream: FakeUpstream) -> None:
    upstream.script = whole(answer((1, [0, 2]), (0, [3, 4])), headers=NOT_KEPT)

    rows = encoded(upstream, "first", "second")

    assert np.allclose(rows, [[0.6, 0.8], [0, 1]])
    (call,) = upstream.calls
    assert call.path.endswith("/embeddings") and call.headers["authorization"] == "Bearer sk-secret"
    assert call.json == {"model": "m", "input": ["first", "second"], "encoding_format": "float"}


@pytest.mark.row("RF-18")
@pytest.mark.parametrize("numbers", [(0, 0), (None, None), (0, 1), (1, 2)], ids=["one", "none", "from 0", "from 1"])
def test_numbers_that_tell_no_other_order_do_no_harm(upstream: FakeUpstream, numbers: tuple[int | None, ...]) -> None:
    rows = [
        {"embedding": row} | ({} if at is None else {"index": at})
        for at, row in zip(numbers, ([1, 0], [0, 1]), strict=True)
    ]
    upstream.script = whole(json.dumps({"data": rows}).encode(), headers=NOT_KEPT)

    assert encoded(upstream, "first", "second").tolist() == [[1, 0], [0, 1]]


@pytest.mark.row("RF-18")
@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        answer((0, [1, 2])),
        answer((0, [1, 2]), (1, [1])),
        answer((0, ["a"]), (1, ["b"])),
        b'{"data": []}',
        answer((0, []), (1, [])),
        answer((0, [0, 0]), (1, [0, 0])),
        answer((0, [1, 2]), (5, [1, 2])),
        b'{"data": [{"index": 0, "embedding": [NaN, 1]}, {"index": 1, "embedding": [1, 1]}]}',
        b'{"data": [{"index": 0, "embedding": [1e999, 1]}, {"index": 1, "embedding": [1, 1]}]}',
        answer((0, [None, 1]), (1, [1, 1])),
        answer((0, [1, 2]), (1, [1, 2]), (2, [1, 2])),
        b'{"error": "x"}',
    ],
    ids=[
        "a page",
        "no data",
        "one too few",
        "uneven",
        "words",
        "none",
        "empty",
        "zeros",
        "a gap",
        "nan",
        "infinity",
        "null",
        "one too many",
        "an error",
    ],
)
def test_anything_else_is_an_error(upstream: FakeUpstream, body: bytes) -> None:
    upstream.script = whole(body, headers=NOT_KEPT)

    with pytest.raises(UpstreamBadResponse):
        encoded(upstream, "first", "second")


def test_a_refusal_is_an_error_without_the_apis_words(upstream: FakeUpstream) -> None:
    upstream.script = refusal(401, {"message": "bad key sk-secret"}, NOT_KEPT)

    with pytest.raises(UpstreamBadResponse, match=r"^the embeddings API answered with status 401$"):
        encoded(upstream, "first")
