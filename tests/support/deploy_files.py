"""What the files for hosting platforms say, read from the files themselves."""

import json
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from running_server import ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text()


def json_file(name: str) -> Any:
    return json.loads(read(name))


def toml_file(name: str) -> Any:
    return tomllib.loads(read(name))


def yaml_file(name: str) -> Any:
    return yaml.safe_load(read(name))


KUBERNETES = "deploy/kubernetes"
DEPLOYMENT = f"{KUBERNETES}/deployment.yaml"
FOLDERS = (KUBERNETES, f"{KUBERNETES}/database", f"{KUBERNETES}/monitoring")
"""Folders that are applied, each by itself."""
SCALE = "deploy/compose.scale.yaml"


def objects() -> dict[str, Any]:
    """The object in each file of deploy/kubernetes, by the file's name; what only tells kustomize is none."""
    files = sorted((ROOT / KUBERNETES).rglob("*.yaml"))
    return {
        str(file.relative_to(ROOT)): yaml.safe_load(file.read_text())
        for file in files
        if file.name != "kustomization.yaml"
    }


def kubernetes(kind: str) -> Any:
    """The one object of this kind in deploy/kubernetes."""
    (found,) = (one for one in objects().values() if one["kind"] == kind)
    return found


def pod(kind: str = "Deployment") -> Any:
    """The pod that an object of this kind makes."""
    spec = kubernetes(kind)["spec"]
    return (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]["spec"]


def container(kind: str = "Deployment") -> Any:
    (only,) = pod(kind)["containers"]
    return only


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what follows each."""
    lines = [line for line in read("Dockerfile").splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def stage(name: str) -> dict[str, str]:
    """The last instruction of each kind in a stage of the Dockerfile."""
    found: dict[str, dict[str, str]] = {}
    current = ""
    for word, rest in instructions():
        if word == "FROM":
            current = rest.partition(" AS ")[2]
            found.setdefault(current, {})
        else:
            found.setdefault(current, {})[word] = rest
    return found[name]


def image_variables() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(part.split("=", 1) for part in shlex.split(stage("server")["ENV"]))


def copied() -> list[str]:
    """The files and folders that the image is made of."""
    return [
        part for word, rest in instructions() if word == "COPY" and "--from" not in rest for part in rest.split()[:-1]
    ]


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps this file out of the image: the last line that fits it or a folder above decides."""
    places = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    ignored = False
    for line in read(".dockerignore").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        fits = any(fnmatch(place, pattern) for place in places)
        if anywhere != pattern:
            fits = any(fnmatch(part, anywhere) for place in places for part in place.split("/"))
        if fits:
            ignored = not line.startswith("!")
    return ignored


def unit() -> dict[str, list[str]]:
    """The values of each name in the systemd unit."""
    found: dict[str, list[str]] = {}
    for line in read("deploy/parley.service").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def variables() -> dict[str, dict[str, Any]]:
    """The variables that each file sets, with their values as the file has them."""
    (render,) = yaml_file("render.yaml")["services"]
    return {
        "Dockerfile": image_variables(),
        "compose.yaml": yaml_file("compose.yaml")["services"]["parley"]["environment"],
        "render.yaml": {one["key"]: one for one in render["envVars"]},
        "fly.toml": toml_file("fly.toml")["env"],
        "app.json": json_file("app.json")["env"],
        DEPLOYMENT: {one["name"]: one for one in container()["env"]},
        f"{KUBERNETES}/database/db-init.yaml": {one["name"]: one for one in container("Job")["env"]},
        f"{KUBERNETES}/database/kb-publish.yaml": {one["name"]: one for one in container("CronJob")["env"]},
        **{f"{SCALE}: {name}": yaml_file(SCALE)["services"][name]["environment"] for name in ("parley-1", "publish")},
        "deploy/parley.service": dict(value.split("=", 1) for value in unit()["Environment"]),
    }


def commands() -> dict[str, str]:
    """The command with which each file starts the server; only those that name one."""
    (render,) = yaml_file("render.yaml")["services"]
    folder = Path(unit()["WorkingDirectory"][0]) / ".venv" / "bin"
    return {
        "Procfile": read("Procfile").strip().removeprefix("web: "),
        "Dockerfile": shlex.join(json.loads(stage("server")["CMD"])),
        "render.yaml": render["startCommand"],
        "railway.json": json_file("railway.json")["deploy"]["startCommand"],
        "deploy/parley.service": unit()["ExecStart"][0].removeprefix(f"{folder}/"),
    }


def seconds(text: str | int) -> int:
    return int(str(text).removesuffix("s"))


def graces() -> dict[str, int]:
    """The seconds that each platform waits for the server at a stop, after what it does before the signal."""
    (render,) = yaml_file("render.yaml")["services"]
    before = int(container()["lifecycle"]["preStop"]["exec"]["command"][-1])
    return {
        "Render": render["maxShutdownDelaySeconds"],
        "Fly": toml_file("fly.toml")["kill_timeout"],
        "Railway": json_file("railway.json")["deploy"]["drainingSeconds"],
        "Kubernetes": pod()["terminationGracePeriodSeconds"] - before,
        "Compose": seconds(yaml_file("compose.yaml")["services"]["parley"]["stop_grace_period"]),
        "systemd": seconds(unit()["TimeoutStopSec"][0]),
    }
