"""The image of the Dockerfile, built and run without a registry: mmdebstrap makes its base, buildah the rest.

Everything lies in one folder of the caller's, and is gone with it. buildah isolates by chroot alone, without
namespaces, so that it works inside of containers, too; a server in it listens on this machine.
"""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from running_server import ROOT

TOOLS = ("buildah", "mmdebstrap")
SUITE = "bookworm"
"""Debian's release that has the Python of .python-version."""
BASE_PACKAGES = ("python3-venv", "libstdc++6", "dash", "coreutils")
"""Of those that every python:slim has, the ones that a server or its build needs."""
PIP_OPTIONS = ("index-url", "extra-index-url", "find-links", "cert")
"""Options of pip that say where packages come from; the Dockerfile takes them as arguments."""
BUILD_SECONDS = 900


class Buildah:
    """buildah with a storage of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = ("--root", str(folder / "storage"), "--runroot", str(folder / "run"))
        # No file system of the kernel's that layers: there may be none inside of a container.
        self._command = ["buildah", *places, "--storage-driver", "vfs"]

    def command(self, *arguments: str) -> list[str]:
        return [*self._command, *arguments]

    def __call__(self, *arguments: str) -> str:
        """What it prints; CalledProcessError, with what it said in its notes, where it fails."""
        try:
            run = subprocess.run(
                self.command(*arguments), capture_output=True, text=True, check=True, timeout=BUILD_SECONDS
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"{error.stdout[-2000:]}\n{error.stderr[-4000:]}")
            raise
        return run.stdout.strip()

    def close(self) -> None:
        """Remove all containers and images, and what was mounted for them."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self("umount", "--all")
        self("rm", "--all")
        self("rmi", "--all", "--force")


def make_base(buildah: Buildah) -> str:
    """Return the name of an image with Python alone."""
    tar = buildah.folder / "base.tar"
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(BASE_PACKAGES)}", SUITE, str(tar)]
    subprocess.run(command, check=True, timeout=BUILD_SECONDS, capture_output=True)
    (buildah.folder / "Base").write_text(f"FROM scratch\nADD {tar.name} /\n")
    buildah("bud", "--quiet", "--file", str(buildah.folder / "Base"), "--tag", "localhost/base", str(buildah.folder))
    tar.unlink()
    return "localhost/base"


def pip_settings() -> dict[str, str]:
    """Where pip on this machine gets packages from, by its options' names; the environment wins over files."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = {}
    lines = [line.partition("=") for line in listed.splitlines()]
    for name, _, value in sorted(lines, key=lambda line: line[0].startswith(":env:")):
        option = name.rpartition(".")[2]
        if option in PIP_OPTIONS:
            found[option] = value.strip("'\"")
    return found


def pip_arguments() -> list[str]:
    """The settings as arguments of a build, with the folders that they name."""
    arguments, folders = [], set()
    for option, value in pip_settings().items():
        arguments.append(f"--build-arg=PIP_{option.upper().replace('-', '_')}={value}")
        for part in value.split():
            path = Path(part.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                # An index is a folder of pages that lead to files beside it.
                inside = path.is_file() or part.startswith("file://")
                folders.add(path.parent if inside else path)
    return [*arguments, *(f"--volume={folder}:{folder}:ro" for folder in sorted(folders))]


def build(buildah: Buildah, base: str) -> str:
    """Return the name of the server's image."""
    name = "localhost/parley"
    options = ["--isolation=chroot", "--network=host", "--format=docker", "--target=server", f"--build-arg=BASE={base}"]
    buildah("bud", *options, *pip_arguments(), "--tag", name, str(ROOT))
    return name


def configuration(buildah: Buildah, image: str) -> Any:
    """What the image says of itself: user, command, variables, health check."""
    return json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]


@contextlib.contextmanager
def container(buildah: Buildah, image: str) -> Iterator[str]:
    """Yield the name of a container that nothing runs in yet."""
    name = buildah("from", image)
    try:
        yield name
    finally:
        buildah("rm", name)


def run_command(buildah: Buildah, name: str, command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the command that runs another one in a container."""
    variables = [f"--env={key}={value}" for key, value in env.items()]
    return buildah.command("run", "--isolation=chroot", *variables, name, "--", *command)


def descendants(pid: int) -> list[int]:
    """The processes below one, its children first."""
    # Each thread has children of its own.
    texts = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for text in texts for child in text.split()]
    return [*children, *(one for child in children for one in descendants(child))]


def user_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


def arguments_of(pid: int) -> str:
    return shlex.join(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1])
