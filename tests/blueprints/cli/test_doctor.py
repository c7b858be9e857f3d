"""`flask doctor`: lines, JSON, exit codes, and what is not understood."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from running_server import ROOT, free_port, setting_names

from app import create_app
from blueprints.cli import doctor as cli
from parley import settings as table
from parley.checking.catalogue import GROUPS
from parley.settings import Settings

KEY = "canary-of-a-caller-0123456789"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Examine an environment without settings, in a folder without `.env`."""
    monkeypatch.chdir(tmp_path)
    for name in [*setting_names(), "PARLEY_KEY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", str(free_port()))
    monkeypatch.setenv("KB_DIR", str(ROOT / "kb_data"))
    monkeypatch.setenv("AUDIO_DIR", str(ROOT / "audio_assets"))
    table.ignored.cache_clear()


def doctor(*args: str) -> Result:
    return create_app(Settings()).test_cli_runner().invoke(args=["doctor", *args])


@pytest.mark.parametrize("page", ["doctor", "platforms", "troubleshooting"])
def test_commands_of_the_pages_have_options_that_exist(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    commands = re.findall(r"^flask ((?:doctor|chat|snippet)[^#\n]*)|`flask ((?:doctor|chat|snippet)[^`]*)`", text, re.M)
    assert commands
    for words in (first or second for first, second in commands):
        known = (
            create_app(Settings()).test_cli_runner().invoke(args=[*shlex.split(words.replace("...", "x")), "--help"])
        )
        assert known.exit_code == 0, (words, known.output)


def test_the_groups_are_those_of_the_catalogue() -> None:
    assert tuple(group.id for group in GROUPS) == cli.GROUP_IDS


def test_offline_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("LLM_API_KEY", "sk-0123456789abcdef")
    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    result = doctor("--offline", "--url", "https://voice.example.com", "--json")
    checks = json.loads(result.stdout)["checks"]
    assert {one["status"] for one in checks if one["id"][:2] in ("UP", "SV", "CL")} == {"skip"}
    assert "a socket was opened" not in result.output


def test_no_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    monkeypatch.setenv("LLM_API_KEY", KEY)
    monkeypatch.setenv("LLM_BASE_URL", f"https://llm.invalid/v1?code={KEY}")
    for form in ((), ("--json",)):
        result = doctor(*form, "--only", "ST", "--only", "UP", "--key", KEY)
        assert result.exit_code == 1 and KEY not in result.output and "also that of an upstream" in result.output


def test_a_warning_counts_only_if_it_shall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    monkeypatch.setenv("LLM_MODELL", "m")
    assert doctor("--only", "st").exit_code == 0
    table.ignored.cache_clear()
    assert doctor("--only", "ST", "--strict").exit_code == 1


def test_lines_are_told_under_their_heading() -> None:
    lines = doctor("--only", "KB", "--only", "AU").stdout.splitlines()
    assert lines[0] == "Knowledge" and lines[1].startswith("  ok    KB-1   ") and lines[2] == "Recordings"
    assert lines[-1] == "0 problems, 0 warnings, 2 well, 0 skipped"


@pytest.mark.parametrize(
    "args",
    [
        ("--url", "ftp://x"),
        ("--only", "XX"),
        ("--only", "SV"),
        ("--platform", "retell"),
        ("--long", "0"),
        ("--key", "é"),
    ],
    ids=["address", "group", "no-address", "platform", "long", "key"],
)
def test_what_is_not_understood_exits_with_two(args: tuple[str, ...]) -> None:
    assert doctor(*args).exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "command", "code", "said"),
    [
        ({"TTFT_TIMEOUT": "soon", "LLM_BASE_URL": "https//x"}, "doctor", 1, "LLM_BASE_URL: expected"),
        ({"TTFT_TIMEOUT": "soon"}, "snippet", 2, "name a platform"),
        ({"TTFT_TIMEOUT": "soon"}, "settings", 1, "parley: TTFT_TIMEOUT"),
    ],
    ids=["doctor", "snippet", "another"],
)
def test_bad_settings_stop_no_command_that_finds_faults(
    variables: dict[str, str], command: str, code: int, said: str
) -> None:
    environment = {"PATH": os.environ["PATH"], **variables}
    more = ("--offline",) if command == "doctor" else ()
    flask = [sys.executable, "-m", "flask", "--app", "app", command, *more]
    done = subprocess.run(flask, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == code and said in done.stdout + done.stderr
