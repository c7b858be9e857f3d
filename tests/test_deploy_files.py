"""The files for hosting platforms: valid, of one mind, and true to docs/deploying.md."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from deploy_files import (
    DEPLOYMENT,
    SCALE,
    commands,
    container,
    copied,
    graces,
    image_variables,
    instructions,
    is_ignored,
    json_file,
    pod,
    read,
    stage,
    toml_file,
    unit,
    variables,
    yaml_file,
)
from running_server import ROOT, running_server, setting_names

from parley.settings import Settings

COMMAND = "gunicorn -k gevent app:app"
GUARD = "flask doctor --only ST --offline"
MARGIN = 3
"""Seconds that a platform waits longer than GRACEFUL_TIMEOUT: for the last words, and for the process's end."""
NO_SETTINGS = {"PORT", "WEB_CONCURRENCY"}
"""gunicorn's own."""
OF_THE_IMAGE = {"PATH", "HOME", "PYTHONUNBUFFERED"}
MAX_UNIT_EXPOSURE = 2.5
"""Of ten, as `systemd-analyze security` counts."""


def test_all_start_the_same_command() -> None:
    assert set(commands().values()) == {COMMAND}


def test_what_runs_the_image_keeps_its_command() -> None:
    assert not {"command", "entrypoint"} & yaml_file("compose.yaml")["services"]["parley"].keys()
    assert not {"command", "args"} & container().keys()
    assert not {"processes", "experimental"} & toml_file("fly.toml").keys()
    assert "ENTRYPOINT" not in stage("server")


def test_all_want_the_same_python() -> None:
    version = read(".python-version").strip()
    project = toml_file("pyproject.toml")["tool"]
    assert ("ARG", f"BASE=python:{version}-slim") in instructions()
    assert project["mypy"]["python_version"] == version
    assert project["ruff"]["target-version"] == f"py{version.replace('.', '')}"
    assert not {"PYTHON_VERSION", "NIXPACKS_PYTHON_VERSION"} & {name for file in variables().values() for name in file}


def test_balancers_ask_whether_it_is_ready() -> None:
    (render,) = yaml_file("render.yaml")["services"]
    (fly,) = toml_file("fly.toml")["http_service"]["checks"]
    assert render["healthCheckPath"] == fly["path"] == "/ready"
    assert json_file("railway.json")["deploy"]["healthcheckPath"] == "/ready"
    assert container()["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_who_restarts_it_asks_whether_it_lives() -> None:
    # A server without a model, or at its stop, is not ready, and must not be killed for it.
    assert container()["livenessProbe"]["httpGet"]["path"] == "/health"
    assert "'/health'" in stage("server")["HEALTHCHECK"]


def test_the_port_is_the_same_everywhere() -> None:
    port = int(image_variables()["PORT"])
    assert stage("server")["EXPOSE"] == str(port)
    assert toml_file("fly.toml")["http_service"]["internal_port"] == port == int(toml_file("fly.toml")["env"]["PORT"])
    assert container()["ports"] == [{"name": "http", "containerPort": port}]
    compose = yaml_file("compose.yaml")["services"]["parley"]
    assert compose["ports"] == [f"127.0.0.1:{port}:{port}"] and compose["environment"]["PORT"] == str(port)
    for proxy in ("deploy/nginx.conf", "deploy/Caddyfile"):
        assert f"127.0.0.1:{port}" in read(proxy)
    # Without PORT gunicorn listens on this machine alone.
    assert "PORT" not in variables()["deploy/parley.service"]


def documented_graces() -> dict[str, tuple[int, int]]:
    """Seconds that the page says a platform waits with its file, and GRACEFUL_TIMEOUT for it."""
    table = re.findall(
        r"^\| ([^|]+?) \| [^|]* \| (\d+) s[^|]* \| `(\d+)`[^|]* \|", read("docs/deploying.md"), re.MULTILINE
    )
    return {name: (int(waits), int(ours)) for name, waits, ours in table}


def test_every_platform_waits_for_open_streams() -> None:
    documented = documented_graces()
    assert documented.keys() >= graces().keys() | {"Heroku", "Cloud Run"}
    for name, waits in graces().items():
        assert documented[name][0] == waits, name
    for name, (waits, ours) in documented.items():
        assert waits >= ours + MARGIN, name
    # No file sets it.
    assert {documented[name][1] for name in graces()} == {Settings().graceful_timeout}
    assert not any("GRACEFUL_TIMEOUT" in file for file in variables().values())


def test_the_stop_is_sigterm() -> None:
    assert stage("server")["STOPSIGNAL"] == toml_file("fly.toml")["kill_signal"] == unit()["KillSignal"][0] == "SIGTERM"
    assert unit()["KillMode"] == ["mixed"]
    assert "stop_signal" not in yaml_file("compose.yaml")["services"]["parley"]


def test_seconds_of_railway_and_fly_are_numbers() -> None:
    # Railway refuses a text.
    assert type(json_file("railway.json")["deploy"]["drainingSeconds"]) is int
    assert type(toml_file("fly.toml")["kill_timeout"]) is int


def test_no_first_caller_waits_for_a_machine_to_wake() -> None:
    service = toml_file("fly.toml")["http_service"]
    assert service["min_machines_running"] >= 1 and service["auto_stop_machines"] == "off"
    assert yaml_file("render.yaml")["services"][0]["plan"] != "free"
    assert json_file("app.json")["formation"]["web"]["size"] != "eco"


def test_no_file_opens_the_server_to_strangers() -> None:
    assert yaml_file("render.yaml")["services"][0]["envVars"][0] == {"key": "API_KEYS", "generateValue": True}
    assert json_file("app.json")["env"]["API_KEYS"]["generator"] == "secret"
    assert variables()["compose.yaml"]["API_KEYS"].startswith("${API_KEYS:?")
    secret = variables()[DEPLOYMENT]["API_KEYS"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "parley", "key": "API_KEYS"}  # not optional: the pod does not start without it
    assert toml_file("fly.toml")["deploy"]["release_command"] == GUARD
    assert json_file("railway.json")["deploy"]["preDeployCommand"] == [GUARD]
    assert not unit()["EnvironmentFile"][0].startswith("-")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "status"), [({}, 1), ({"API_KEYS": "0123456789abcdef"}, 0)], ids=["open", "with-key"])
def test_the_guard_of_fly_and_railway_wants_a_key(key: dict[str, str], status: int, tmp_path: Path) -> None:
    variables_there = {**toml_file("fly.toml")["env"], **key, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *GUARD.split()]
    # Not in the project's folder, where .env might have a key.
    told = subprocess.run(
        [*command[:3], "--app", "app", *command[3:]], cwd=tmp_path, env=variables_there, capture_output=True, text=True
    )
    assert told.returncode == status and ("API_KEYS is not set" in told.stdout) == bool(status), told


@pytest.mark.parametrize(("key", "starts"), [({}, False), ({"API_KEYS": "k"}, True)], ids=["open", "with-key"])
def test_the_unit_wants_a_key(key: dict[str, str], starts: bool) -> None:
    (before,) = unit()["ExecStartPre"]
    shell, script = re.fullmatch(r"(\S+) -c '(.+)'", before).groups()  # type: ignore[union-attr]
    run = subprocess.run([shell, "-c", script.replace("$$", "$")], env=key, capture_output=True, text=True)
    assert (run.returncode == 0) == starts and ("/etc/parley.env" in run.stderr) != starts


@pytest.mark.parametrize(
    "file",
    ["render.yaml", "fly.toml", "app.json", DEPLOYMENT, f"{SCALE}: parley-1", "deploy/parley.service"],
)
def test_one_router_stands_in_front(file: str) -> None:
    found = variables()[file]["TRUSTED_PROXIES"]
    assert (found["value"] if isinstance(found, dict) else found) == "1"


@pytest.mark.parametrize("file", variables())
def test_every_variable_is_a_setting(file: str) -> None:
    allowed = {*setting_names(), *NO_SETTINGS, *(OF_THE_IMAGE if file == "Dockerfile" else ())}
    assert variables()[file].keys() <= allowed


def test_fixed_values_of_settings_are_accepted() -> None:
    for file, found in variables().items():
        fixed = {name: value.get("value") if isinstance(value, dict) else value for name, value in found.items()}
        given = {name: value for name, value in fixed.items() if isinstance(value, str) and "$" not in value}
        assert Settings.from_environ(given), file


def test_all_that_the_image_copies_exists() -> None:
    assert {"app.py", "gunicorn.conf.py", "parley", "blueprints", "samples", "kb_data", "audio_assets"} <= {*copied()}
    assert [path for path in copied() if not (ROOT / path).exists()] == []


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).exists()]


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    roots = {*copied()}
    needed = {path for path in tracked() if path in roots or path.split("/")[0] in roots}
    assert {"blueprints/openapi.json", "samples/tools/rentals.py", "audio_assets/default.wav"} <= needed
    assert {path for path in tracked() if not is_ignored(path)} == needed


@pytest.mark.parametrize(
    "path", [".env", ".git/config", "parley/__pycache__/turn.pyc", "blueprints/.env.local", "tests/a.py"]
)
def test_the_build_sees_no_secret_and_no_waste(path: str) -> None:
    assert is_ignored(path)


def test_what_the_code_reads_beside_itself_is_copied() -> None:
    # Files and folders of settings' defaults: `tools` is the operator's own.
    folders = {Settings().kb_dir, Settings().audio_dir, Settings().agents_dir}
    assert {str(folder) for folder in folders} <= {*copied()}


def test_the_image_has_no_shell_form_and_no_root() -> None:
    assert all(rest.startswith("[") for word, rest in instructions() if word in ("RUN", "CMD", "ENTRYPOINT", "SHELL"))
    assert " CMD [" in stage("server")["HEALTHCHECK"]
    user = stage("server")["USER"]
    assert (
        user
        == stage("demo")["USER"]
        == f"{pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}"
        == "10001:10001"
    )


def test_packages_of_the_image_are_pinned() -> None:
    installs = [json.loads(rest) for word, rest in instructions() if word == "RUN" and '/pip", "install"' in rest]
    assert installs and all("--require-hashes" in one and one[-1].startswith("requirements") for one in installs)
    assert "--require-hashes" in yaml_file("render.yaml")["services"][0]["buildCommand"]


def test_the_default_image_is_the_tested_one() -> None:
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert stages[-1] == "server" and "server AS demo" in stages


def test_the_demo_has_what_its_model_computes_with() -> None:
    # xllamacpp's engine needs libgomp.so.1, which neither its wheel nor a slim image brings along.
    assert '"libgomp1"' in stage("demo")["RUN"] and "libgomp1" in read("README.md")


def test_mounted_folders_are_where_the_server_looks() -> None:
    mounts = yaml_file("compose.yaml")["services"]["parley"]["volumes"]
    folder = stage("server")["WORKDIR"]
    for name in (Settings().kb_dir, Settings().audio_dir, Settings().agents_dir):
        assert f"./{name}:{folder}/{name}:ro" in mounts


def test_compose_is_valid_and_strict() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    service = yaml_file("compose.yaml")["services"]["parley"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["tmpfs"] == ["/tmp"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.fixture
def unit_file(tmp_path: Path) -> Path:
    """The unit, with programs that exist on this machine."""
    text = read("deploy/parley.service")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gunicorn").symlink_to("/bin/true")
    file = tmp_path / "parley.service"
    file.write_text(text.replace("/opt/parley/.venv/bin/", f"{folder}/"))
    return file


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


def test_systemd_understands_the_unit(unit_file: Path) -> None:
    told = systemd_analyze("verify", str(unit_file))
    assert told.returncode == 0 and "parley.service" not in told.stderr


def test_systemd_calls_the_unit_hardened(unit_file: Path) -> None:
    told = systemd_analyze("security", "--offline=true", str(unit_file))
    (exposure,) = re.findall(r"exposure level for parley.service: ([\d.]+)", told.stdout)
    assert float(exposure) <= MAX_UNIT_EXPOSURE


def test_the_unit_has_room_for_all_streams() -> None:
    files = int(unit()["LimitNOFILE"][0])
    assert files == yaml_file("compose.yaml")["services"]["parley"]["ulimits"]["nofile"] >= 4 * Settings().max_streams


@pytest.mark.server
def test_systemd_is_told_when_the_server_is_ready(tmp_path: Path) -> None:
    assert unit()["Type"] == ["notify"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with running_server({"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            assert b"READY=1" in manager.recv(4096).splitlines()
