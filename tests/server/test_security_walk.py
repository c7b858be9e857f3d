"""docs/security.md: each of its commands, run as it stands, prints what the document says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_upstream import FakeUpstream, completion
from running_server import ROOT, RunningServer, running_server

DOCUMENT = (ROOT / "docs" / "security.md").read_text()
PREPARATION, *BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
STEPS = [step for block in BLOCKS for step in re.findall(r"((?s:.*?))\n# -> (.*)\n", block)]
DOOR = "door-0123456789abcdef"
OURS = "sk-ours-0123456789abcdef"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        fake.script = completion("Hello there")
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream) -> Iterator[RunningServer]:
    settings = {"LLM_API_KEY": OURS, "API_KEYS": DOOR, "CORS_ORIGINS": "https://app.example.com", "MAX_BODY": "65536"}
    with running_server({"LLM_BASE_URL": upstream.base_url, "LOG_LEVEL": "debug", **settings}) as running:
        yield running


def run(step: str, server: RunningServer) -> str:
    prepared = PREPARATION.replace("http://127.0.0.1:8000", server.url)
    # `flask` is beside the interpreter.
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", prepared + step], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30
    )
    return ended.stdout.strip()


def test_the_walk_is_found_in_the_document() -> None:
    assert len(STEPS) > 30 and DOOR in PREPARATION
    assert DOCUMENT.count("# -> ") == len(STEPS)


@pytest.mark.server
@pytest.mark.parametrize(("step", "printed"), STEPS)
def test_each_step_prints_what_the_document_says(server: RunningServer, step: str, printed: str) -> None:
    assert run(step, server) == printed


@pytest.mark.server
def test_after_the_walk_the_log_holds_no_key_and_no_forged_line(server: RunningServer, upstream: FakeUpstream) -> None:
    for step, _ in STEPS:
        run(step, server)

    text = server.output()
    lines = [json.loads(line) for line in text[text.index('{"') :].splitlines()]
    assert not [line for line in lines if line["event"] == "forged"]
    assert DOOR not in text and OURS not in text and "4711-canary" not in text and "Traceback" not in text
    assert {call.headers["authorization"] for call in upstream.calls} == {f"Bearer {OURS}"}
    assert not [call for call in upstream.calls if call.json.keys() & {"api_base", "base_url", "api_key"}]
