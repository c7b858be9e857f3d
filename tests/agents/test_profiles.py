"""The agents of a folder: which one a request is for, and what a changed folder changes."""

import json
from pathlib import Path
from typing import Any

import gevent
import pytest
from structlog.testing import capture_logs
from waiting import wait_until

from parley.agents.profiles import Profiles
from parley.errors import UnknownAgent
from parley.files.live_folder import FaultyFiles
from parley.wire.request import ChatRequest, Origin, parse


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Leo", "mia", "Zo\u0065\u0301"):
        (tmp_path / f"{name}.json").write_text("{}")
    (tmp_path / "README.md").write_text("no agent")
    (tmp_path / ".hidden.json").write_text("[")
    (tmp_path / "sub").mkdir()
    return tmp_path


def chat(query: dict[str, str] | None = None, path: str = "", **fields: Any) -> ChatRequest:
    body = {"messages": [{"role": "user", "content": "Hi"}], **fields}
    return parse(json.dumps(body).encode(), Origin("r", v1=False, query=query or {}, agent=path))


@pytest.mark.row("AG-01")
@pytest.mark.parametrize(
    ("request_", "agent"),
    [
        (chat(), ""),
        (chat(agent="mia"), "mia"),
        (chat({"agent": "mia"}), "mia"),
        (chat(model="mia"), "mia"),
        (chat({"agent": "Leo"}, agent="mia", model="Leo"), "mia"),
        (chat({"agent": "Leo"}, "mia", agent="Leo"), "mia"),
        (chat({"agent": "mia"}, model="Leo"), "mia"),
        (chat(agent=""), ""),
        (chat(agent=None), ""),
        (chat(model="MIA"), ""),
        (chat(agent="Zo\u00e9"), "Zo\u00e9"),
        (chat(path="Zo\u0065\u0301"), "Zo\u00e9"),
    ],
)
def test_the_first_name_that_there_is_counts(folder: Path, request_: ChatRequest, agent: str) -> None:
    assert Profiles(folder).applied(request_).options.agent == agent


@pytest.mark.row("AG-01")
@pytest.mark.parametrize(
    "request_", [chat(agent="MIA"), chat({"agent": "x"}), chat(path=".hidden"), chat(agent="default")]
)
def test_a_name_of_no_agent_is_refused(folder: Path, request_: ChatRequest) -> None:
    with pytest.raises(UnknownAgent) as raised:
        Profiles(folder).applied(request_)
    assert (raised.value.status, raised.value.code, raised.value.param) == (404, "unknown_agent", "agent")


def test_the_default_is_for_all_others(folder: Path) -> None:
    (folder / "default.json").write_text("{}")
    profiles = Profiles(folder)
    for request_ in (chat(), chat(model="gpt"), chat(agent="default"), chat(model="default")):
        assert profiles.applied(request_).options.agent == "default"
    assert profiles.applied(chat(model="mia")).options.agent == "mia"


def test_two_files_of_one_name_are_a_fault(folder: Path) -> None:
    (folder / "mia.JSON").write_text("{}")
    (folder / "Zo\u00e9.json").write_text("{}")
    faults = Profiles(folder).load()
    assert len(faults) == 2 and "is defined in mia.JSON already" in faults[1] + faults[0]


def test_all_faults_are_told_and_nothing_is_loaded(folder: Path) -> None:
    (folder / "mia.json").write_text("[")
    (folder / "Leo.json").write_text('{"x": 1}')
    profiles = Profiles(folder)
    with pytest.raises(FaultyFiles, match=r'(?s)Leo.json:1:2: "x" is not known.*\nmia.json:1:2: expected value'):
        profiles.warm()
    assert profiles.profiles == []


@pytest.mark.row("AG-01")
def test_the_last_good_ones_serve_on(folder: Path) -> None:
    profiles = Profiles(folder, poll=0.01)
    profiles.warm()
    with capture_logs() as logged:
        (folder / "mia.json").write_text("[")
        (folder / "new.json").write_text("{}")
        wait_until(lambda: gevent.sleep(0.01) or any(line["event"] == "agents_kept" for line in logged))
        assert [profile.name for profile in profiles.profiles] == ["Leo", "Zo\u00e9", "mia"]
        (folder / "mia.json").write_text('{"kb": "hotel"}')
        wait_until(lambda: gevent.sleep(0.01) or len(profiles.profiles) == 4)
    assert profiles.applied(chat(agent="mia")).kb == "hotel"
    (folder / "mia.json").unlink()
    wait_until(lambda: gevent.sleep(0.01) or len(profiles.profiles) == 3)
    profiles.close()


def test_an_agent_that_hides_a_model_is_told_once(folder: Path) -> None:
    profiles = Profiles(folder, models=lambda: {"mia"})
    with capture_logs() as logged:
        for _ in range(2):
            profiles.applied(chat(model="mia"))
            profiles.applied(chat(model="Leo"))
            gevent.sleep(0.01)
    assert [(line["event"], line["agent"]) for line in logged if line["event"] == "agent_hides_model"] == [
        ("agent_hides_model", "mia")
    ]
    assert profiles.hidden_models() == ["mia"]


def test_a_variable_without_a_value_is_told_once(folder: Path) -> None:
    (folder / "mia.json").write_text('{"system": "{{request.x}}{{oh}}"}')
    profiles = Profiles(folder)
    with capture_logs() as logged:
        profiles.applied(chat(agent="mia"))
        profiles.applied(chat(agent="mia"))
    told = [line["variable"] for line in logged if line["event"] == "agent_variable_without_value"]
    assert told == ["request.x", "oh"]


def test_an_agent_that_can_not_remember_is_no_agent(folder: Path) -> None:
    profiles = Profiles(folder)
    profiles.memory_fault = "two workers"
    assert profiles.load() == []

    (folder / "mia.json").write_text('{"memory": "full"}')

    assert profiles.load() == ["mia: two workers"]
    assert profiles.applied(chat(agent="mia")).options.memory == "off"
