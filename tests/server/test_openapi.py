"""The document at /openapi.json: it names the routes that there are, and its examples work."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
from fake_upstream import Call, FakeUpstream, Step, answer, completion
from running_server import ROOT, RunningServer, payloads, running_server

from app import create_app
from parley.settings import Settings

DOCUMENT = json.loads((ROOT / "blueprints" / "openapi.json").read_text())
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
ASKED = [path for method, path in OPERATIONS if method == "post"]
UNDOCUMENTED = {"HEAD", "OPTIONS"}
SECONDS = 20
KB, AGENT = (DOCUMENT["components"]["parameters"][name]["example"] for name in ("Kb", "Agent"))


def well(call: Call) -> list[Step]:
    return answer("Nine to six.") if call.json["stream"] else completion("Nine to six.")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Its recordings leave at once, and it has the knowledge base that the examples name."""
    folder = tmp_path_factory.mktemp("kb")
    shutil.copytree(ROOT / "kb_data", folder, dirs_exist_ok=True)
    shutil.copytree(ROOT / "kb_data", folder / KB)
    with FakeUpstream() as upstream:
        upstream.script = well
        settings = {"LLM_BASE_URL": upstream.base_url, "AUDIO_LEAD_MS": "5000", "KB_DIR": str(folder)}
        with running_server(settings) as running:
            yield running


def test_every_route_is_in_the_document_and_nothing_else_is() -> None:
    rules = list(create_app(Settings()).url_map.iter_rules())

    routes = {
        (method.lower(), rule.rule.replace("<text:session>", "<session>").replace("<", "{").replace(">", "}"))
        for rule in rules
        for method in (rule.methods or set()) - UNDOCUMENTED
    }

    assert routes == set(OPERATIONS)


def test_operation_names_are_unique_and_references_resolve() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))

    def referred(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                yield from referred(inner)

    for reference in referred(DOCUMENT):
        found = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": DOCUMENT["components"]}


@pytest.mark.parametrize("path", ASKED)
def test_the_streams_example_ends_as_streams_do(path: str) -> None:
    operation = DOCUMENT["paths"][path]["post"]
    described = operation["responses"]["200"]["content"]

    *events, done = payloads(described["text/event-stream"]["example"].encode())

    assert described.keys() == {"text/event-stream", "application/json"}
    assert done == b"[DONE]" and json.loads(events[-1])["choices"][0]["finish_reason"] == "stop"
    assert "finish_reason is `error`" in DOCUMENT["info"]["description"]


@pytest.mark.server
@pytest.mark.parametrize("path", ASKED)
def test_the_example_of_every_question_is_answered_as_described(server: RunningServer, path: str) -> None:
    operation = DOCUMENT["paths"][path]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    jsonschema_rs.validate(resolved(content["schema"]), content["example"])
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]

    url = server.url + path.replace("{kb}", KB).replace("{agent}", AGENT)
    streamed = requests.post(url, json={**content["example"], "stream": True}, timeout=20)
    whole = requests.post(url, json={**content["example"], "stream": False}, timeout=20)

    *events, done = payloads(streamed.content)
    assert done == b"[DONE]"
    assert {json.loads(event)["object"] for event in events} == {"chat.completion.chunk"}
    jsonschema_rs.validate(resolved(schema), whole.json())
    example = operation["responses"]["200"]["content"]["text/event-stream"]["example"]
    assert json.loads(payloads(example.encode())[0]).keys() <= json.loads(events[0]).keys()


@pytest.mark.server
@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "get"])
def test_every_other_answer_is_as_described(server: RunningServer, path: str) -> None:
    described = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]

    for accepted in described:
        answered = requests.get(
            server.url + path.replace("{kb}", KB).replace("{agent}", AGENT), headers={"accept": accepted}, timeout=30
        )

        kind = answered.headers["content-type"].partition(";")[0]
        assert (answered.status_code, kind) == (200, accepted)
        if kind == "application/json" and "schema" in described[kind]:
            jsonschema_rs.validate(resolved(described[kind]["schema"]), answered.json())


@pytest.mark.server
def test_schemathesis_finds_nothing_undocumented(server: RunningServer, tmp_path: Path) -> None:
    """Generated requests, good and bad, to every operation: statuses, types, schemas, and no 5xx."""
    options = ["--max-time", str(SECONDS), "--max-examples", "10", "--workers", "1", "--no-color"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", *options]

    done = subprocess.run(
        [*command, "--checks", checks, "--generation-deterministic", "--phases", "examples,coverage,fuzzing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in server.output()
