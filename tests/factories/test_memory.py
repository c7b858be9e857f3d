"""Which store of sessions the settings name."""

from pathlib import Path

import pytest

from parley.factories.limits import link_of
from parley.factories.memory import sessions_of
from parley.settings import Settings


@pytest.mark.parametrize(
    ("store", "kind"),
    [("memory:", "WorkerStore"), ("sqlite:a.db", "SqliteStore"), ("redis:", "RedisStore")],
    ids=["worker", "file", "redis"],
)
def test_the_settings_choose_the_store(store: str, kind: str) -> None:
    settings = Settings.from_environ({"MEMORY_STORE": store, "REDIS_URL": "redis://127.0.0.1:1"})
    sessions = sessions_of(settings, link_of(settings))

    assert type(sessions._store).__name__ == type(sessions._reader).__name__ == kind
    # Only where Redis is asked has a caller's question a deadline of its own.
    assert (sessions._store is sessions._reader) == (kind != "RedisStore")
    assert not Path("a.db").exists()
