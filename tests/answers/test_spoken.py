"""The upstream's text, spoken: clauses with their sound, what is no text beside it, and failures by the same voice."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scripted_upstream import ScriptedUpstream, as_served, broadcast, chunk, context, deltas, last, services

from parley.answers import spoken
from parley.concurrency import SILENCE
from parley.errors import AnswerCapped, NotFound, ParleyError, UpstreamBadResponse, UpstreamDisconnected
from parley.services import Services
from parley.speech import speech_stream, speech_text
from parley.speech.markup_filter import MarkupFilter
from parley.speech.speech_text import Clause
from parley.speech.synthesis import CachingSynthesiser, PlaceholderVoice
from parley.speech.utterance import AudioPiece
from parley.turn import FallbackSpoken
from parley.wire import sse

TOOL = {"index": 0, "id": "call", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = json.dumps({"id": "up", "created": 5, "model": "big", "choices": [], "usage": {"total_tokens": 7}}).encode()
LOST = UpstreamDisconnected("lost")


def within(upstream: ScriptedUpstream, **environ: str) -> Services:
    """Services with the simulated voice, and no pause between two chunks."""
    made = services(upstream, AUDIO_MODE="speech", AUDIO_LEAD_MS="5000", **environ)
    made.synthesis = CachingSynthesiser(PlaceholderVoice(16000))
    return made


def transcripts(batches: list[Any]) -> list[str]:
    return [delta["audio"]["transcript"] for delta in deltas(batches) if "transcript" in delta.get("audio", {})]


def test_each_clause_is_told_and_heard() -> None:
    upstream = ScriptedUpstream([chunk(content="Hello there. And ")], SILENCE, [chunk(content="good bye.")], last())

    batches = list(spoken.stream(context(), within(upstream)))

    assert "".join(transcripts(batches)) == "Hello there. And good bye. "
    assert any("data" in delta.get("audio", {}) for delta in deltas(batches))
    assert json.loads(batches[-1][-1])["choices"][0]["finish_reason"] == "stop"


def test_tool_calls_comments_and_usage_stay_beside_the_speech() -> None:
    upstream = ScriptedUpstream([sse.comment("note")], [chunk(tool_calls=[TOOL])], last(chunk("tool_calls"), USAGE))

    batches = spoken.stream(context(), within(upstream))
    payloads = [payload for batch in batches if batch is not SILENCE for payload in batch]

    assert payloads[0] == b": note\n\n"
    calls, finish, usage = map(json.loads, payloads[1:])
    assert calls["choices"][0]["delta"] == {"role": "assistant", "tool_calls": [TOOL]}
    assert finish["choices"][0]["finish_reason"] == "tool_calls" and usage["usage"] == {"total_tokens": 7}


def test_the_model_is_asked_for_text() -> None:
    upstream = ScriptedUpstream([chunk(content="Hello.")], last())

    list(spoken.stream(context(modalities=["audio"], audio={"voice": "alloy"}), within(upstream)))

    assert not {"modalities", "audio"} & upstream.questions[0].body.keys()


def test_a_broadcast_is_told_whole_at_once() -> None:
    batches = list(spoken.stream_broadcast(broadcast("We close. Good night."), within(ScriptedUpstream())))

    assert transcripts(batches)[0] == "We close. Good night." and not any(transcripts(batches)[1:])


def failing(error: Exception, fallback: str = "Sorry.", *before: bytes) -> tuple[list[Any], Exception]:
    """Return what was yielded and what was raised where the upstream fails behind these payloads."""
    upstream = ScriptedUpstream(*([[*before]] if before else []), error)
    asked, batches = context(), []
    with pytest.raises((ParleyError, FallbackSpoken)) as raised:
        for batch in as_served(spoken.stream)(asked, within(upstream, FALLBACK_TEXT=fallback)):
            batches.append(batch)
    return batches, raised.value


def test_the_fallback_text_is_said_by_the_voice() -> None:
    batches, raised = failing(LOST)

    assert transcripts(batches) == ["Sorry. "] and isinstance(raised, FallbackSpoken) and raised.error is LOST


@pytest.mark.parametrize(
    ("error", "fallback", "before"),
    [(LOST, "", ()), (NotFound("no"), "Sorry.", ()), (LOST, "Sorry.", (chunk(tool_calls=[TOOL]),))],
    ids=["no text is set", "the caller must act", "a tool call has begun"],
)
def test_a_fallback_that_may_not_be_said_is_not(error: Exception, fallback: str, before: tuple[bytes, ...]) -> None:
    batches, raised = failing(error, fallback, *before)

    assert transcripts(batches) == [] and raised is error


def test_where_the_voice_fails_the_turn_sends_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def fail(clause: Clause, **_: Any) -> Any:
        calls.append(clause.text)
        raise UpstreamDisconnected("no voice")
        yield

    made, asked = within(ScriptedUpstream([chunk(content="Hello.")], last()), FALLBACK_TEXT="Sorry."), context()
    monkeypatch.setattr(made.synthesis, "say", fail)

    with pytest.raises(UpstreamDisconnected) as raised:
        list(as_served(spoken.stream)(asked, made))

    assert raised.value.speakable and asked.envelope.takes_text and calls == ["Hello."]


def test_a_fallback_that_was_begun_is_not_sent_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(clause: Clause, **_: Any) -> Any:
        yield AudioPiece(bytes(6400), clause.text)
        raise UpstreamDisconnected("no voice")

    made, asked = within(ScriptedUpstream(LOST), FALLBACK_TEXT="Sorry."), context()
    monkeypatch.setattr(made.synthesis, "say", fail)

    with pytest.raises(UpstreamDisconnected):
        list(as_served(spoken.stream)(asked, made))

    assert not asked.envelope.takes_text


@pytest.mark.row("RF-20")
@pytest.mark.parametrize("form", ["an answer", "a broadcast"])
def test_an_answer_in_one_piece_has_the_cap_of_a_stream(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(speech_stream, "MAX_SECONDS", 3)
    long = "It goes on and on. " * 60
    made = within(ScriptedUpstream(completion={"content": long}))

    is_broadcast = form == "a broadcast"
    asked = broadcast(long) if is_broadcast else context(stream=False)
    answer = json.loads((spoken.broadcast_whole if is_broadcast else spoken.whole)(asked, made))["choices"][0]

    assert answer["finish_reason"] == "length"
    assert len(base64.b64decode(answer["message"]["audio"]["data"])) == 44 + 3 * 32_000


@pytest.mark.row("RF-20")
def test_a_long_text_is_said_up_to_the_cap_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_text, "MAX_CHARACTERS", 100)
    batches = []
    with pytest.raises(AnswerCapped):
        for batch in spoken.stream_broadcast(broadcast("It goes on. " * 5000), within(ScriptedUpstream())):
            batches.append(batch)
    assert sum(len(delta["audio"].get("data", "")) for delta in deltas(batches) if "audio" in delta) > 100_000


def test_a_json_answer_is_said_and_keeps_its_tool_calls() -> None:
    said = json.loads(spoken.whole(context(stream=False), within(ScriptedUpstream(completion={"content": "Hello."}))))
    called = {"content": None, "tool_calls": [TOOL]}
    kept = json.loads(spoken.whole(context(stream=False), within(ScriptedUpstream(completion=called))))

    assert said["choices"][0]["message"]["audio"]["transcript"] == "Hello."
    assert kept["choices"][0]["message"] == called


@pytest.mark.row("RF-27")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"type": "text", "text": "It costs"}, {"type": "text", "text": " five."}], "It costs five."),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"text": "Yes."}], "Yes."),
        (["Yes."], "Yes."),
        ([{"type": "image_url", "image_url": {}}], ""),
        ({"text": 7}, "7"),
        (7, "7"),
    ],
    ids=["parts", "thoughts", "strings", "a picture", "an object", "a number"],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_content_of_parts_is_said(content: Any, words: str, stream: bool) -> None:
    if stream:
        made = within(ScriptedUpstream([chunk(content=content)], last()))
        assert "".join(transcripts(list(spoken.stream(context(), made)))).strip() == words
        return
    made = within(ScriptedUpstream(completion={"content": content}))
    answer = json.loads(spoken.whole(context(stream=False), made))
    assert answer["choices"][0]["message"]["audio"]["transcript"] == words


@pytest.mark.row("RF-27")
def test_a_message_that_is_none_is_a_bad_response() -> None:
    with pytest.raises(UpstreamBadResponse):
        spoken.whole(context(stream=False), within(ScriptedUpstream(completion="Hello.")))


def test_an_answer_in_one_piece_is_said_beside_its_tool_calls() -> None:
    upstream = ScriptedUpstream(completion={"content": "I look.", "refusal": "No.", "tool_calls": [TOOL]})

    answer = json.loads(spoken.whole(context(stream=False), within(upstream)))["choices"][0]["message"]

    assert answer["tool_calls"] == [TOOL] and answer["audio"]["transcript"].startswith("I look.")


class BriefVoice(PlaceholderVoice):
    """Says every clause in one sample, so that nothing is paced."""

    def say(self, clause: Clause, *, urgent: bool = True) -> Iterator[AudioPiece]:
        yield AudioPiece(b"\0\0", clause.text)


def brief(upstream: ScriptedUpstream) -> Services:
    made = within(upstream)
    made.synthesis = CachingSynthesiser(BriefVoice(16000))
    return made


def transcript_of_whole(text: str) -> str:
    body = spoken.whole(context(stream=False), brief(ScriptedUpstream(completion={"content": text})))
    transcript: str = json.loads(body)["choices"][0]["message"]["audio"]["transcript"]
    return transcript


def transcript_of_stream(*pieces: str) -> str:
    upstream = ScriptedUpstream(*([chunk(content=piece)] for piece in pieces), last())
    return "".join(transcripts(list(spoken.stream(context(), brief(upstream))))).strip()


PARTS = [
    *("Certainly", ", ", ". ", ".", "! ", "?", '"', "(", ")", " ", "\n", "\n\n- ", "**", "_", "`", "```", "~~~\n"),
    *("<think>", "</think>", "[THINK]hm[/THINK]", "<reasoning>", "</reasoning>", "<b>", "<flush />", "😀", "Node.js"),
    *("$45.50", "1. ", "9-5", "Dr. ", "Sat. ", "https://example.com/a?b=1", "[a link](https://a.b)", "| a | b |"),
    *("你好。", "# ", "[1]", "&amp;", "e.g. ", "U.S. ", "a long word " * 30, "—", ": ", "*67", "<|end|>", "no. 5"),
]


@pytest.mark.slow
@pytest.mark.row("RB-02")
@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=12), st.sampled_from([1, 2, 3, 5, 8, 13]))
def test_whole_and_stream_have_one_transcript(parts: list[str], size: int) -> None:
    text = "".join(parts)
    # What stands before a lone closing of a thought may have been said in a stream: it has a test of its own.
    markup = MarkupFilter()
    markup.feed(text)
    assume(not markup.retracted)
    markup.flush()
    assume(not markup.retracted)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]

    whole = transcript_of_whole(text)
    # Where the listener has nothing left to hear, a clause is cut early, and a mark that is left alone is not said.
    assert re.findall(r"[^\W_]+", transcript_of_stream(*pieces)) == re.findall(r"[^\W_]+", whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech_stream.SpeechStream, "_is_running_dry", False)
        assert transcript_of_stream(*pieces) == whole


@pytest.mark.row("RB-01", "RB-02")
@pytest.mark.parametrize(
    "text", ["<think>Hm.</think>Hello **there**.", "Hm. So.</think>Hello there.", "[THINK]x[/THINK]Hi."]
)
def test_no_thought_is_in_a_transcript(text: str) -> None:
    assert transcript_of_whole(text) == transcript_of_stream(text)
    assert "Hm" not in transcript_of_whole(text) and transcript_of_whole(text).startswith("H")


@pytest.mark.row("RB-02")
def test_a_json_answer_with_words_and_a_tool_call_has_both() -> None:
    called = {"content": "I **look**.", "refusal": "No.", "tool_calls": [TOOL]}
    (choice,) = json.loads(spoken.whole(context(stream=False), within(ScriptedUpstream(completion=called))))["choices"]

    assert choice["message"]["audio"]["transcript"] == "I look.No." and choice["message"]["tool_calls"] == [TOOL]


@pytest.mark.row("RB-02")
def test_a_json_answer_is_capped_as_its_stream_is() -> None:
    text = "One two three. " * 900
    body = spoken.whole(context(stream=False), brief(ScriptedUpstream(completion={"content": text})))
    (choice,) = json.loads(body)["choices"]

    assert choice["finish_reason"] == "length" and len(choice["message"]["audio"]["transcript"]) < 12_000
