"""`speech_cleanup` on the real server: /chat and /rag, streams and whole answers, what is touched and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from fake_upstream import DONE, END, USAGE, FakeUpstream, answer, chunk, completion, event, events, text_chunk
from running_server import RunningServer, payloads
from servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.row("SP-05")]
HELLO = {"messages": [{"role": "user", "content": "When do you open?"}]}
WRITTEN = "**We** open at [nine](https://example.com/a) 😀 daily."
SAID = "We open at nine daily."
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"**b**"}'}}


def ask(server: RunningServer, path: str = "/chat/completions", **fields: Any) -> requests.Response:
    return requests.post(f"{server.url}{path}", json={**HELLO, **fields}, timeout=30)


def said(response: requests.Response) -> str:
    """Return the text of a stream, whose end must be right."""
    *came, done = payloads(response.content)
    assert response.status_code == 200 and done == DONE
    choices = [choice for payload in came if payload[:1] == b"{" for choice in json.loads(payload)["choices"]]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.fixture
def knowing(tmp_path: Path, upstream: FakeUpstream, servers: Servers) -> RunningServer:
    (tmp_path / "kb.json").write_text(json.dumps([{"title": "Opening", "text": "We open at nine."}]))
    return servers(KB_DIR=str(tmp_path), RAG_TIER="lexical", WAITING="always", WAITING_MESSAGES="One *moment*.")


def test_without_it_every_byte_stays(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer(WRITTEN)
    plain = ask(server).content

    assert ask(server, speech_cleanup="off").content == plain and said(ask(server)) == WRITTEN
    assert "speech_cleanup" not in upstream.calls[-1].json


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
def test_a_stream_and_a_whole_answer_say_the_same(server: RunningServer, upstream: FakeUpstream, path: str) -> None:
    upstream.script = answer(WRITTEN, usage=True)
    response = ask(server, path, speech_cleanup="speech", stream=True, stream_options={"include_usage": True})
    assert said(response) == SAID
    assert json.loads(payloads(response.content)[-2])["usage"] == USAGE
    assert server.wait_for_end(response.headers["x-request-id"])["cleaned"] == "some"

    upstream.script = completion(WRITTEN)
    whole = ask(server, path, speech_cleanup="speech", stream=False)
    assert whole.json()["choices"][0]["message"]["content"] == SAID and whole.json()["usage"] == USAGE


def test_an_answer_from_the_knowledge_is_cleaned(knowing: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer(WRITTEN)
    response = ask(knowing, "/rag/chat/completions", speech_cleanup="speech", include_citations=True)

    assert said(response) == f"One moment. {SAID}"
    assert b": citations [" in response.content
    came = [json.loads(payload) for payload in payloads(response.content)[:-1] if payload[:1] == b"{"]
    assert came[-1]["citations"] and len({each["id"] for each in came}) == 1

    upstream.script = completion(WRITTEN)
    whole = ask(knowing, "/rag/chat/completions", speech_cleanup="speech", stream=False).json()
    assert whole["choices"][0]["message"]["content"] == SAID and whole["citations"]


def test_the_setting_cleans_and_a_request_decides(upstream: FakeUpstream, servers: Servers) -> None:
    server = servers(SPEECH_CLEANUP="thoughts")
    upstream.script = answer("<think>Hm.</think>**Yes**")

    assert said(ask(server)) == "**Yes**"
    assert said(ask(server, speech_cleanup="speech")) == "Yes"
    assert said(ask(server, speech_cleanup="off")) == "<think>Hm.</think>**Yes**"


def test_calls_and_other_answers_are_left_alone(server: RunningServer, upstream: FakeUpstream) -> None:
    other = {
        "index": 1,
        "delta": {"content": "*b*"},
        "logprobs": {"content": [{"token": "*b*"}]},
        "finish_reason": None,
    }
    call, end = chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls")
    came = [text_chunk("i", "*a"), chunk({}, choices=[other]), text_chunk("i", "* ["), call, end]
    upstream.script = [*events(came), event(DONE), END]

    left = [
        json.loads(payload)["choices"][0] for payload in payloads(ask(server, speech_cleanup="speech").content)[:-1]
    ]

    assert [(each["index"], each["delta"].get("content")) for each in left] == [
        *((0, "a"), (1, "b"), (0, " "), (0, "["), (0, None), (0, None)),
    ]
    assert left[1]["logprobs"] is None and left[4] == json.loads(call)["choices"][0]


@pytest.mark.row("SP-03")
def test_an_answer_of_code_alone_ends_well(server: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = answer("```py\nx = 1")
    response = ask(server, speech_cleanup="speech")

    assert said(response) == ""
    assert server.wait_for_end(response.headers["x-request-id"])["cleaned"] == "all"


@pytest.mark.parametrize("value", ["on", "", 1, True, ["speech"]])
def test_an_unknown_way_is_refused(server: RunningServer, first: FakeUpstream, value: Any) -> None:
    response = ask(server, speech_cleanup=value)

    assert response.status_code == 400 and response.json()["error"]["param"] == "speech_cleanup"
    assert first.calls == []
