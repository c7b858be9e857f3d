"""Agents as callers of the real server reach them: what each says differently, and what keeps as it is."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import tool_folder
from exchange import AUDIO, CHAT, RAG
from fake_upstream import DONE, FakeUpstream, answer, chunk, completion, event, events, refusal
from running_server import ROOT, RunningServer, ServerDidNotStart, running_server
from waiting import wait_until

from app import create_app
from parley.settings import Settings

pytestmark = pytest.mark.server

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "When do you open?"}], "stream": True}
AGENTS: dict[str, Any] = {
    "mia": {
        "system": "You are Mia, for {{template_variables.shop}}.",
        "params": {"temperature": 0.3},
        "force": {"seed": 7},
        "model": "big",
        "waiting_messages": ["One moment."],
        "fallback_text": "Sorry, again please.",
        "speech_cleanup": "speech",
        "first_chunk": {"interruptable": True, "mode": "mia"},
        "platform": "agora",
    },
    "leo.2": {"system": "You are Leo.", "system_mode": "replace", "tools": ["order_*"], "waiting": "off"},
    "José": {"tools": False, "interruptions": "off"},
    "eleven": {"waiting_messages": ["Hold on"], "platform": "elevenlabs", "first_chunk": {"interruptable": False}},
    "flush": {"waiting_messages": ["Hold on"], "platform": "vapi"},
    "hume": {"platform": "hume", "fallback_text": "Sorry."},
    "hotel": {"kb": "hotel", "waiting": "off"},
    "quick": {"tool_waiting": "always", "waiting_messages": ["Mine."]},
}


def write(folder: Path, **agents: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, profile in agents.items():
        (folder / f"{name}.json").write_text(json.dumps(profile))
    return folder


@pytest.fixture(scope="module")
def server(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with agents, tools and two knowledge bases."""
    folder = tmp_path_factory.mktemp("agents_server")
    tool_folder.write(folder / "tools", "http://127.0.0.1:9")
    (folder / "kb" / "hotel").mkdir(parents=True)
    (folder / "kb" / "a.json").write_text('{"Hours": "The shop opens at nine."}')
    (folder / "kb" / "hotel" / "a.json").write_text('{"Hours": "The hotel opens at noon."}')
    settings = {
        "AGENTS_DIR": write(folder / "agents", **AGENTS),
        "TOOLS_DIR": folder / "tools",
        "KB_DIR": folder / "kb",
    }
    env = {**{name: str(path) for name, path in settings.items()}, "LLM_BASE_URL": upstream_url}
    with running_server({**env, "WAITING_MESSAGES": "Wait.", "AUDIO_MODE": "assets", "KB_POLL": "0.1"}) as running:
        yield running


def ask(server: RunningServer, path: str = CHAT, **fields: Any) -> requests.Response:
    return requests.post(f"{server.url}{path}", json={**QUESTION, **fields}, timeout=20)


def chunks_of(answered: requests.Response) -> list[dict[str, Any]]:
    *told, done = [line[6:] for line in answered.text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    return [json.loads(payload) for payload in told]


def words(answered: requests.Response) -> str:
    choices = [choice for told in chunks_of(answered) for choice in told.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.row("AG-01")
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"agent": "mia"}),
        (f"{CHAT}?agent=mia", {}),
        (CHAT, {"model": "mia"}),
        ("/agents/mia/chat/completions", {"agent": "leo.2", "model": "José"}),
        ("/agents/mia/chat/completions/", {}),
        ("/agents/mia/v1/chat/completions", {}),
        ("/v1/agents/mia/chat/completions", {}),
        ("/agents/mia/rag/chat/completions", {}),
        ("/agents/m%69a/v1/rag/chat/completions", {}),
        ("/agents/mia/rag/v1/chat/completions", {}),
        ("/v1/agents/mia/rag/chat/completions", {}),
    ],
)
def test_an_agent_is_reached(server: RunningServer, upstream: FakeUpstream, path: str, fields: Any) -> None:
    answered = ask(server, path, template_variables={"shop": "Sol"}, **fields)

    assert answered.status_code == 200
    sent = upstream.calls[-1].json
    assert sent["messages"][0] == {"role": "system", "content": "You are Mia, for Sol."}
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("big", 0.3, 7)
    assert not {"agent", "template_variables"} & sent.keys()
    assert server.wait_for_end(answered.headers["X-Request-ID"])["agent"] == "mia"


@pytest.mark.row("AG-01")
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"agent": "MIA"}),
        (f"{RAG}?agent=x", {}),
        ("/agents/x/audio/chat/completions", {}),
        (CHAT, {"agent": "default"}),
    ],
)
def test_an_unknown_agent_is_not_found(server: RunningServer, path: str, fields: Any) -> None:
    answered = ask(server, path, **fields)
    error = answered.json()["error"]
    assert (answered.status_code, error["code"], error["param"]) == (404, "unknown_agent", "agent")


@pytest.mark.parametrize("agent", [3, True, ["mia"], {"name": "mia"}])
def test_a_name_of_another_type_is_refused(server: RunningServer, agent: Any) -> None:
    answered = ask(server, agent=agent)
    assert (answered.status_code, answered.json()["error"]["param"]) == (400, "agent")


@pytest.mark.row("AG-01")
def test_without_a_name_nothing_changes(server: RunningServer, upstream: FakeUpstream) -> None:
    asked = ask(server, model="gpt", messages=[{"role": "developer", "content": "Be kind."}, *QUESTION["messages"]])
    assert upstream.calls[-1].json["messages"][0] == {"role": "developer", "content": "Be kind."}
    assert upstream.calls[-1].json["model"] == "gpt" and len(upstream.calls[-1].json["tools"]) > 2
    assert server.wait_for_end(asked.headers["X-Request-ID"])["agent"] is None


def test_a_name_may_have_accents_and_dots(server: RunningServer, upstream: FakeUpstream) -> None:
    for path in ("/agents/Jos%C3%A9/v1/chat/completions", "/agents/Jose%CC%81/v1/chat/completions"):
        assert ask(server, path).status_code == 200
    assert "tools" not in upstream.calls[-1].json
    assert ask(server, "/agents/leo.2/chat/completions").status_code == 200
    assert [tool["function"]["name"] for tool in upstream.calls[-1].json["tools"]] == ["order_status"]


def test_a_prompt_may_replace_the_requests(server: RunningServer, upstream: FakeUpstream) -> None:
    ask(server, agent="leo.2", messages=[{"role": "system", "content": "Be kind."}, *QUESTION["messages"]])
    assert upstream.calls[-1].json["messages"] == [{"role": "system", "content": "You are Leo."}, *QUESTION["messages"]]


def test_an_interruption_is_told_unless_the_agent_says_not(server: RunningServer, upstream: FakeUpstream) -> None:
    cut = {"role": "assistant", "content": "We are", "metadata": {"interrupted": True, "original": "We are open."}}
    for agent, said in (("mia", "We are —"), ("José", "We are")):
        ask(server, agent=agent, messages=[cut, *QUESTION["messages"]])
        assert [m["content"] for m in upstream.calls[-1].json["messages"] if m["role"] == "assistant"] == [said]


@pytest.mark.parametrize(
    ("agent", "fields", "first"),
    [
        ("mia", {}, "One moment. "),
        ("eleven", {}, "Hold on... "),
        ("flush", {}, "Hold on. <flush /> "),
        ("leo.2", {}, "Hello there"),
        ("leo.2", {"waiting": "always"}, "Wait. "),
        ("mia", {"waiting": "off"}, "Hello there"),
    ],
)
def test_each_waits_in_its_own_words(server: RunningServer, agent: str, fields: Any, first: str) -> None:
    assert words(ask(server, RAG, agent=agent, **fields)).startswith(first)


@pytest.mark.parametrize(("agent", "heard"), [("eleven", "Hold on... "), ("flush", "Hold on. <flush /> ")])
def test_a_phrase_in_the_history_is_no_answer(
    server: RunningServer, upstream: FakeUpstream, agent: str, heard: str
) -> None:
    said = [{"role": "assistant", "content": f"{heard}At nine."}, *QUESTION["messages"]]
    ask(server, RAG, agent=agent, messages=said)
    assert upstream.calls[-1].json["messages"][0]["content"] == "At nine."


def test_an_agents_knowledge_is_its_own(server: RunningServer, upstream: FakeUpstream) -> None:
    for fields, known in (({}, "The hotel opens at noon."), ({"kb": "hotel"}, "The hotel opens at noon.")):
        ask(server, RAG, agent="hotel", **fields)
        assert known in upstream.calls[-1].json["messages"][-1]["content"]
    ask(server, "/agents/mia/rag/chat/completions")
    assert "The shop opens at nine." in upstream.calls[-1].json["messages"][-1]["content"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_is_said_in_its_own_words(server: RunningServer, upstream: FakeUpstream, stream: bool) -> None:
    upstream.script = answer("") if stream else completion("")
    answered = ask(server, agent="mia", stream=stream)
    said = words(answered) if stream else answered.json()["choices"][0]["message"]["content"]
    assert said == "Sorry, again please."


@pytest.mark.row("FC-01")
def test_an_agents_metadata_is_under_the_requests(server: RunningServer, upstream: FakeUpstream) -> None:
    first, second, *_ = chunks_of(ask(server, agent="mia", first_chunk={"interruptable": False}))
    assert first["metadata"] == {"interruptable": False, "mode": "mia"} and first["id"] == second["id"]
    assert "metadata" in chunks_of(ask(server, RAG, agent="mia"))[0]
    # Not for a platform that fails at it, nor in sound.
    for fields in (
        {"agent": "eleven"},
        {"agent": "eleven", "first_chunk": {"interruptable": True}},
        {"agent": "leo.2"},
    ):
        assert "metadata" not in chunks_of(ask(server, **fields))[0]
    assert all("metadata" not in told for told in chunks_of(ask(server, AUDIO, agent="mia", asset="welcome")))


@pytest.mark.row("FC-02")
def test_an_error_before_content_is_a_status(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = refusal(400, {"message": "no"})
    assert ask(server, agent="mia").status_code == 400


def test_speech_is_cleaned_as_the_agent_says(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("At **nine** sharp")
    assert words(ask(server, agent="mia")) == "At nine sharp"
    assert words(ask(server, agent="mia", speech_cleanup="off")) == "At **nine** sharp" == words(ask(server))


def test_hume_finds_its_session_in_each_chunk(server: RunningServer, upstream: FakeUpstream) -> None:
    path = "/agents/hume/v1/chat/completions?custom_session_id=s-1"
    assert {told["system_fingerprint"] for told in chunks_of(ask(server, path))} == {"s-1"}
    upstream.script = completion("Hello there")
    assert ask(server, path, stream=False).json()["system_fingerprint"] == "s-1"
    upstream.script = [*events([chunk({"role": "assistant", "content": ""})]), event(DONE)]
    told = chunks_of(ask(server, path))
    assert {each["system_fingerprint"] for each in told} == {"s-1"} and "system_fingerprint" not in chunks_of(
        ask(server)
    )[0]


def test_a_filler_is_the_agents(server: RunningServer, upstream: FakeUpstream) -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "stubborn", "arguments": "{}"}}
    calling = [*events([chunk({"role": "assistant", "tool_calls": [call]}), chunk({}, "tool_calls")]), event(DONE)]
    upstream.script = lambda asked: answer("At nine.") if asked.json["messages"][-1]["role"] == "tool" else calling
    assert words(ask(server, agent="quick")) == "Mine. At nine."


def test_agents_are_listed_first(server: RunningServer) -> None:
    for path in ("/models", "/v1/models", "/agents/mia/v1/models", "/v1/agents/mia/rag/models"):
        listed = requests.get(f"{server.url}{path}", timeout=30).json()["data"]
        assert [(each["id"], each["owned_by"]) for each in listed[: len(AGENTS)]] == [
            (name, "parley") for name in sorted(AGENTS)
        ]
        assert listed[-1]["owned_by"] != "parley"
    for path in ("/agents/x/v1/models", "/v1/agents/MIA/audio/models", "/models?agent=x"):
        missing = requests.get(f"{server.url}{path}", timeout=30)
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_agent")
    assert requests.get(f"{server.url}/ready", timeout=30).json()["details"]["agents"] == len(AGENTS)


def test_other_methods_and_paths_are_told(server: RunningServer) -> None:
    got = requests.get(f"{server.url}/agents/mia/chat/completions", timeout=30)
    assert got.status_code == 405 and "POST" in got.headers["Allow"]
    for path in ("/agents", "/agents/mia", "/agents/mia/v1", "/agents/mia/rag", "/agents/mia/chat", "/v1/agents/mia"):
        missing = requests.post(f"{server.url}{path}", json=QUESTION, timeout=30)
        assert missing.status_code == 404 and "/agents/NAME" in missing.json()["error"]["message"]


def test_metrics_have_no_series_for_each_agent(server: RunningServer) -> None:
    ask(server, "/agents/mia/chat/completions")
    metrics = requests.get(f"{server.url}/metrics", timeout=30).text
    assert 'endpoint="chat"' in metrics and "mia" not in metrics


@pytest.mark.row("AG-01")
def test_a_changed_file_counts_and_a_faulty_one_does_not(server: RunningServer, upstream: FakeUpstream) -> None:
    folder = folder_of(server)

    def prompt() -> str:
        ask(server, agent="new")
        return str(upstream.calls[-1].json["messages"][0]["content"]) if upstream.calls else ""

    write(folder, new={"system": "One."})
    wait_until(lambda: prompt() == "One.")
    (folder / "new.json").write_text('{"system": "Two."')
    wait_until(lambda: '"agents_kept"' in server.output() and "new.json:1:" in server.output())
    assert prompt() == "One."
    write(folder, new={"system": "Three."})
    wait_until(lambda: prompt() == "Three.")
    (folder / "new.json").unlink()
    wait_until(lambda: ask(server, agent="new").status_code == 404)


def folder_of(server: RunningServer) -> Path:
    """Return the server's AGENTS_DIR."""
    environ = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    return Path(next(one for one in environ if one.startswith("AGENTS_DIR=")).partition("=")[2])


@pytest.mark.row("AG-01")
def test_a_start_with_faults_is_refused(tmp_path: Path, upstream_url: str) -> None:
    write(tmp_path, a={"sistem": "x"}, b={"timezone": "Mars"})
    with pytest.raises(ServerDidNotStart) as refused, running_server({"AGENTS_DIR": str(tmp_path)}):
        pass
    assert refused.value.returncode == 1
    for fault in (
        f'parley: {tmp_path}/a.json:1:2: "sistem" is not known',
        f"parley: {tmp_path}/b.json:1:2: there is no",
    ):
        assert fault in refused.value.output
    assert "Traceback" not in refused.value.output


@pytest.mark.row("AG-01")
def test_the_default_and_what_is_checked_outlive_a_slip(
    tmp_path: Path, upstream: FakeUpstream, upstream_url: str
) -> None:
    write(tmp_path, default={"system": "I am the default."})
    settings = {"LLM_BASE_URL": upstream_url, "AGENTS_DIR": str(tmp_path), "KB_POLL": "0"}
    with running_server(settings) as server:
        (tmp_path / "default.json").write_text("{")
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.worker_pids() not in ([], [worker]) and server._is_healthy())
        ask(server)
        assert upstream.calls[-1].json["messages"][0]["content"] == "I am the default."
        assert '"agents_kept"' in server.output()
        server.signal(signal.SIGHUP)
        wait_until(lambda: '"reload_failed"' in server.output())


def test_without_the_folder_nothing_of_agents_is_loaded(tmp_path: Path) -> None:
    code = "import sys, app; assert 'parley.agents' not in sys.modules and app.app.extensions['parley'].agents is None"
    env = {**os.environ, "AGENTS_DIR": str(tmp_path / "none")}
    subprocess.run([ROOT / ".venv/bin/python", "-c", code], cwd=ROOT, env=env, check=True, timeout=60)


def test_without_the_folder_an_agent_is_unknown() -> None:
    client = create_app(
        Settings(agents_dir=Path("/nowhere/agents"), llm_base_url="http://127.0.0.1:9/v1")
    ).test_client()
    for path, fields in ((CHAT, {"agent": "mia"}), ("/agents/mia/v1/chat/completions", {})):
        answered = client.post(path, json={**QUESTION, **fields})
        assert (answered.status_code, answered.json["error"]["code"]) == (404, "unknown_agent")
