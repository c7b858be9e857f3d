"""Who speaks on /audio, by the request, the mode, the recordings and the voice."""

from pathlib import Path
from typing import Any

import pytest
from scripted_upstream import ScriptedUpstream, broadcast, context, services

from parley.answers.audio import BROADCAST, RECORDED, SPEAKERS, speaker_of
from parley.speech import wav

VOICE = {"TTS_API_KEY": "k"}


@pytest.mark.parametrize("mode", SPEAKERS)
def test_an_ordinary_question_is_answered_by_the_mode(mode: str) -> None:
    within = services(ScriptedUpstream(), AUDIO_MODE=mode)

    assert speaker_of(context().chat, within) == SPEAKERS[mode]


@pytest.mark.parametrize("mode", SPEAKERS)
def test_a_recording_that_is_asked_for_is_played(mode: str) -> None:
    assert speaker_of(context(asset="welcome").chat, services(ScriptedUpstream(), AUDIO_MODE=mode)) == RECORDED


@pytest.mark.parametrize(
    ("environ", "speaker"),
    [
        ({"AUDIO_MODE": "assets"}, RECORDED),
        ({"AUDIO_MODE": "relay"}, RECORDED),
        ({"AUDIO_MODE": "speech"}, BROADCAST),
        ({"AUDIO_MODE": "assets", **VOICE}, BROADCAST),
        ({"AUDIO_MODE": "relay", **VOICE}, BROADCAST),
    ],
    ids=["assets", "relay", "speech", "assets with a voice", "relay with a voice"],
)
def test_a_broadcast_is_said_where_there_is_a_voice(environ: dict[str, Any], speaker: Any, tmp_path: Path) -> None:
    (tmp_path / "closing.txt").write_text("We close now.")
    (tmp_path / "closing.wav").write_bytes(wav.encode(b"\1\0" * 200, 16000))
    within = services(ScriptedUpstream(), AUDIO_DIR=str(tmp_path), **environ)

    assert speaker_of(broadcast("We open now.").chat, within) == speaker
    assert speaker_of(broadcast("We close now.").chat, within) == RECORDED
