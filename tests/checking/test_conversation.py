"""A conversation as a platform has it: what is remembered, what is measured, how an answer may end."""

import base64
import json
from collections.abc import Callable

import pytest
from fake_upstream import (
    DONE,
    END,
    FakeUpstream,
    Script,
    answer,
    chunk,
    chunks,
    encode,
    event,
    events,
    head,
    refusal,
    reset,
    whole,
)

from parley.checking.calling import CallFailed, Event
from parley.checking.conversation import Conversation, Turn
from parley.operators.platforms import PLATFORMS

KEY = "canary-of-a-caller"


@pytest.fixture
def talk(upstream: FakeUpstream) -> Callable[..., Conversation]:
    """Return a function that begins a conversation with the fake, which answers in the server's place."""

    def begin(platform: str = "agora", **more: str) -> Conversation:
        usual = {"endpoint": "chat", "system": "", "kb": ""}
        address = f"http://127.0.0.1:{upstream.port}"
        return Conversation(address, KEY, PLATFORMS[platform], **{**usual, **more})

    return begin


def test_each_turn_sends_what_was_said_and_heard(talk: Callable[..., Conversation], upstream: FakeUpstream) -> None:
    conversation, shown = talk(system="Be short."), []
    conversation.ask("One?", shown.append)
    upstream.script = answer("Yes.")
    conversation.ask("Two?", shown.append)

    sent = upstream.calls[-1].json["messages"]
    assert [one["content"] for one in sent] == ["Be short.", "One?", "one two three four five", "Two?"]
    assert "".join(shown) == "one two three four fiveYes."
    assert upstream.calls[-1].headers["authorization"] == f"Bearer {KEY}" and "model" not in upstream.calls[-1].json
    conversation.forget()
    assert [one.content for one in conversation.memory] == ["Be short."]


def test_an_answer_that_is_interrupted_is_remembered_so(
    talk: Callable[..., Conversation], upstream: FakeUpstream
) -> None:
    def interrupt(text: str) -> None:
        if "two" in text:
            raise KeyboardInterrupt

    conversation = talk()
    turn = conversation.ask("One?", interrupt)
    assert turn.is_interrupted and turn.text == "one two" and not turn.failure and turn.figures.endswith("interrupted")
    conversation.ask("Two?", lambda _: None)
    assert upstream.calls[-1].json["messages"][1]["metadata"]["interrupted"] is True


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (answer("Yes."), ""),
        (refusal(401, {"message": "No."}), "--key"),
        (refusal(503, {"message": "Warming up."}), "status 503: Warming up."),
        ([*events(chunks("one two")[:2]), reset], "incomplete"),
        (whole(b"<title>Just a moment</title>", 200, {"content-type": "text/html"}), "Just a moment"),
        (
            [*events([encode({"error": {"code": "upstream_timeout", "message": "Late."}})]), END],
            "upstream_timeout: Late.",
        ),
    ],
    ids=["whole", "401", "503", "cut", "page", "error"],
)
def test_how_an_answer_ended(
    talk: Callable[..., Conversation], upstream: FakeUpstream, script: Script, failure: str
) -> None:
    upstream.script = script
    conversation = talk()
    turn = conversation.ask("One?", lambda _: None)
    assert failure in turn.failure and bool(turn.failure) == bool(failure)
    assert len(conversation.memory) == (2 if turn.text else 0)


def test_nobody_there_is_an_error() -> None:
    conversation = Conversation("http://127.0.0.1:1", "", PLATFORMS["curl"], endpoint="chat", system="", kb="")
    with pytest.raises(CallFailed, match="nobody listens"):
        conversation.ask("One?", lambda _: None)


def test_urls_are_those_of_the_platform(talk: Callable[..., Conversation]) -> None:
    assert talk("hume", endpoint="rag").url.endswith("/rag/chat/completions?custom_session_id=session-1")
    assert talk("vapi", endpoint="rag", kb="north").url.endswith("/kb/north/rag/v1/chat/completions")
    assert talk(endpoint="chat", kb="north").url.endswith(":" + talk().url.rpartition(":")[2])


def test_the_waiting_message_is_told_from_the_answer(talk: Callable[..., Conversation], upstream: FakeUpstream) -> None:
    waiting = chunk({"role": "assistant", "content": "One moment. "})
    cited = chunk({}, "stop", citations=[{"id": "a", "title": "A"}])
    timing = {
        "content-type": "text/event-stream",
        "transfer-encoding": "chunked",
        "server-timing": "lookup;dur=3.2, ours;dur=4.1",
    }
    upstream.script = [
        head(200, timing),
        event(waiting),
        0.05,
        event(chunk({"content": "Nine."})),
        event(cited),
        event(DONE),
        END,
    ]
    turn = talk(endpoint="rag").ask("When?", lambda _: None)
    assert turn.waiting_ms is not None and turn.first_ms is not None and turn.first_ms - turn.waiting_ms > 30
    assert turn.text == "One moment. Nine." and turn.citations == [{"id": "a", "title": "A"}]
    assert turn.figures.startswith("waiting ") and turn.figures.endswith("ours 4 (look-up 3)")
    assert upstream.calls[-1].json["include_citations"] is True


def test_sound_is_kept_and_its_text_shown() -> None:
    turn = Turn()
    pcm = base64.b64encode(bytes(4)).decode()
    delta = {"role": "assistant", "audio": {"transcript": "Hello.", "data": pcm}}
    assert turn.take(Event(5.0, json.dumps({"choices": [{"delta": delta}]}).encode()), may_wait=False) == "Hello."
    assert (turn.pcm, turn.sentence_ms) == (bytes(4), 5.0)
