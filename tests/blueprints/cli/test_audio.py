"""`flask audio check`, `flask audio align` and `flask audio make`: what they print, what they write, how they end."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from fake_upstream import FakeUpstream, refusal
from fake_voice import says, tone

from app import create_app
from parley.settings import Settings
from parley.speech.word_timing import tokens

SILENCE = np.zeros(16000)
ASSETS = Path(__file__).parents[3] / "audio_assets"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a sample recording without measured word times."""
    for suffix in (".wav", ".txt"):
        shutil.copy(ASSETS / f"welcome{suffix}", tmp_path)
    return tmp_path


def run(folder: Path, *args: str, **more: Any) -> Result:
    settings = Settings(audio_dir=folder, **more)
    return create_app(settings).test_cli_runner().invoke(args=["audio", *args])


def checked(folder: Path, exit_code: int = 0) -> dict[str, dict[str, Any]]:
    result = run(folder, "check", "--json")
    assert result.exit_code == exit_code, result.output
    return {report["name"]: report for report in json.loads(result.stdout)}


def test_a_good_recording_is_told_with_format_words_and_level(folder: Path) -> None:
    report = checked(folder)["welcome"]

    assert report["format"] == "WAV, Signed 16 bit PCM, 16000 Hz, mono" and report["treatment"] == "sent bit for bit"
    assert (report["seconds"], report["words"]) == (3.71, "13 timed by estimate")
    assert -25 < report["level_db"] < -12 and -6 < report["peak_db"] <= 0
    assert report["problems"] == report["advice"] == [] and report["mend"] is None


@pytest.mark.row("RC-06")
def test_the_pronunciations_are_told(folder: Path) -> None:
    assert "pronunciation.json" not in checked(folder)
    path = folder / "pronunciation.json"
    path.write_text('{"Agora": "uh gora", "SQL": "sequel"}')
    good = checked(folder)["pronunciation.json"]
    told = run(folder, "check").output
    path.write_text('{"Agora": "uh gora",\n "SQL": 5}')
    bad = checked(folder, exit_code=1)["pronunciation.json"]

    assert (good["words"], good["problems"]) == ("2 pronounced as told", [])
    assert "pronunciation.json\n  words       2 pronounced as told" in told
    assert bad["problems"][0].startswith("pronunciation.json: line 2, column 9: 'SQL': expected a text")


def test_the_same_for_a_person(folder: Path) -> None:
    result = run(folder, "check")

    assert result.exit_code == 0
    assert "sound       WAV, Signed 16 bit PCM, 16000 Hz, mono, 3.71 s: sent bit for bit" in result.output
    assert "transcript  Welcome to Harbour" in result.output


def test_an_unusable_file_is_a_failure_with_a_command_for_it(folder: Path) -> None:
    (folder / "welcome.wav").rename(folder / "welcome.mp3")
    (folder / "welcome.mp3").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(99))
    (folder / "alone.txt").write_text("Alone.")
    (folder / "text.wav").write_bytes(b"Nothing makes this a sound.")

    reports = checked(folder, exit_code=1)

    command = "ffmpeg -i welcome.mp3 -ac 1 -c:a pcm_s16le welcome.new.wav"
    problem = f"welcome.mp3: an MP4 file, which is not played; convert it with: {command}"
    assert reports["welcome"]["problems"] == [problem]
    assert reports["welcome"]["mend"] == command
    assert "there is no alone.wav" in reports["alone"]["problems"][0] and reports["alone"]["mend"] is None
    assert "not a sound file" in reports["text"]["problems"][1] and reports["text"]["mend"] is None
    assert "problem     welcome.mp3: an MP4 file" in run(folder, "check").output


def test_a_second_sound_file_of_a_name_is_told_and_is_no_failure(folder: Path) -> None:
    samples, rate = soundfile.read(folder / "welcome.wav", dtype="int16")
    soundfile.write(folder / "welcome.flac", samples, rate, subtype="PCM_16")
    (folder / "welcome.mp3").write_bytes(b"not even an MP3 file")

    report = checked(folder)["welcome"]

    assert report["format"].startswith("WAV, ") and report["problems"] == []
    order = "welcome.wav comes first (the order is .wav .flac .ogg .opus .mp3)"
    assert report["advice"] == [f"welcome.{kind} is not played: {order}" for kind in ("flac", "mp3")]
    (folder / "welcome.wav").unlink()
    report = checked(folder)["welcome"]
    assert report["format"] == "FLAC, Signed 16 bit PCM, 16000 Hz, mono" and report["treatment"] == "sent bit for bit"
    assert "welcome.mp3 is not played: welcome.flac comes first" in run(folder, "check").output


def test_a_folder_without_recordings_is_told_and_is_no_failure(tmp_path: Path) -> None:
    result = run(tmp_path, "check")

    assert (result.exit_code, result.output) == (0, f"{tmp_path}: there are no recordings\n")
    assert checked(tmp_path) == {}


def test_a_folder_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    result = run(tmp_path / "absent", "check")

    assert result.exit_code == 1 and "the folder can't be read" in result.output


@pytest.mark.slow
def test_align_writes_the_words_that_check_then_finds(folder: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="pip install -r requirements-align.txt")

    result = run(folder, "align", "welcome", "--json")

    assert result.exit_code == 0, result.output
    written = json.loads((folder / "welcome.words.json").read_text())
    assert json.loads(result.stdout) == written
    assert [word["text"] for word in written] == tokens((folder / "welcome.txt").read_text())
    assert checked(folder)["welcome"]["words"] == "13 timed by its sidecar"
    assert sorted(path.name for path in folder.iterdir()) == ["welcome.txt", "welcome.wav", "welcome.words.json"]


@pytest.mark.slow
def test_align_refuses_a_wrong_transcript_and_writes_nothing(folder: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="pip install -r requirements-align.txt")
    (folder / "welcome.txt").write_text("Welcome to Harbour Bicycle Works.")

    result = run(folder, "align", "welcome")

    assert result.exit_code == 1 and "do not fill the sound" in result.output
    assert not (folder / "welcome.words.json").exists()


def test_align_names_the_recordings_that_there_are(folder: Path) -> None:
    result = run(folder, "align", "nobody")

    assert result.exit_code == 1 and "there is no recording nobody; there are: welcome" in result.output
    (folder / "welcome.wav").unlink()
    assert "there is no welcome.wav beside it" in run(folder, "align", "welcome").output


@pytest.fixture
def voice() -> Iterator[FakeUpstream]:
    with FakeUpstream() as api:
        api.script = says(tone(0.5))
        yield api


@pytest.mark.slow
def test_make_writes_a_recording_that_is_whole(tmp_path: Path, voice: FakeUpstream) -> None:
    text = "Good morning. It is 9 am."

    result = run(tmp_path, "make", "morning", "--text", text, "--json", tts_base_url=voice.base_url)

    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["name"], made["seconds"]) == ("morning", pytest.approx(1.0, abs=0.01))
    assert {path.name for path in tmp_path.iterdir()} == {"morning.wav", "morning.txt", "morning.words.json"}
    report = checked(tmp_path)["morning"]
    assert report["transcript"] == text and "sidecar" in report["words"] and report["problems"] == []
    assert [call.json["input"] for call in voice.calls] == ["Good morning.", "It is nine AM."]


@pytest.mark.embedded
def test_make_speaks_with_the_embedded_voice(tmp_path: Path) -> None:
    result = run(tmp_path, "make", "welcome", "--text", "Welcome! How can I help you?")

    assert result.exit_code == 0, result.output
    assert "demonstration voice" in result.output
    assert checked(tmp_path)["welcome"]["problems"] == []


@pytest.mark.slow
def test_make_keeps_a_recording_that_is_there(folder: Path, voice: FakeUpstream) -> None:
    before = (folder / "welcome.wav").read_bytes()

    kept = run(folder, "make", "welcome", "--text", "Hello.", tts_base_url=voice.base_url)
    unchanged = (folder / "welcome.wav").read_bytes() == before
    replaced = run(folder, "make", "welcome", "--text", "Hello.", "--replace", tts_base_url=voice.base_url)

    assert (kept.exit_code, replaced.exit_code) == (1, 0) and "--replace" in kept.output and unchanged
    assert (folder / "welcome.txt").read_text() == "Hello.\n"


@pytest.mark.slow
@pytest.mark.parametrize("args", [["../x", "--text", "Hello."], ["x", "--text", "..."]])
def test_make_refuses_what_can_be_no_recording(tmp_path: Path, voice: FakeUpstream, args: list[str]) -> None:
    result = run(tmp_path, "make", *args, tts_base_url=voice.base_url)

    assert result.exit_code == 1 and result.output.startswith("Error: ")
    assert list(tmp_path.iterdir()) == [] and voice.calls == []


@pytest.mark.slow
def test_make_tells_of_a_voice_that_fails_and_writes_nothing(tmp_path: Path, voice: FakeUpstream) -> None:
    voice.script = refusal(401, {"message": "no"})

    result = run(tmp_path, "make", "x", "--text", "Hello.", tts_base_url=voice.base_url, tts_api_key="sk-0123456789")

    assert result.exit_code == 1 and "refused the server's own key" in result.output
    assert list(tmp_path.iterdir()) == [] and "sk-0123456789" not in result.output
