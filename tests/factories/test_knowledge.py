"""Which encoders and thresholds of the knowledge the settings name."""

from pathlib import Path

import numpy as np

from parley.factories.knowledge import encoders_of, vector_cache_of
from parley.knowledge.encoders import CACHE_FILE, ApiEncoder, Encoders
from parley.settings import Settings


def test_words_alone_need_no_encoder() -> None:
    assert (
        encoders_of(Settings.from_environ({"RAG_TIER": "lexical", "EMBEDDINGS_BASE_URL": "http://one/v1"}))
        == Encoders()
    )


def test_an_api_encodes_all_languages() -> None:
    encoders = encoders_of(Settings.from_environ({"EMBEDDINGS_BASE_URL": "http://one/v1"}))

    assert isinstance(encoders.english, ApiEncoder) and encoders.english is encoders.others


def test_vectors_are_cached_in_the_folder_that_is_named(tmp_path: Path) -> None:
    cache = vector_cache_of(Settings.from_environ({"EMBEDDINGS_CACHE": str(tmp_path)}))

    cache.put({b"key": np.zeros((1, 4), np.float32)})

    assert [file.name for file in tmp_path.iterdir() if file.name == CACHE_FILE] == [CACHE_FILE]
