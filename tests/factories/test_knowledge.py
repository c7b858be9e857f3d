"""Which source, encoders and thresholds of the knowledge the settings name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis_servers import RedisServer

from parley.factories.knowledge import bases_of, encoders_of, index_factory_of, vector_cache_of
from parley.factories.limits import link_of
from parley.knowledge.bases import Bases
from parley.knowledge.database import address
from parley.knowledge.encoders import CACHE_FILE, ApiEncoder, Encoders
from parley.knowledge.sources import FolderSource
from parley.settings import Settings, SettingsError

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


def made_of(settings: Settings) -> tuple[Any, Bases]:
    return bases_of(settings, index_factory_of(settings), lambda look: look(), lambda: None)


def test_without_a_database_the_folder_is_the_source() -> None:
    connections, bases = made_of(Settings.from_environ({}))

    assert connections is None and type(bases) is Bases and isinstance(bases._source, FolderSource)


def test_a_database_is_the_source_and_not_asked_yet(tmp_path: Path) -> None:
    settings = Settings.from_environ({**DATABASE, "EMBEDDINGS_CACHE": str(tmp_path)})

    connections, bases = made_of(settings)

    assert connections and connections.state == "down" and type(bases).__name__ == "BasesOnDemand"


def test_a_database_without_its_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "PACKAGES", ("no_such_package",))

    with pytest.raises(SettingsError, match=r"requirements-shared\.txt"):
        made_of(Settings.from_environ(DATABASE))


def test_vectors_may_be_in_redis_copies_stay_on_the_machine() -> None:
    settings = Settings.from_environ({"EMBEDDINGS_CACHE": "redis", "REDIS_URL": "redis://127.0.0.1:1"})

    assert type(vector_cache_of(settings, link_of(settings))).__name__ == "RedisVectors"
    assert settings.cache_folder == Settings().cache_folder == Settings().embeddings_cache


def test_a_command_asks_redis_by_itself() -> None:
    with RedisServer() as server:
        settings = Settings.from_environ({"EMBEDDINGS_CACHE": "redis", "REDIS_URL": server.url})
        for _ in range(2):
            cache = vector_cache_of(settings)
            cache.put({b"one": np.ones((1, 2), np.float32)})
        assert cache.get([b"one"])[b"one"].tolist() == [[1.0, 1.0]]
        # It is no worker, among which a limit is divided.
        assert server.client.keys("*:workers") == []
