"""The check before the start, as the process that the master runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import INHERITED, ROOT

pytestmark = pytest.mark.slow


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [sys.executable, "-m", "parley.server.tools_check"]
    return subprocess.run(
        command, cwd=ROOT, env={**env, "TOOLS_DIR": str(folder)}, capture_output=True, text=True, timeout=60
    )


def test_a_good_folder_passes_in_silence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.py").write_text("from gevent import monkey\nassert monkey.is_module_patched('socket')\n")
    ended = checked(tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_faults_are_printed_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[3]")
    (tmp_path / "b.py").write_text("import sys\nsys.exit('never')\n")
    ended = checked(tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"parley: {tmp_path}/a.json:1:2: expected `object`, got `int`",
        f"parley: {tmp_path}/b.py:2: SystemExit: never",
    ]
