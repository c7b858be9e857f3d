"""The view Connect: what is copied from it works as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import page_kits
import pytest
import requests
from fake_upstream import FakeUpstream, answer
from playground import copy_by
from playwright.sync_api import Page, expect
from running_server import RunningServer

from parley.operators.platforms import PLATFORMS

pytestmark = [pytest.mark.server, pytest.mark.page]
TEXT = "A tune-up costs 65 dollars."
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PARLEY_KEY": "not-asked-for"}


@pytest.fixture
def connect(page: Page, patient: RunningServer, upstream: FakeUpstream) -> Page:
    """Return the page with its view Connect."""
    upstream.script = answer(TEXT)
    page.goto(f"{patient.url}/playground#connect")
    expect(page.locator("[data-copied=snippet]")).to_contain_text("/rag")
    return page


def choose(page: Page, platform: str, endpoint: str = "chat") -> dict[str, str]:
    """Return the URL and the snippet that the view shows for a platform."""
    page.locator("#connect-platform").select_option(platform)
    page.locator("#connect-endpoint").select_option(endpoint)
    route = "" if endpoint == "chat" else f"/{endpoint}"
    end = f"{route}/v1" if PLATFORMS[platform].appends else f"{route}/chat/completions"
    expect(page.locator("[data-copied=url]")).to_have_text(page.locator("#connect-url").input_value() + end)
    return {name: page.locator(f"[data-copied={name}]").text_content() or "" for name in ("url", "snippet", "doctor")}


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints; it must succeed."""
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_copied_curl_command_streams(connect: Page, tmp_path: Path) -> None:
    printed = run("bash", "-c", choose(connect, "curl")["snippet"], cwd=tmp_path)

    assert printed.count("data: ") > 5 and printed.endswith("data: [DONE]\n\n")


def test_the_copied_python_program_prints_the_answer(connect: Page, tmp_path: Path) -> None:
    program = choose(connect, "openai-python")["snippet"]

    assert run(sys.executable, "-c", program, cwd=tmp_path) == TEXT


def test_the_copied_javascript_program_prints_the_answer(connect: Page, tmp_path: Path) -> None:
    try:
        (tmp_path / "node_modules").symlink_to(page_kits.modules())
    except page_kits.KitsMissing as exc:
        pytest.skip(f"the program for openai-node is NOT run here: {exc}")
    (tmp_path / "ask.mjs").write_text(choose(connect, "openai-node")["snippet"])

    assert run("node", "ask.mjs", cwd=tmp_path) == TEXT


@pytest.mark.parametrize("endpoint", ["chat", "rag"])
def test_the_url_in_agoras_json_answers(connect: Page, endpoint: str) -> None:
    llm = json.loads(choose(connect, "agora", endpoint)["snippet"])["properties"]["llm"]

    body = {"messages": [{"role": "user", "content": "How much is a tune-up?"}], **llm["params"]}
    response = requests.post(llm["url"], json={**body, "stream": True}, timeout=20)
    assert response.status_code == 200 and response.text.endswith("data: [DONE]\n\n")


def test_no_snippet_holds_a_key(connect: Page) -> None:
    for name in PLATFORMS:
        assert "not-asked-for" not in choose(connect, name)["snippet"]


def test_what_is_copied_is_what_is_shown(connect: Page) -> None:
    connect.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = choose(connect, "agora")

    assert copy_by(connect, "Copy the URL") == shown["url"]


WARNINGS = {
    "http://localhost:8000": "can't reach localhost",
    "http://voice.example.com": "over http",
    "https://voice.example.com": "",
}


@pytest.mark.parametrize(("address", "warning"), WARNINGS.items(), ids=["localhost", "http", "https"])
def test_an_address_that_does_not_serve_is_warned_of(connect: Page, address: str, warning: str) -> None:
    connect.locator("#connect-url").fill(address)

    assert choose(connect, "agora")["doctor"] == f"flask doctor --url {address}/chat/completions --platform agora"
    warnings = connect.get_by_role("list", name="Warnings")
    if warning:
        expect(warnings).to_contain_text(warning)
    else:
        expect(warnings).to_have_count(0)


def test_a_bad_address_is_named(connect: Page) -> None:
    connect.locator("#connect-url").fill("ftp://voice.example.com")

    expect(connect.locator("#panel-connect .notice")).to_contain_text("begins with https:// or http://")
