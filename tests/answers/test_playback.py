"""Sound as payloads: what precedes it, what waits for more, and what a finished answer leaves behind."""

import base64
from typing import Any

import pytest
from scripted_upstream import ScriptedUpstream, context, deltas, services

from parley.answers.playback import Player, play
from parley.concurrency import SILENCE
from parley.speech.utterance import AudioPiece, Utterance
from parley.speech.word_timing import Word

CHUNK = 1280
"""Bytes of 40 ms at 16 kHz."""


@pytest.fixture
def player() -> Player:
    return Player(context(), services(ScriptedUpstream()))


def audio_of(batches: Any) -> list[dict[str, Any]]:
    return [delta["audio"] for delta in deltas(list(batches)) if delta]


def test_a_pieces_text_and_words_precede_its_sound(player: Player) -> None:
    told, sound = audio_of(player.play(AudioPiece(b"\1\0" * (CHUNK // 2), "Hello ", (Word("Hello", 0, 40),))))

    assert told["transcript"] == "Hello " and told["words"][0]["text"] == "Hello"
    assert base64.b64decode(sound["data"]) == b"\1\0" * (CHUNK // 2)


def test_sound_that_fills_no_chunk_waits_for_more(player: Player) -> None:
    assert list(player.play(AudioPiece(b"\1\0" * 100))) == [SILENCE]
    assert list(player.play(AudioPiece())) == []

    (sound,) = audio_of(player.play_to_the_end([AudioPiece(b"\2\0" * 100)]))
    assert base64.b64decode(sound["data"]) == b"\1\0" * 100 + b"\2\0" * 100


def test_silence_is_passed_on(player: Player) -> None:
    assert list(player.play_to_the_end([SILENCE, SILENCE])) == [SILENCE, SILENCE]


def test_an_adopted_id_is_used_from_the_first_chunk_on(player: Player) -> None:
    player.adopt("audio_up")

    assert audio_of([player.transcript("Hello", ())])[0]["id"] == "audio_up"


def test_a_request_is_not_held_while_its_sound_is_played() -> None:
    asked = context()
    batches = play(Utterance("a", "Hello", b"\1\0" * CHUNK, 16000, False), asked, services(ScriptedUpstream()))

    next(batches)

    with pytest.raises(AttributeError):
        _ = asked.chat
    assert deltas(list(batches))[-1] == {}


@pytest.mark.row("RE-06")
@pytest.mark.row("RE-05")
@pytest.mark.parametrize(("v1", "size"), [(False, 1280), (True, 1278)])
def test_only_v1_is_made_for_clients_that_join(v1: bool, size: int) -> None:
    made = Player(context(v1=v1), services(ScriptedUpstream()))

    told, *sound = audio_of(made.play_to_the_end([AudioPiece(b"\1\0" * 3000, "Hi", (Word("Hi", 0, 9),))]))

    assert {len(base64.b64decode(piece["data"])) for piece in sound[:-1]} == {size}
    assert set(told["words"][0]) == {"text", "start_ts", "end_ts", "duration"} | ({"index"} if v1 else set())
