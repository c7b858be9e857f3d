"""Settings that would be ignored: named at the start, and the start refused where the door would stand open."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
from running_server import INHERITED, ROOT, running_server

pytestmark = [pytest.mark.server, pytest.mark.row("RF-15")]
CONFIG = str(ROOT / "gunicorn.conf.py")
OPEN = "Without API_KEYS the server would be open to everybody"


def start(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Return how a start in `folder` ends, which must not succeed."""
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", "127.0.0.1:0", "-c", CONFIG, "app:app"]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    given = {**inherited, "PYTHONPATH": str(ROOT), "LLM_BASE_URL": "http://127.0.0.1:9/v1", **env}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=20)


def check_refused(ended: subprocess.CompletedProcess[str], told: str) -> None:
    """Check that it ended with one line."""
    assert ended.returncode == 1 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("parley: ") and told in line and "hunter2" not in line


@pytest.mark.parametrize("name", ["API_KEY", "api_keys", "PARLEY_API_KEYS", "API_KEYS_FILE"])
def test_a_variable_that_looks_like_the_doors_key_stops(tmp_path: Path, name: str) -> None:
    check_refused(start(tmp_path, **{name: "hunter2"}), f"{name} is no setting; API_KEYS? {OPEN}")


FILES: Mapping[str, tuple[bytes, str]] = {
    "yaml": (b"LLM_MODEL=m\n\nAPI_KEYS: hunter2\n", f".env line 3 is not NAME=value; API_KEYS=...? {OPEN}"),
    "list": (b"- API_KEYS=hunter2\n", f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "json": (b'{"API_KEYS": "hunter2"}\n', f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "shell": (b"set API_KEYS=hunter2\n", f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "powershell": (b'$env:API_KEYS="hunter2"\n', f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "dash": (b"API-KEYS=hunter2\n", f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "space": (b"API KEYS=hunter2\n", f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "dot": (b"api.keys=hunter2\n", f".env line 1 is not NAME=value; API_KEYS=...? {OPEN}"),
    "unset": (b"API_KEYS=${DOOR}\n", f"API_KEYS in .env is empty: it is made of variables that are not set. {OPEN}"),
    "singular": (b"export API_KEY=hunter2\n", f"API_KEY is no setting; API_KEYS? {OPEN}"),
    "latin-1": ("FALLBACK_TEXT=Désolé\nAPI_KEYS=hunter2\n".encode("latin-1"), ".env is not valid UTF-8 (line 1)"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_line_that_would_be_ignored_stops(tmp_path: Path, kind: str) -> None:
    content, told = FILES[kind]
    (tmp_path / ".env").write_bytes(content)
    check_refused(start(tmp_path), told)


def test_a_folder_in_the_files_place_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    check_refused(start(tmp_path), ".env is a folder")


def test_a_key_in_utf_16_shuts_the_door(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("API_KEYS=hunter2-hunter2\r\n".encode("utf-16"))
    env = {"PYTHONPATH": str(ROOT), "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    with running_server(env, argv=("-c", CONFIG), cwd=tmp_path, blank=()) as server:
        assert requests.get(f"{server.url}/models", timeout=30).status_code == 401
        key = {"x-api-key": "hunter2-hunter2"}
        assert requests.get(f"{server.url}/models", headers=key, timeout=30).status_code == 200


def test_other_names_are_told_and_unrelated_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LLM_MODELL=m\nWAITING: off\nKB_POLL=0\n")
    unrelated = {"AWS_SECRET_ACCESS_KEY": "x", "STRIPE_API_KEY": "x", "APP_KEY": "x", "PARLEY_PORT": "tcp://x"}
    env = {"PYTHONPATH": str(ROOT), "LLM_BASE_URL": "http://127.0.0.1:9/v1", "API_KEYS": "door-1", **unrelated}
    # API_KEY is another program's: the door is shut by API_KEYS.
    env |= {"API_KEY": "x", "max_streams": "7", "WEB_CONCURRENCY": "2"}
    with running_server(env, argv=("-c", CONFIG), cwd=tmp_path, blank=()) as server:
        told = server.output()
    assert told.count("LLM_MODELL is no setting; LLM_MODEL?") == 1
    assert told.count(".env line 2 is not NAME=value; WAITING=...?") == 1
    assert told.count("max_streams is no setting; MAX_STREAMS?") == 1
    assert told.count("no setting") == 2
    assert not [name for name in (*unrelated, "KB_POLL") if name in told]


@pytest.mark.parametrize("command", [("settings",), ("kb", "check"), ("run", "--port", "0")], ids=" ".join)
def test_a_command_refuses_them_in_one_line_too(tmp_path: Path, command: tuple[str, ...]) -> None:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env = {**inherited, "PYTHONPATH": str(ROOT), "API_KEY": "hunter2"}
    line = [sys.executable, "-m", "flask", "--app", "app", *command]
    check_refused(
        subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20), "API_KEY is no setting"
    )
