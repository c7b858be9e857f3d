"""Which source, encoders and thresholds of the knowledge the settings name."""

from pathlib import Path

import numpy as np
import pytest

from parley.factories.knowledge import encoders_of, index_factory_of, source_of, vector_cache_of
from parley.knowledge.database import address
from parley.knowledge.encoders import CACHE_FILE, ApiEncoder, Encoders
from parley.knowledge.sources import FolderSource
from parley.settings import Settings, SettingsError

FACTORY = index_factory_of(Settings.from_environ({"RAG_TIER": "lexical"}))
DATABASE = {"DATABASE_URL": "postgresql://127.0.0.1:1/kb"}


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

    assert (tmp_path / CACHE_FILE).is_file()


def test_without_a_database_the_folder_is_the_source() -> None:
    connections, source = source_of(Settings.from_environ({}), FACTORY, lambda look: look())

    assert connections is None and isinstance(source, FolderSource)


def test_a_database_is_the_source_and_not_asked_yet(tmp_path: Path) -> None:
    settings = Settings.from_environ({**DATABASE, "EMBEDDINGS_CACHE": str(tmp_path)})

    connections, source = source_of(settings, FACTORY, lambda look: look())

    assert connections and connections.state == "down" and type(source).__name__ == "DatabaseSource"


def test_a_database_without_its_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "PACKAGES", ("no_such_package",))

    with pytest.raises(SettingsError, match=r"requirements-shared\.txt"):
        source_of(Settings.from_environ(DATABASE), FACTORY, lambda look: look())
