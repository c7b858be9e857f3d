"""The server's endpoints about itself: alive, ready or why not, models, metrics, the API's description."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from app import create_app
from blueprints import meta
from parley.errors import ParleyError, WarmingUp
from parley.services import NO_HOOKS, Services
from parley.settings import Settings
from parley.telemetry import logs

KEY = "some-key-0123456789"


class Upstream:
    """An upstream that lists one model and is ready unless it is given a reason."""

    model = None
    prompt_form = "reference"
    unavailable: ParleyError | None = None

    def models(self) -> list[dict[str, Any]]:
        return [{"id": "listed", "object": "model"}, {"id": "named", "object": "model", "owned_by": "them"}]

    def unavailable_reason(self) -> ParleyError | None:
        return self.unavailable

    faults: Mapping[str, str] = MappingProxyType({})

    def connection_faults(self) -> Mapping[str, str]:
        return self.faults

    def breaker_states(self) -> dict[str, str]:
        return {"primary": "closed"}


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    logs.configure("info", None)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    upstream: Any = Upstream()
    made = Services(Settings(llm_model="named", api_keys=(KEY,), agents_dir=Path("/nowhere/agents")), upstream)
    monkeypatch.setattr(type(made.knowledge), "loading", False)
    made.start_fault, made.start_fault_is_logged = "", True
    return made


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services=services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_ok_whatever_the_upstream_does(client: FlaskClient, services: Services, path: str) -> None:
    services.draining = True

    answer = client.get(path)

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_ready_says_no_more_than_its_status_without_a_key(client: FlaskClient) -> None:
    answer = client.get("/ready")

    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_ready_gives_details_to_callers_with_a_key(client: FlaskClient) -> None:
    details = client.get("/readyz", headers={"x-api-key": KEY}).json["details"]

    assert details["model"] == "named" and details["auth"] == "on" and details["streams"] == 0
    assert details["upstreams"] == {"primary": "closed"} and "voice" not in details


@pytest.mark.row("RE-02")
def test_ready_tells_which_upstreams_take_no_connection(client: FlaskClient, services: Services) -> None:
    def details() -> Any:
        return client.get("/ready", headers={"x-api-key": KEY}).json["details"]

    upstream: Any = services.upstream
    assert "connection_faults" not in details()
    upstream.faults = {"primary": "the upstream can't be reached: Connection refused"}
    assert details()["connection_faults"] == upstream.faults


def test_ready_tells_why_the_upstream_can_not_answer(client: FlaskClient, services: Services) -> None:
    upstream: Any = services.upstream
    upstream.unavailable = WarmingUp("the model is loading")

    answer = client.get("/ready")

    assert (answer.status_code, answer.json) == (503, {"status": "not ready", "reason": "the model is loading"})


def test_ready_says_no_while_the_knowledge_is_read(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(services.knowledge), "loading", True)

    assert client.get("/ready").json == {"status": "not ready", "reason": "the knowledge is being read"}


def test_ready_says_no_first_of_all_while_the_server_stops(client: FlaskClient, services: Services) -> None:
    services.draining = True

    assert client.get("/ready").json == {"status": "not ready", "reason": "the server is shutting down"}


@pytest.mark.parametrize(
    "path",
    [
        "/models",
        "/v1/models",
        "/rag/models",
        "/rag/v1/models",
        "/v1/rag/models",
        "/audio/models",
        "/audio/v1/models",
        "/v1/audio/models",
    ],
)
def test_models_lists_the_default_first_and_each_once(client: FlaskClient, path: str) -> None:
    listed = client.get(path, headers={"x-api-key": KEY}).json

    assert [model["id"] for model in listed["data"]] == ["named", "listed"]
    assert listed["data"][0]["owned_by"] == "them"


@pytest.mark.parametrize("path", ["/models", "/metrics"])
def test_models_and_metrics_need_a_key(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"x-api-key": KEY}).status_code == 200


def test_metrics_are_in_prometheus_text_format(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"x-api-key": KEY})

    assert answer.content_type.startswith("text/plain; version=")
    assert "# TYPE parley_requests_total counter" in answer.text


def test_the_apis_description_needs_no_key(client: FlaskClient) -> None:
    answer = client.get("/openapi.json")

    assert answer.status_code == 200 and answer.json == json.loads(meta.DOCUMENT.read_bytes())


@pytest.mark.row("RD-01")
def test_ready_warns_of_a_start_without_the_hooks(services: Services) -> None:
    again: Any = Services(services.settings, services.upstream)
    client = create_app(services=again).test_client()

    with capture_logs() as logged:
        answers = [client.get("/ready").json, client.get("/ready").json]

    assert answers == 2 * [{"status": "ready", "warning": NO_HOOKS}]
    assert [(line["event"], line["log_level"]) for line in logged] == [("start_fault", "error")]


PAGE, JSON = "text/html; charset=utf-8", "application/json"


@pytest.mark.row("RD-02")
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, PAGE),
        ("*/*", PAGE),
        ("", PAGE),
        ("text/plain", PAGE),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", PAGE),
        ("text/*", PAGE),
        ("application/json", JSON),
        ("application/*", JSON),
        ("application/json, text/plain, */*", JSON),
        ("text/html;q=0.1, application/json", JSON),
    ],
)
def test_the_root_is_a_page_or_json_by_what_is_accepted(client: FlaskClient, accept: str | None, form: str) -> None:
    answer = client.get("/", headers={} if accept is None else {"accept": accept})

    assert (answer.status_code, answer.content_type, answer.headers["vary"]) == (200, form, "Accept")
    assert "/rag/chat/completions" in answer.text and KEY not in answer.text
    head = client.head("/", headers={} if accept is None else {"accept": accept})
    assert (head.status_code, head.data, head.content_type) == (200, b"", form)


@pytest.mark.row("RD-02")
def test_the_root_leads_only_to_routes_that_exist(app: Flask, client: FlaskClient) -> None:
    rules = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()}

    assert {tuple(route.split(" ")) for route in client.get("/", headers={"accept": JSON}).json["routes"]} <= rules
    linked = re.findall('href="([^"]*)"', client.get("/").text)
    assert {("GET", f"/{link}") for link in linked} <= rules and len(linked) == 5
