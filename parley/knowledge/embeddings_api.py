"""Embeddings from an OpenAI-compatible API: texts in, vectors of length 1 out."""

import contextlib
import json
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parley.errors import UpstreamBadResponse
from parley.http_client.pool import ConnectionPool

MAX_IDLE = 8


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Embedding]


class EmbeddingsApi:
    """One API, one model."""

    def __init__(self, base_url: str, key: str | None, model: str, connect_timeout: float) -> None:
        self._model = model
        self._headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        self._pool = ConnectionPool(base_url, max_idle=MAX_IDLE, connect_timeout=connect_timeout)

    def encode(self, texts: Sequence[str], timeout: float) -> NDArray[np.float32]:
        """A vector for each text, as rows; `timeout` is in seconds of silence. Raises an UpstreamError."""
        body = json.dumps({"model": self._model, "input": list(texts), "encoding_format": "float"}).encode()
        with contextlib.closing(
            self._pool.request("POST", "/embeddings", headers=self._headers, body=body, timeout=timeout)
        ) as response:
            if response.status != 200:
                raise UpstreamBadResponse(f"the embeddings API answered with status {response.status}")
            return _rows(response.read(timeout), len(texts))


def _rows(body: bytes, count: int) -> NDArray[np.float32]:
    try:
        found = sorted(msgspec.json.decode(body, type=_Embeddings).data, key=lambda each: each.index)
        rows = np.array([each.embedding for each in found], np.float32)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise UpstreamBadResponse("the embeddings API answered with something else") from exc
    if rows.ndim != 2 or len(rows) != count or not np.isfinite(rows).all():
        raise UpstreamBadResponse("the embeddings API answered with other vectors than were asked for")
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)
