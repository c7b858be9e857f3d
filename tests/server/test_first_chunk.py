"""Metadata in front of the first chunk, as callers of the real server see it: by the field and by tools alone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import tool_folder
from exchange import AUDIO, CHAT, RAG
from fake_upstream import DONE, END, FakeUpstream, Step, answer, chunk, completion, event, events, refusal, whole
from running_server import RunningServer, running_server

pytestmark = pytest.mark.server

WISH = {"interruptable": False, "tts_params": {"params": {"rate": 1.1}}, "x": [None, "é"]}
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "When do you open?"}], "stream": True}
AGORA: dict[str, Any] = {"turn_id": 3, "timestamp": 1764000012345}
SETTINGS = {"AUDIO_MODE": "assets", "WAITING_MESSAGES": "Wait.", "HEARTBEAT": "0.4", "TOOL_WAITING": "700"}
FUNCTIONS = '''
import time

import gevent

from parley.tools import Call, tool


@tool(interruptable=False, waiting=["Booking it"])
def reserve_table(seconds: float) -> str:
    """Sleep."""
    gevent.sleep(seconds)
    return "done"


@tool
def faster(rate: float, seconds: float = 0, *, call: Call) -> bool:
    """Speak faster."""
    sent = call.first_chunk({"tts_params": {"params": {"rate": rate}}})
    gevent.sleep(seconds)
    return sent


@tool(thread=True)
def from_thread(*, call: Call) -> bool:
    """Speak faster, from a thread."""
    time.sleep(0.01)
    return call.first_chunk({"interruptable": True})


@tool
def wrong(*, call: Call) -> bool:
    """Give what is no metadata."""
    return call.first_chunk({"interruptable": "no"})
'''


@pytest.fixture(scope="module")
def full(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with knowledge and tools."""
    folder = tmp_path_factory.mktemp("first_chunk")
    (folder / "kb").mkdir()
    (folder / "kb" / "kb.json").write_text(json.dumps([{"title": "Opening", "text": "We open at nine."}]))
    tool_folder.write(folder / "tools", upstream_url)
    (folder / "tools" / "wishes.py").write_text(FUNCTIONS)
    places = {"KB_DIR": str(folder / "kb"), "TOOLS_DIR": str(folder / "tools"), "RAG_TIER": "lexical"}
    with running_server({"LLM_BASE_URL": upstream_url, **places, **SETTINGS}) as server:
        yield server


def calls(name: str, *before: bytes, **arguments: Any) -> list[Step]:
    """Return an answer that calls a tool, behind other chunks."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return [*events([*before, chunk({"tool_calls": [call]}), chunk({}, "tool_calls")]), event(DONE), END]


class Heard:
    """One answer: its writes, its events, and the metadata in front of them, if there is any."""

    def __init__(self, server: RunningServer, path: str = CHAT, **fields: Any) -> None:
        with requests.post(server.url + path, json={**QUESTION, **fields}, timeout=20, stream=True) as response:
            self.response = response
            self.writes = list(response.iter_content(None))
        content = b"".join(self.writes)
        frames = [frame for frame in content.split(b"\n\n") if frame.startswith(b"data: ")]
        *self.events, done = [frame.removeprefix(b"data: ") for frame in frames]
        self.chunks = [json.loads(payload) for payload in self.events]
        assert response.status_code == 200 and done == DONE
        self.metadata = None
        if b"custom_metadata" in content:
            self.metadata = self._metadata()

    def _metadata(self) -> Any:
        """Return the metadata, which is the first event, in one write with the first chunk, and stamped like that."""
        (first, second, *_) = self.chunks
        assert b"".join(self.events).count(b"custom_metadata") == 1
        stamp = {name: second[name] for name in ("id", "created", "model")}
        assert first == {
            **stamp,
            "object": "chat.completion.custom_metadata",
            "choices": [],
            "metadata": first["metadata"],
        }
        (write,) = [data for data in self.writes if b"custom_metadata" in data]
        assert write.startswith(b"data: " + self.events[0] + b"\n\n") and b"data: " + self.events[1] in write
        return first["metadata"]

    @property
    def text(self) -> str:
        deltas = [choice["delta"] for one in self.chunks for choice in one["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)


@pytest.mark.row("FC-01")
@pytest.mark.parametrize(
    ("path", "fields", "text"),
    [
        (CHAT, {}, "We open at nine."),
        ("/v1/chat/completions", {}, "We open at nine."),
        (CHAT, {"speech_cleanup": "speech"}, "We open at nine."),
        (RAG, {"waiting": "off", "include_citations": True}, "We open at nine."),
        (RAG, {"waiting": "always"}, "Wait. We open at nine."),
        (RAG, {"waiting": 100}, "Wait. We open at nine."),
        ("/rag/v1/chat/completions", {"waiting": 100}, "Wait. We open at nine."),
    ],
    ids=["chat", "chat-v1", "cleaned", "rag", "rag-always", "rag-delay", "rag-v1"],
)
def test_the_requests_metadata_is_the_first_event(
    full: RunningServer, upstream: FakeUpstream, path: str, fields: dict[str, Any], text: str
) -> None:
    upstream.script = [0.3, *answer("We open at nine.")]
    without = Heard(full, path, **fields)
    heard = Heard(full, path, first_chunk=WISH, **fields)

    assert (heard.metadata, heard.text, without.metadata) == (WISH, text, None)
    assert len(heard.events) == len(without.events) + 1
    assert all("first_chunk" not in call.json and "metadata" not in call.json for call in upstream.calls)
    line = full.wait_for_end(heard.response.headers["x-request-id"])
    assert (line["outcome"], line["chunks"]) == ("ok", len(without.events))


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("marks", [AGORA, {}], ids=["agora", "other"])
def test_a_tools_filler_has_its_metadata_for_agora(
    full: RunningServer, upstream: FakeUpstream, marks: dict[str, Any]
) -> None:
    upstream.enqueue(calls("reserve_table", seconds=1.2), answer("Done."))

    heard = Heard(full, **marks)

    assert heard.text == "Booking it. Done." and heard.metadata == ({"interruptable": False} if marks else None)
    # The comment that begins a silent wait is no event.
    assert heard.writes[0] == b": working\n\n"


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_behind_other_words_it_is_too_late(full: RunningServer, upstream: FakeUpstream, path: str) -> None:
    before = () if path == RAG else (chunk({"role": "assistant", "content": "One moment. "}),)
    upstream.enqueue(calls("reserve_table", *before, seconds=5.0), answer("Done."))

    heard = Heard(full, path, waiting="always", **AGORA)

    assert heard.text in ("One moment. Booking it. Done.", "Wait. Booking it. Done.") and heard.metadata is None


@pytest.mark.row("FC-01")
@pytest.mark.parametrize(
    ("name", "arguments", "metadata", "told"),
    [
        ("faster", {"rate": 1.2}, {"tts_params": {"params": {"rate": 1.2}}}, "true"),
        ("faster", {"rate": 2, "seconds": 1}, {"tts_params": {"params": {"rate": 2.0}}}, "true"),
        ("from_thread", {}, {"interruptable": True}, "true"),
        ("wrong", {}, None, '{"error":"the tool failed"}'),
    ],
    ids=["at-once", "before-filler", "thread", "wrong"],
)
def test_a_call_gives_metadata_from_its_own_code(
    full: RunningServer, upstream: FakeUpstream, name: str, arguments: Any, metadata: Any, told: str
) -> None:
    upstream.enqueue(calls(name, **arguments), answer("Done."))

    heard = Heard(full)

    assert heard.metadata == metadata and heard.text.endswith("Done.")
    assert upstream.calls[-1].json["messages"][-1]["content"] == told


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("begun", ["words", "json"])
def test_a_call_learns_that_it_is_too_late(full: RunningServer, upstream: FakeUpstream, begun: str) -> None:
    if begun == "words":
        upstream.enqueue(
            calls("faster", chunk({"role": "assistant", "content": "One moment."}), rate=1), answer("Done.")
        )
        assert Heard(full).metadata is None
    else:
        call = {"id": "c", "type": "function", "function": {"name": "faster", "arguments": '{"rate":1}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        body = json.dumps({"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
        upstream.enqueue(whole(body.encode()), completion("Done."))
        assert requests.post(full.url + CHAT, json={**QUESTION, "stream": False}, timeout=30).json()["choices"]
    assert upstream.calls[-1].json["messages"][-1]["content"] == "false"


@pytest.mark.row("FC-01")
@pytest.mark.parametrize(
    ("path", "fields"),
    [(AUDIO, {"stream": True}), (AUDIO, {"stream": False}), (CHAT, {"stream": False}), (RAG, {"stream": False})],
    ids=["audio", "audio-json", "chat-json", "rag-json"],
)
def test_sound_and_json_have_no_metadata(
    full: RunningServer, upstream: FakeUpstream, path: str, fields: dict[str, Any]
) -> None:
    upstream.script = completion("Hello.")
    response = requests.post(full.url + path, json={**QUESTION, "first_chunk": WISH, **AGORA, **fields}, timeout=20)

    assert response.status_code == 200 and b"metadata" not in response.content


@pytest.mark.row("FC-02")
@pytest.mark.parametrize("path", [CHAT, RAG])
def test_an_error_before_content_is_still_a_status(full: RunningServer, upstream: FakeUpstream, path: str) -> None:
    upstream.script = refusal(400, {"message": "no", "code": "bad"})
    fields = {"first_chunk": WISH, "waiting": "off"}

    response = requests.post(full.url + path, json={**QUESTION, **fields}, timeout=20)

    assert response.status_code == 400 and b"metadata" not in response.content
    assert response.headers["content-type"] == "application/json"


@pytest.mark.row("FC-02")
def test_an_error_behind_a_call_is_still_a_status(full: RunningServer, upstream: FakeUpstream) -> None:
    upstream.enqueue(calls("faster", rate=1), refusal(400, {"message": "no", "code": "bad"}))

    response = requests.post(full.url + CHAT, json=QUESTION, timeout=20)

    assert response.status_code == 400 and b"metadata" not in response.content


@pytest.mark.row("FC-01")
def test_a_fallback_text_is_a_first_chunk_too(speaking: RunningServer, upstream: FakeUpstream) -> None:
    upstream.script = refusal(500, {"message": "no"})

    heard = Heard(speaking, first_chunk=WISH)

    assert (heard.metadata, heard.text) == (WISH, "Sorry?")


@pytest.mark.row("FC-01")
@pytest.mark.parametrize("value", ["x", [], {"interruptable": 1}, {"tts_params": {"params": 1}}, {"a": "é" * 2048}])
@pytest.mark.parametrize("path", [CHAT, RAG, AUDIO])
def test_another_form_is_refused_by_its_name(full: RunningServer, path: str, value: Any) -> None:
    response = requests.post(full.url + path, json={**QUESTION, "first_chunk": value}, timeout=30)

    assert response.status_code == 400 and response.json()["error"]["param"] == "first_chunk"
