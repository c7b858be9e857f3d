"""`make run`, with a stand-in for the server: the line before an installation, and the answers in speech."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose pip and gunicorn only print."""
    for file in ("Makefile", *(path.name for path in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / file, tmp_path)
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "pip").write_text("#!/bin/sh\necho pip\n")
    (scripts / "gunicorn").write_text('#!/bin/sh\necho "mode <$AUDIO_MODE>"\n')
    for script in scripts.iterdir():
        script.chmod(0o755)
    return tmp_path


def run(project: Path, **env: str) -> list[str]:
    command = ["make", "-s", "run"]
    made = subprocess.run(
        command, cwd=project, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=True
    )
    return made.stdout.splitlines()


def test_an_installation_is_announced_before_it_begins(project: Path) -> None:
    said = run(project)
    assert said[0].startswith("Installing, about a minute, ") and said[1:3] == ["pip", "pip"]
    assert run(project) == ["mode <speech>"]


def test_answers_are_spoken_unless_something_else_is_chosen(project: Path) -> None:
    assert run(project)[-1] == "mode <speech>"
    assert run(project, AUDIO_MODE="relay")[-1] == "mode <relay>"
    (project / ".env").write_text("LLM_MODEL=big\n  export AUDIO_MODE = assets\n")
    # The server reads it from there; the environment would win over the file.
    assert run(project)[-1] == "mode <>"
