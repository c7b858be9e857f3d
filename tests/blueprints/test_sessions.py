"""`DELETE /sessions/SESSION` without a server: paths, keys, a store that fails."""

from typing import Any

import pytest

from app import create_app
from parley.memory.sessions import session_key
from parley.settings import Settings

KEY = "a-key-0123456789"


def app_of(**settings: Any) -> Any:
    return create_app(Settings(memory="full", api_keys=(KEY,), **settings))


def stored(app: Any, session: str) -> Any:
    """Put a session there; return a function that tells whether it still is."""
    services = app.extensions["parley"]
    key = session_key(services.keyring.lasting_name("key-1"), session)
    services.sessions._store.put(key, b"[]", 60, 0)
    return lambda: services.sessions._store.get(key) is not None


@pytest.mark.row("MM-05")
@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(
    ("path", "session"),
    [
        ("room-7", "room-7"),
        ("room-7/", "room-7"),
        ("app%2Froom", "app/room"),
        ("app/room", "app/room"),
        ("%2Froom%2F", "/room/"),
        ("a%20b%3F%23%25", "a b?#%"),
        ("12.5", "12.5"),
    ],
)
def test_the_session_is_the_rest_of_the_path(prefix: str, path: str, session: str) -> None:
    app = app_of()
    is_there = stored(app, session)

    answered = app.test_client().delete(f"{prefix}/sessions/{path}", headers={"x-api-key": KEY})

    assert (answered.status_code, answered.data) == (204, b"") and not is_there()


def test_without_the_key_nothing_is_deleted() -> None:
    app = app_of()
    is_there = stored(app, "room")

    assert app.test_client().delete("/sessions/room").status_code == 401 and is_there()


def test_without_a_memory_there_is_no_such_route() -> None:
    client = create_app(Settings()).test_client()

    assert client.delete("/sessions/room").json["error"]["code"] == "not_found"


def test_a_store_that_fails_is_told(tmp_path: Any) -> None:
    from parley.setting_types import StoreSetting

    client = app_of(memory_store=StoreSetting("sqlite", tmp_path / "none" / "a.db")).test_client()

    assert client.delete("/sessions/room", headers={"x-api-key": KEY}).status_code == 503
