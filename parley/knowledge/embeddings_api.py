"""Embeddings from an OpenAI-compatible API: texts become vectors of length 1. Retrying and caching live elsewhere."""

import contextlib
import json
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parley.errors import UpstreamBadResponse
from parley.http_client.pool import ConnectionPool

MAX_IDLE = 8
"""Most idle connections kept open to the API."""


class _Embedding(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Embeddings(msgspec.Struct):
    data: list[_Embedding]


class EmbeddingsApi:
    """A client of one API for one model."""

    def __init__(self, base_url: str, key: str | None, model: str, connect_timeout: float) -> None:
        self._model = model
        self._headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        self._pool = ConnectionPool(base_url, max_idle=MAX_IDLE, connect_timeout=connect_timeout)

    def encode(self, texts: Sequence[str], timeout: float) -> NDArray[np.float32]:
        """Return a vector for each text, as rows. `timeout` is the longest silence in seconds. Raises UpstreamError."""
        body = json.dumps({"model": self._model, "input": list(texts), "encoding_format": "float"}).encode()
        with contextlib.closing(
            self._pool.request(
                "POST", "/embeddings", headers=self._headers, body=body, timeout=timeout, suspect_after=timeout / 2
            )
        ) as response:
            # Without the API's own words: an error's text may quote the key.
            if response.status != 200:
                raise UpstreamBadResponse(f"the embeddings API answered with status {response.status}")
            answer = response.read(timeout)
        try:
            embeddings = in_order(msgspec.json.decode(answer, type=_Embeddings).data)
            rows = np.array([each.embedding for each in embeddings], np.float32)
        except (msgspec.MsgspecError, ValueError) as exc:
            raise UpstreamBadResponse("the embeddings API's answer holds no embeddings") from exc
        if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
            raise UpstreamBadResponse("the embeddings API's answer does not hold one vector for each text")
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        # Vectors of no dimensions, or of zeros alone, resemble nothing: every question would find nothing.
        if not norms.any():
            raise UpstreamBadResponse("the embeddings API's answer holds empty vectors")
        return np.asarray(rows / np.maximum(norms, 1e-9), np.float32)


def in_order(embeddings: Sequence[_Embedding]) -> Sequence[_Embedding]:
    """Return the embeddings in the order of their texts. Raises ValueError for numbers that give none.

    OpenAI numbers them and promises no order; some servers leave the numbers out, or give each the same one.
    """
    numbers = [each.index for each in embeddings]
    if len({*numbers}) <= 1:
        return embeddings
    # Counted from 1 by some; a gap means that a text has no vector, and another one two.
    if None in numbers:
        raise ValueError("some embeddings have a number and others none")
    in_sequence = sorted(embeddings, key=lambda each: each.index or 0)
    first = in_sequence[0].index or 0
    if [each.index for each in in_sequence] != list(range(first, first + len(numbers))):
        raise ValueError("the numbers of the embeddings are no sequence")
    return in_sequence
