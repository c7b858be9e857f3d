"""A short answer of an upstream: what is odd about it, by the upstream's scripts."""

from collections.abc import Callable

import pytest
from fake_upstream import (
    DONE,
    END,
    Call,
    FakeUpstream,
    Script,
    answer,
    chunk,
    chunks,
    completion,
    encode,
    event,
    events,
    refusal,
    reset,
    whole,
)

from parley.checking.report import Finding

Examine = Callable[..., dict[str, Finding]]
WORDS = "one two three four five six"
PCM = whole(b"\1\0" * 2000, headers={"content-type": "audio/pcm"})


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (answer(WORDS), "ok", "6 chunks"),
        ([0.6, *answer(WORDS)], "warn", "buffers"),
        ([0.6, *answer(WORDS, interval=0.03)], "ok", "finish, DONE"),
        (completion("one two"), "warn", "does not stream"),
        ([*events(chunks(WORDS)), END], "warn", "no DONE"),
        ([*events(chunks(WORDS)[:-1]), event(DONE), END], "warn", "no finish_reason"),
        ([*events(chunks(WORDS)[:3]), reset], "fail", "broke off"),
        ([*events([chunk({"role": "assistant"})]), reset], "fail", "without a word"),
        (refusal(404, {"message": "The model does not exist"}), "fail", "status 404: The model does not exist"),
        (refusal(429, {"message": "Quota"}), "fail", "status 429"),
        (whole(b"<html></html>", headers={"content-type": "text/html"}), "fail", "a web page"),
        ([*events([encode({"error": {"message": "Overloaded"}})]), END], "fail", "Overloaded"),
        ([*events([chunk({"reasoning_content": "Hm."}), chunk({}, "length"), DONE]), END], "ok", "thinks first"),
        ([*events([chunk({}, "stop"), DONE]), END], "fail", "without a word"),
    ],
    ids=[
        "good",
        "burst",
        "slow-but-streamed",
        "whole",
        "no-done",
        "no-finish",
        "reset",
        "wordless-reset",
        "404",
        "429",
        "page",
        "error-event",
        "thoughts",
        "empty",
    ],
)
def test_what_is_told_of_an_answer(
    ask: Examine, upstream: FakeUpstream, script: Script, status: str, said: str
) -> None:
    upstream.script = script
    found = ask()["UP-e"]
    assert found.status == status and said in found.detail, found


def test_a_slow_answer_is_compared_with_the_limit(ask: Examine, upstream: FakeUpstream) -> None:
    upstream.script = [0.8, *answer(WORDS)]
    found = ask(ttft_timeout=0.5)["UP-e"]
    assert found.status == "fail" and "TTFT_TIMEOUT=0.5" in found.detail and "TTFT_TIMEOUT" in found.fix


def test_the_newer_name_of_the_limit_is_tried(ask: Examine, upstream: FakeUpstream) -> None:
    def script(call: Call) -> Script:
        refused = refusal(400, {"message": "Use 'max_completion_tokens' instead."})
        return refused if "max_tokens" in call.json else answer(WORDS)

    upstream.script = lambda call: script(call)  # type: ignore[return-value]
    assert ask()["UP-e"].status == "ok"
    assert upstream.calls[-1].json["max_completion_tokens"] == 16


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (PCM, "ok", "4000 bytes"),
        (whole(b'{"detail": "no such voice"}'), "fail", "no such voice"),
        (refusal(400, {"message": "unknown voice"}), "fail", "unknown voice"),
    ],
    ids=["sound", "no-sound", "400"],
)
def test_a_voice_says_one_word(ask: Examine, upstream: FakeUpstream, script: Script, status: str, said: str) -> None:
    upstream.enqueue(answer(WORDS), script)
    found = ask(tts_base_url=upstream.base_url, tts_model="fake-model", tts_voice="ada")["UP-e"]
    assert found.group == "Voice" and found.status == status and said in found.detail
    assert upstream.calls[-1].json["voice"] == "ada" and upstream.calls[-1].path == "/v1/audio/speech"


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (whole(encode({"data": [{"index": 0, "embedding": [0.1, 0.2]}]})), "ok", "2 numbers"),
        ([0.6, *whole(encode({"data": [{"index": 0, "embedding": [0.1]}]}))], "warn", "EMBEDDINGS_TIMEOUT"),
        (whole(b"{}"), "fail", "no embedding"),
        (refusal(401, {"message": "no"}), "fail", "status 401"),
    ],
    ids=["good", "slow", "none", "401"],
)
def test_one_question_is_embedded(ask: Examine, upstream: FakeUpstream, script: Script, status: str, said: str) -> None:
    upstream.enqueue(answer(WORDS), script)
    found = ask(embeddings_base_url=upstream.base_url, embeddings_model="fake-model")["UP-e"]
    assert found.group == "Embeddings" and found.status == status and said in found.detail
