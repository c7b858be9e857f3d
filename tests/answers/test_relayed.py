"""An upstream's speech on its way: converted, ahead of what ends the answer, beside what is no speech."""

import base64
import json
from typing import Any

import pytest
from scripted_upstream import ScriptedUpstream, chunk, context, deltas, last, services

from parley.answers import relayed
from parley.concurrency import SILENCE
from parley.services import Services

PCM = b"\1\0" * 2400
ROLE = chunk(role="assistant", content="")
TOOL = {"index": 0, "id": "call", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def speech(pcm: bytes = b"", **audio: Any) -> bytes:
    return chunk(audio={**({"data": base64.b64encode(pcm).decode()} if pcm else {}), **audio})


def within(upstream: ScriptedUpstream) -> Services:
    return services(upstream, AUDIO_MODE="relay", AUDIO_SAMPLE_RATE="24000")


def relay(*script: Any) -> list[Any]:
    return list(relayed.stream(context(), within(ScriptedUpstream(*script))))


def test_speech_is_asked_for_in_the_form_that_streams() -> None:
    asked = relayed.in_audio(context(audio={"voice": "ash", "format": "wav"}).chat)

    assert asked.body["modalities"] == ["text", "audio"]
    assert asked.body["audio"] == {"voice": "ash", "format": "pcm16"}


@pytest.mark.parametrize("cut", [2400, 2401], ids=["between two samples", "inside a sample"])
def test_the_sound_arrives_without_a_seam(cut: int) -> None:
    batches = relay(
        [ROLE], [speech(PCM[:cut], id="audio_up", transcript="Hi")], SILENCE, [speech(PCM[cut:])], last(chunk("stop"))
    )

    said = [delta["audio"] for delta in deltas(batches) if delta]
    assert b"".join(base64.b64decode(audio.get("data", "")) for audio in said) == PCM
    assert said[0]["transcript"] == "Hi" and said[0]["id"] == "audio_up"
    assert batches.count(SILENCE) == 1


def test_the_finish_chunk_waits_for_the_sound_before_it() -> None:
    batches = relay([speech(PCM)], last(chunk("stop")))

    assert [set(delta) for delta in deltas(batches)][-1] == set()
    assert json.loads(batches[-1][-1])["choices"][0]["finish_reason"] == "stop"


def test_what_is_no_speech_goes_on_at_once() -> None:
    call = chunk(tool_calls=[TOOL])

    assert relay([ROLE, call], last(chunk("tool_calls"))) == [[ROLE, call], [chunk("tool_calls")]]


def test_a_json_answer_without_sound_stays_as_it_is() -> None:
    upstream = ScriptedUpstream(completion={"role": "assistant", "content": "No sound."})

    answer = json.loads(relayed.whole(context(stream=False), within(upstream)))

    assert answer["choices"][0]["message"]["content"] == "No sound."


def test_a_json_answers_sound_is_converted() -> None:
    sound = {"id": "audio_up", "data": base64.b64encode(PCM).decode(), "transcript": "Hi"}
    upstream = ScriptedUpstream(completion={"role": "assistant", "audio": sound})

    answer = json.loads(relayed.whole(context(stream=False, audio={"format": "pcm16"}), within(upstream)))

    assert base64.b64decode(answer["choices"][0]["message"]["audio"]["data"]) == PCM


def ended(payload: bytes) -> bytes:
    """Return a chunk with a finish_reason of its own."""
    parsed = json.loads(payload)
    parsed["choices"][0]["finish_reason"] = "stop"
    return json.dumps(parsed).encode()


@pytest.mark.row("RA-06")
def test_of_finish_reasons_on_every_chunk_the_last_is_told() -> None:
    batches = relay([ended(speech(PCM, transcript="a"))], [ended(speech(PCM, transcript="b"))])

    reasons = [json.loads(payload)["choices"][0]["finish_reason"] for batch in batches for payload in batch]
    assert [reason for reason in reasons if reason] == ["stop"] and reasons[-1] == "stop"


@pytest.mark.row("RA-07")
def test_half_a_character_of_a_transcript_goes_on() -> None:
    batches = relay([speech(PCM, transcript="Hi \ud83d")], [speech(PCM, transcript="\ude00")], last(chunk("stop")))

    said = [delta["audio"]["transcript"] for delta in deltas(batches) if delta.get("audio", {}).get("transcript")]
    assert said == ["Hi \ud83d", "\ude00"]


@pytest.mark.row("RA-07")
def test_half_a_character_of_a_json_answer_goes_on() -> None:
    sound = {"id": "audio_up", "data": base64.b64encode(PCM).decode(), "transcript": "Hi \ud83d"}
    upstream = ScriptedUpstream(completion={"role": "assistant", "audio": sound})

    answer = json.loads(relayed.whole(context(stream=False), within(upstream)))

    assert answer["choices"][0]["message"]["audio"]["transcript"] == "Hi \ud83d"


@pytest.mark.row("RF-10")
def test_a_few_samples_at_a_time_leave_room_for_heartbeats() -> None:
    batches = relay(*[[speech(PCM[:2])]] * 5, last(chunk("stop")))

    assert batches.count(SILENCE) == 5
