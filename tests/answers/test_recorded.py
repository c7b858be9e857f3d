"""Answers out of recordings, in a stream and in one piece."""

import base64
import json
from pathlib import Path

import pytest
from scripted_upstream import ScriptedUpstream, broadcast, context, deltas, services
from structlog.testing import capture_logs

from parley.answers import recorded
from parley.services import Services
from parley.speech import wav

PCM = b"\1\0" * 2000


@pytest.fixture
def within(tmp_path: Path) -> Services:
    (tmp_path / "welcome.txt").write_text("Welcome.")
    (tmp_path / "welcome.wav").write_bytes(wav.encode(PCM, 16000))
    return services(ScriptedUpstream(), AUDIO_DIR=str(tmp_path))


@pytest.mark.parametrize("asked", [context(asset="welcome"), broadcast("Welcome.")], ids=["by name", "by its words"])
def test_a_recording_is_played_with_its_transcript(within: Services, asked: object) -> None:
    told, *rest = [delta["audio"] for delta in deltas(list(recorded.stream(asked, within))) if delta]  # type: ignore[arg-type]

    assert told["transcript"] == "Welcome."
    assert b"".join(base64.b64decode(audio["data"]) for audio in rest) == PCM


def test_a_recording_in_one_piece_is_a_wav_file_or_raw(within: Services) -> None:
    sounds = []
    for form in ("wav", "pcm16"):
        body = json.loads(recorded.whole(context(asset="welcome", audio={"format": form}, stream=False), within))
        sounds.append(base64.b64decode(body["choices"][0]["message"]["audio"]["data"]))

    assert sounds == [wav.encode(PCM, 16000), PCM]


def test_simulated_sound_is_warned_of(within: Services) -> None:
    with capture_logs() as logged:
        chosen = recorded.choose(context(asset="nothing"), within)

    assert chosen.simulated
    assert [(line["event"], line["id"]) for line in logged if line["log_level"] == "warning"] == [
        ("simulated_audio", "turn")
    ]
