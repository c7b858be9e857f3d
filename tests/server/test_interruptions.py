"""Interrupted turns, fields of messages and the finish of tool calls, on the real server."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from engine import REQUEST
from fake_upstream import DONE, END, ENVELOPE, FakeUpstream, answer, chunk, encode, event, events, whole
from running_server import RunningServer, payloads
from servers import Servers

pytestmark = pytest.mark.server
NOTE = '[You were interrupted; not heard: "costs ten dollars."]\n'
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "end_call", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "end_call", "parameters": {"type": "object"}}}]


def ask(server: RunningServer, body: Any, path: str = "/chat/completions") -> requests.Response:
    return requests.post(f"{server.url}{path}", json=body, timeout=30)


@pytest.mark.row("IT-01")
@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
def test_agora_s_interrupted_turn_is_told(server: RunningServer, upstream: FakeUpstream, path: str) -> None:
    assert ask(server, json.loads(REQUEST), path).status_code == 200

    said = upstream.calls[0].json["messages"]
    assert said[-2:] == [
        {"role": "assistant", "content": "We have three plans, the first —"},
        {"role": "user", "content": f"{NOTE}Just this one."},
    ]
    assert all(message.keys() == {"role", "content"} for message in said)


@pytest.mark.row("IT-01")
def test_the_search_sees_the_plain_words(tmp_path: Path, upstream: FakeUpstream, servers: Servers) -> None:
    base = [{"title": "Dollars", "text": "Ten dollars are ten."}, {"title": "Opening", "text": "We open at nine."}]
    (tmp_path / "kb.json").write_text(json.dumps(base))
    server = servers(KB_DIR=str(tmp_path), RAG_TIER="lexical", WAITING="off")
    original = "We have plans that cost ten dollars."
    metadata = {"interrupted": True, "original": original}
    messages = [
        {"role": "assistant", "content": "We have plans", "metadata": metadata},
        {"role": "user", "content": "When do you open?"},
    ]

    assert ask(server, {"messages": messages}, "/rag/chat/completions").status_code == 200

    content = upstream.calls[0].json["messages"][-1]["content"]
    assert content.startswith('[You were interrupted; not heard: "that cost ten dollars."]\n')
    assert "We open at nine." in content and "Ten dollars are ten." not in content


@pytest.mark.row("IT-03")
def test_interruptions_off_leaves_the_messages(upstream: FakeUpstream, servers: Servers) -> None:
    assert ask(servers(INTERRUPTIONS="off"), json.loads(REQUEST)).status_code == 200

    plain = [{"role": each["role"], "content": each["content"]} for each in json.loads(REQUEST)["messages"]]
    assert upstream.calls[0].json["messages"] == plain


@pytest.mark.row("PF-06")
@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function", "function": {"name": "end_call"}}])
def test_a_call_that_ends_with_stop(server: RunningServer, upstream: FakeUpstream, choice: Any) -> None:
    stop = chunk({}, "stop")
    came = [chunk({"role": "assistant", "content": "Bye."}), chunk({"tool_calls": [CALL]}), stop]
    upstream.script = [*events(came), event(DONE), END]
    body = {"messages": [{"role": "user", "content": "Bye"}], "tools": TOOLS, "tool_choice": choice}

    left = payloads(ask(server, body).content)

    named = isinstance(choice, dict)
    assert left == [*came[:2], stop if named else stop.replace(b'"stop"', b'"tool_calls"'), DONE]

    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    completion = {**ENVELOPE, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    upstream.script = whole(encode(completion))
    (told,) = ask(server, {**body, "stream": False}).json()["choices"]
    assert told == {"index": 0, "message": message, "finish_reason": "stop" if named else "tool_calls"}


@pytest.mark.row("PF-06")
def test_words_that_end_with_stop_stay_as_they_are(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("Bye")
    body = {"messages": [{"role": "user", "content": "Bye"}], "tools": TOOLS}

    assert json.loads(payloads(ask(server, body).content)[-2])["choices"][0]["finish_reason"] == "stop"
