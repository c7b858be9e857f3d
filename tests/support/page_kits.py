"""JavaScript packages that check the playground's page, installed from npm as their lock file says; for tests alone."""

import fcntl
import functools
import json
import shutil
import subprocess
from pathlib import Path

from running_server import ROOT

LOCKED = ROOT / "tests" / "page" / "kits"
INSTALLED = ROOT / ".cache" / "page-kits"


class KitsMissing(Exception):
    """The packages can't be had here; the message says why."""


@functools.cache
def modules() -> Path:
    """Return the folder `node_modules` with the packages. Raises KitsMissing."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise KitsMissing("node and npm are not installed (apt-get install nodejs npm)")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    # Of several processes that run tests the first installs, and the others wait.
    with (INSTALLED / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install()


def _install() -> Path:
    """Return the folder with the packages, installed unless they are."""
    found, wanted = INSTALLED / "node_modules", (LOCKED / "package-lock.json").read_bytes()
    lock = INSTALLED / "package-lock.json"
    if (found / ".package-lock.json").exists() and lock.read_bytes() == wanted:
        return found
    for file in LOCKED.glob("*.json"):
        shutil.copy(file, INSTALLED)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=INSTALLED, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise KitsMissing(f"npm can't install: {done.stderr.strip()[-300:]}")
    return found


def pinned() -> dict[str, str]:
    """Return the packages and their exact versions."""
    return dict(json.loads((LOCKED / "package.json").read_text())["dependencies"])
