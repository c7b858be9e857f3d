"""`flask agents check` and `list`: what is printed, and the exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from app import create_app
from parley.settings import Settings
from parley.telemetry import logs


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The commands silence the log of their process, which here is that of all tests."""
    yield
    logs.configure("info", None)


def agents(folder: Path, *args: str) -> Result:
    """Run `flask agents ...` on a folder; the model that all upstreams have is called "mia"."""
    settings = Settings(agents_dir=folder, llm_model="mia", llm_base_url="http://127.0.0.1:9/v1")
    return create_app(settings).test_cli_runner().invoke(args=["agents", *args])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    profile = {"system": "You are Mia.", "kb": "hotel", "platform": "vapi", "speakers": True}
    (tmp_path / "mia.json").write_text(json.dumps(profile))
    (tmp_path / "leo.json").write_text("{}")
    return tmp_path


def test_good_agents_are_counted_and_hidden_models_told(folder: Path) -> None:
    checked = agents(folder, "check")
    assert (checked.exit_code, checked.stdout) == (0, "2 agents, 0 faults\n")
    assert checked.stderr == "note: mia is a model of the upstream, too; requests for that model are the agent's\n"


def test_each_fault_is_printed_and_changes_the_exit_code(folder: Path) -> None:
    (folder / "leo.json").write_text('{\n "sistem": "x"}')
    checked = agents(folder, "check")
    first, last = checked.stdout.splitlines()
    assert (checked.exit_code, last) == (1, "0 agents, 1 faults")
    assert first.startswith(f'{folder}/leo.json:2:2: "sistem" is not known')
    assert agents(folder, "list").exit_code == 1


def test_each_agent_is_listed_with_what_is_its_own(folder: Path) -> None:
    assert agents(folder, "list").stdout == "leo: as the settings say\nmia: system, kb hotel, platform vapi, speakers\n"


def test_without_a_folder_that_is_said(tmp_path: Path) -> None:
    told = agents(tmp_path / "none", "check")
    assert told.exit_code == 1 and "there is no folder" in told.stderr and "AGENTS_DIR" in told.stderr


def test_the_samples_have_no_fault() -> None:
    checked = agents(Path(__file__).parents[3] / "agents", "check")
    assert (checked.exit_code, checked.stdout) == (0, "2 agents, 0 faults\n")
