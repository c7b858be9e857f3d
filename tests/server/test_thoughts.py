"""Models that think before they speak: what is sent is not yet heard, and an answer without a word is none."""

import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fake_upstream import (
    DONE,
    END,
    ENVELOPE,
    HANG,
    USAGE,
    Call,
    FakeUpstream,
    Step,
    chunk,
    chunks,
    close,
    encode,
    event,
    events,
    whole,
)
from heard import STREAMS, ask, fallback_to, in_turn, rested, says
from running_server import RunningServer

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]
every_stream = pytest.mark.parametrize("way", STREAMS)

ROLE = chunks("")[0]
THOUGHTS: dict[str, dict[str, Any]] = {
    "reasoning_content": {"reasoning_content": "Hmm"},
    "beside an empty content": {"content": "", "reasoning": "Hmm"},
    "details": {"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "Hmm"}]},
    "blocks": {"thinking_blocks": [{"type": "thinking", "thinking": "Hmm"}], "content": None},
    "thinking": {"thinking": "Hmm"},
    "parts": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hmm"}]}]},
    "white space": {"content": "\n\n"},
    "marked content": {"content": "<thought>Hmm", "extra_content": {"google": {"thought": True}}},
    "an audio id": {"audio": {"id": "audio_1"}},
}
every_thought = pytest.mark.parametrize("thought", THOUGHTS.values(), ids=THOUGHTS)


def thinking(thought: dict[str, Any], seconds: float = 0.7) -> list[Step]:
    """Return the first steps of an upstream that thinks for so long."""
    count = round(seconds / 0.1)
    return events([ROLE, *[chunk(thought)] * count], 0.1)


def then_says(text: str) -> list[Step]:
    return [*map(event, [*chunks(text)[1:], DONE]), END]


def unheard(*deltas: dict[str, Any], reason: str = "stop") -> list[Step]:
    """Return a good stream of which nothing is heard."""
    return [*events([ROLE, *map(chunk, deltas), chunk({}, reason)]), event(DONE), END]


def message(reason: str = "stop", **fields: Any) -> list[Step]:
    """Return a whole answer with this message."""
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": reason}
    return whole(encode({**ENVELOPE, "object": "chat.completion", "choices": [choice], "usage": USAGE}))


def wordless(call: Call) -> Iterable[Step]:
    """Give an answer that is cut off inside its thoughts, in the form that is asked for."""
    thought = {"reasoning_content": "Hmm"}
    return unheard(thought, reason="length") if call.json["stream"] else message("length", content="", **thought)


# --- heard and sent ---


@pytest.fixture
def hedging(first: FakeUpstream, second: FakeUpstream, quick_servers: Servers) -> RunningServer:
    """A server with two upstreams, which asks the second where nothing is heard for 150 ms."""
    return rested(quick_servers(LLM_FALLBACKS=fallback_to(second), HEDGE_AFTER="150", PRECOMMIT_TIMEOUT="1"), first)


@pytest.mark.row("RA-04")
@every_thought
def test_a_waiting_message_is_due_while_a_model_thinks(
    single: RunningServer, first: FakeUpstream, thought: dict[str, Any]
) -> None:
    first.script = [*thinking(thought), *then_says("At last")]
    heard = ask(single, "rag", waiting=200)
    words = [choice["delta"]["content"] for choice in heard.choices if choice["delta"].get("content")]
    said = "".join(word for word in words if isinstance(word, str)).replace("<thought>Hmm", "").replace("\n", "")
    assert said == "Wait. At last" and heard.payloads[-1] == DONE
    assert len({chunk["id"] for chunk in heard.chunks}) == 1 and heard.body.count(b'"role"') == 1
    assert heard.end["first_ms"] < heard.end["ttft_ms"] >= 500


@pytest.mark.row("RA-04")
def test_a_waiting_message_is_due_in_a_pause_of_thoughts(single: RunningServer, first: FakeUpstream) -> None:
    spoken = threading.Event()
    first.script = [*events([ROLE, chunk({"reasoning": "Hmm"})]), 0.45, spoken, *then_says("At last")]
    spoken.set()
    heard = ask(single, "rag", waiting=150)
    kinds = [
        "thought" if choice["delta"].get("reasoning") else choice["delta"].get("content") for choice in heard.choices
    ]
    assert kinds == ["", "thought", "Wait. ", "At", " last", None]


@pytest.mark.row("RA-04")
def test_a_model_that_speaks_in_time_needs_no_message(single: RunningServer, first: FakeUpstream) -> None:
    first.script = [*thinking({"reasoning": "Hmm"}, 0.2), *then_says("Soon")]
    heard = ask(single, "rag", waiting=5000)
    assert heard.text == "Soon" and heard.end["first_ms"] < heard.end["ttft_ms"]


@pytest.mark.row("RA-04")
@every_stream
def test_thoughts_pass_at_once_without_hedging(single: RunningServer, first: FakeUpstream, way: str) -> None:
    first.script = [*events([ROLE, chunk({"reasoning": "Hmm"})]), close]
    heard = ask(single, way)
    assert b"Hmm" in heard.body and len(first.calls) == 1
    heard.broken("upstream_disconnected")


@pytest.mark.row("RA-04")
@every_thought
def test_a_model_that_only_thinks_is_hedged(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, thought: dict[str, Any]
) -> None:
    first.script, second.script = [*events([ROLE, chunk(thought)]), HANG], says("From the second")
    heard = ask(hedging)
    heard.answered("From the second")
    assert b"Hmm" not in heard.body and (heard.end["attempts"], heard.end["upstream"]) == (2, "fallback-1")
    assert heard.end["ttft_ms"] >= 150
    (call,) = first.calls
    assert call.finished.wait(2) and call.outcome == "peer_left"


@pytest.mark.row("RA-04")
@every_stream
def test_thoughts_are_a_sign_of_life_for_all_timeouts(
    hedging: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script, second.script = [*thinking({"reasoning": "Hmm"}, 1.4), *then_says("At last")], [HANG]
    heard = ask(hedging, way)
    heard.answered("At last")
    assert heard.end["ttft_ms"] >= 1200 and heard.body.count(b"Hmm") == 14


@pytest.mark.row("RA-04")
def test_held_thoughts_that_stall_give_way(hedging: RunningServer, first: FakeUpstream, second: FakeUpstream) -> None:
    first.script = second.script = [*events([ROLE, chunk({"reasoning": "Hmm"})]), HANG]
    heard = ask(hedging)
    heard.failed(504, "upstream_stalled")
    assert heard.end["reason"] == "IDLE_TIMEOUT of 0.5 s was reached"


# --- nothing heard ---

EMPTY: dict[str, list[Step]] = {
    "a role": [*events([ROLE]), event(DONE), END],
    "a finish": [*events([chunk({}, "stop")]), event(DONE), END],
    "a finish without DONE": [*events([ROLE, chunk({}, "stop")]), END],
    "white space": unheard({"content": " "}, {"content": "\n\u200b"}),
    "thoughts": unheard({"reasoning_content": "Hmm"}, {"reasoning_content": "so"}, reason="length"),
    "empty content": unheard({"content": "", "reasoning": "Hmm"}, {"content": "", "reasoning": "so"}),
    "marked thoughts": unheard({"content": "<think>Hmm"}, {"content": " so"}, reason="length"),
    "tools named but not called": unheard({"tool_calls": []}, reason="tool_calls"),
    "usage": [*events([ROLE, chunk({}, "length"), chunk({}, choices=[], usage=USAGE)]), event(DONE), END],
    "one piece": message(content="  "),
}
every_emptiness = pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)


@pytest.mark.row("RA-05", "RF-13")
@every_stream
@every_emptiness
def test_an_answer_without_a_word_is_asked_for_again(
    single: RunningServer, first: FakeUpstream, empty: list[Step], way: str
) -> None:
    rested(single, first)
    first.script = in_turn(empty, says("Now then"))
    heard = ask(single, way)
    # Where the first answer ends at once, its last word of thought may still be held.
    assert re.sub("<think>Hmm( so)?", "", heard.text).strip(" \n\u200b") == "Now then"
    assert heard.finish_reasons == ["stop"]
    assert len(first.calls) == heard.end["attempts"] == 2 and heard.end["outcome"] == "ok"
    assert len({chunk["id"] for chunk in heard.chunks}) == 1 and heard.body.count(b'"role"') <= 1
    assert heard.payloads.count(DONE) == 1


@pytest.mark.row("RA-05", "RF-13")
@pytest.mark.parametrize("way", ["chat", "rag", "waited", "json"])
def test_the_next_upstream_is_asked_first(
    pair: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script, second.script = wordless, says("From the second")
    heard = ask(pair, way)
    assert heard.text == "From the second" and heard.end["upstream"] == "fallback-1"
    assert (len(first.calls), len(second.calls), heard.end["outcome"]) == (1, 1, "ok")


@pytest.mark.row("RA-05", "RF-13")
@pytest.mark.parametrize("way", ["chat", "rag", "waited", "json"])
def test_an_answer_that_stays_empty_is_passed_on(
    pair: RunningServer, first: FakeUpstream, second: FakeUpstream, way: str
) -> None:
    first.script = second.script = wordless
    heard = ask(pair, way)
    assert heard.status == 200 and heard.text == "" and b"Hmm" in heard.body
    assert (heard.end["outcome"], heard.end["code"]) == ("empty", "upstream_empty_response")
    assert (len(first.calls), len(second.calls), heard.end["ttft_ms"]) == (1, 1, None)
    if way != "json":
        assert heard.finish_reasons == ["length"] and heard.payloads[-1] == DONE
    else:
        assert json.loads(heard.body)["choices"][0]["finish_reason"] == "length"


@pytest.mark.row("RA-05", "RF-13")
@pytest.mark.parametrize("way", ["chat", "rag", "waited", "json"])
def test_the_fallback_text_stands_for_nothing(speaking: RunningServer, first: FakeUpstream, way: str) -> None:
    rested(speaking, first)
    first.script = wordless
    heard = ask(speaking, way)
    assert heard.text.strip() == "Sorry?" and len(first.calls) == 2
    assert (heard.end["outcome"], heard.end["code"]) == ("spoken_fallback", "upstream_empty_response")
    assert way == "json" or heard.payloads[-1] == DONE


@pytest.mark.row("RA-05")
@pytest.mark.parametrize("fault", ["refused", "silent"])
def test_a_second_attempt_that_fails_leaves_the_first(
    pair: RunningServer, first: FakeUpstream, second: FakeUpstream, fault: str
) -> None:
    first.script, second.script = wordless, [close] if fault == "refused" else [HANG]
    heard = ask(pair)
    assert (heard.status, heard.finish_reasons, heard.end["outcome"]) == (200, ["length"], "empty")


ANSWERS: dict[str, list[Step]] = {
    "a tool call": unheard({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}, reason="tool_calls"),
    "a function call": unheard({"function_call": {"name": "f"}}, reason="function_call"),
    "a filter": unheard(reason="content_filter"),
    "a filter behind thoughts": unheard({"reasoning": "Hmm"}, reason="content_filter"),
    "another vendor's filter": unheard(reason="RECITATION"),
    "a filter with a hyphen": unheard(reason="content-filter"),
    "a number": unheard({"content": 0}),
    "a refusal": unheard({"refusal": "No."}),
    "text parts": unheard({"content": [{"type": "text", "text": "Hi"}]}),
}


@pytest.mark.row("RA-05")
@every_stream
@pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS)
def test_calls_filters_and_refusals_are_answers(
    single: RunningServer, first: FakeUpstream, script: list[Step], way: str
) -> None:
    first.script = script
    heard = ask(single, way)
    assert (len(first.calls), heard.end["outcome"], heard.payloads[-1]) == (1, "ok", DONE)


@pytest.mark.row("RA-05")
@pytest.mark.parametrize(
    "fields",
    [{"content": None, "tool_calls": [{"id": "c"}]}, {"content": "", "reason": "content_filter"}, {"refusal": "No."}],
    ids=["a tool call", "a filter", "a refusal"],
)
def test_a_whole_answer_may_be_no_words(single: RunningServer, first: FakeUpstream, fields: dict[str, Any]) -> None:
    first.script = message(**fields)
    assert ask(single, "json").end["outcome"] == "ok" and len(first.calls) == 1


@pytest.mark.row("RF-13")
@pytest.mark.parametrize("delta", [{}, {"reasoning": "x" * 60_000}], ids=["empty deltas", "thoughts"])
def test_a_cap_before_the_first_word_is_no_answer(
    pair: RunningServer, first: FakeUpstream, second: FakeUpstream, delta: dict[str, Any]
) -> None:
    padding = {} if delta else {"padding": "x" * 60_000}
    first.script, second.script = events([ROLE, *[chunk(delta, **padding)] * 80]), says("From the second")
    heard = ask(pair)
    assert (heard.text, heard.end["outcome"], heard.finish_reasons) == ("From the second", "ok", ["stop"])


@pytest.mark.row("RF-13")
@pytest.mark.parametrize("text", ["", "Sorry?"])
def test_a_time_cap_inside_thoughts_is_empty(first: FakeUpstream, quick_servers: Servers, text: str) -> None:
    server = quick_servers(STREAM_TIMEOUT="1", PRECOMMIT_TIMEOUT="0.7", FALLBACK_TEXT=text)
    first.script = [*thinking({"reasoning": "Hmm"}, 3), *then_says("Too late")]
    heard = ask(server)
    assert heard.text.strip() == text and heard.payloads[-1] == DONE
    assert heard.end["outcome"] == ("spoken_fallback" if text else "empty") and len(first.calls) == 1


@pytest.mark.row("RA-05")
@pytest.mark.parametrize("stream", [True, False])
def test_a_relayed_voice_without_sound(first: FakeUpstream, quick_servers: Servers, stream: bool) -> None:
    server = rested(quick_servers(AUDIO_MODE="relay"), first)
    first.script = in_turn(wordless, says("In words"))
    heard = ask(server, "audio", stream=stream)
    assert b"In" in heard.body and (len(first.calls), heard.end["outcome"]) == (2, "ok")


@pytest.mark.row("RA-05")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("text", ["", "Sorry?"])
def test_a_spoken_answer_without_a_word(first: FakeUpstream, quick_servers: Servers, text: str, stream: bool) -> None:
    server = rested(quick_servers(AUDIO_MODE="speech", FALLBACK_TEXT=text, AUDIO_LEAD_MS="5000"), first)
    first.script = wordless
    heard = ask(server, "audio", stream=stream)
    assert heard.status == 200 and len(first.calls) == 2
    assert heard.end["outcome"] == ("spoken_fallback" if text else "empty")
    if text:
        assert b'"transcript":"Sorry?' in heard.body.replace(b": ", b":")


# --- the operator learns which limit it was ---


@pytest.mark.row("RA-12")
@pytest.mark.parametrize(
    ("settings", "script", "setting"),
    [
        ({"PRECOMMIT_TIMEOUT": "0.55"}, [HANG], "TTFT_TIMEOUT of 0.5 s"),
        ({"TTFT_TIMEOUT": "5", "PRECOMMIT_TIMEOUT": "0.6"}, [HANG], "PRECOMMIT_TIMEOUT of 0.6 s"),
        ({}, [*events([chunk({"content": "One"})]), HANG], "IDLE_TIMEOUT of 0.5 s"),
    ],
    ids=["first content", "all attempts", "silence"],
)
@every_stream
def test_a_reached_limit_is_named_to_the_operator(
    first: FakeUpstream, quick_servers: Servers, settings: dict[str, str], script: list[Step], setting: str, way: str
) -> None:
    first.script = script
    heard = ask(quick_servers(**settings), way)
    assert heard.end["reason"] == f"{setting} was reached" and b"TIMEOUT" not in heard.body


@pytest.mark.row("RA-12")
def test_the_limit_of_whole_answers_is_named(first: FakeUpstream, quick_servers: Servers) -> None:
    first.script = [HANG]
    heard = ask(quick_servers(STREAM_TIMEOUT="0.5"), "json")
    assert heard.end["reason"] == "STREAM_TIMEOUT of 0.5 s was reached"
