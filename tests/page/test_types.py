"""The page's modules: their types agree, and nothing in them makes elements out of text or leaves the server."""

import json
import re
import subprocess

import page_kits
import pytest
from running_server import ROOT

PAGE = ROOT / "blueprints" / "playground_page"
MODULES = sorted(PAGE.glob("*.js"))
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|new Function|document\.write|localStorage|https?://"
)
MOST_LINES = 300


def test_the_kits_are_pinned_exactly() -> None:
    locked = json.loads((page_kits.LOCKED / "package-lock.json").read_text())["packages"]

    for name, version in page_kits.pinned().items():
        assert version[0].isdigit() and locked[f"node_modules/{name}"]["version"] == version
    assert all(entry.get("integrity") for path, entry in locked.items() if path)


def test_no_module_makes_elements_of_text() -> None:
    found = {file.name: FORBIDDEN.findall(file.read_text()) for file in MODULES}

    assert MODULES and not any(found.values()), found


def test_modules_are_short() -> None:
    assert {file.name: lines for file in MODULES if (lines := file.read_text().count("\n")) > MOST_LINES} == {}


@pytest.mark.slow
def test_the_types_agree() -> None:
    try:
        compiler = page_kits.modules() / "typescript" / "bin" / "tsc"
    except page_kits.KitsMissing as exc:
        pytest.skip(f"the page's types are NOT checked here: {exc}")
    options = ["--allowJs", "--checkJs", "--strict", "--noEmit", "--target", "es2022", "--module", "es2022"]
    options += ["--moduleResolution", "bundler", "--lib", "es2023,dom,dom.iterable", "--types", ""]

    checked = subprocess.run(["node", compiler, *options, *MODULES], capture_output=True, text=True, timeout=170)

    assert checked.returncode == 0, checked.stdout
