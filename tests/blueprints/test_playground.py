"""The routes of the playground, below the HTTP of a real server: `tests/server/test_playground.py` has that."""

import pytest
from flask.testing import FlaskClient

from app import create_app
from parley.settings import Settings


@pytest.fixture(autouse=True)
def _logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.telemetry.logs.configure", lambda *_: None)


def client_of(mode: str) -> FlaskClient:
    return create_app(Settings(playground=mode)).test_client()


def test_the_page_is_served_with_a_slash_only_by_way_of_its_name() -> None:
    moved = client_of("on").get("/playground/")
    assert (moved.status_code, moved.headers["Location"]) == (308, "../playground")
    assert client_of("on").get("/playground").mimetype == "text/html"


@pytest.mark.parametrize("mode", ["auto", "off"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
def test_where_it_is_not_served_no_route_is_there(mode: str, method: str) -> None:
    client = client_of(mode)
    for path in ("/playground", "/playground/", "/playground/index.html", "/playground/api/status"):
        assert client.open(path, method=method).status_code == 404, path


def test_files_are_read_only() -> None:
    refused = client_of("on").post("/playground")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "name", ["..%2fapp.py", "/etc/passwd", "%00", "index.html", "vendor", "vendor/..", "x" * 10_000]
)
def test_a_name_is_a_key_of_a_table(name: str) -> None:
    assert client_of("on").get(f"/playground/{name}").status_code == 404
