"""Checks of knowledge and recordings: the findings of their own commands, in few lines."""

import json
from pathlib import Path

import pytest

from parley.checking import files
from parley.checking.probe import Probe
from parley.settings import Settings


def test_knowledge_that_can_be_read_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"Parking": "Behind the shop."}))
    (found,) = files.knowledge(Probe(Settings(kb_dir=tmp_path), tmp_path))
    assert found.status == "ok" and found.detail == "1 passages in 1 files"


def test_broken_knowledge_is_told_with_its_line(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.json").write_text('{"a": \n nonsense}')
    first, *_ = files.knowledge(Probe(Settings(kb_dir=tmp_path), tmp_path))
    assert first.status == "fail" and "0.json:2" in first.detail and "and 2 more errors" in first.detail


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_knowledge_without_a_passage_is_told(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    found = list(files.knowledge(Probe(Settings(kb_dir=tmp_path / folder), tmp_path)))
    assert "holds no passage" in found[-1].detail


def test_knowledge_in_a_database_is_not_missed_in_the_folder(tmp_path: Path) -> None:
    settings = Settings.from_environ({"KB_DIR": str(tmp_path), "DATABASE_URL": "postgresql://127.0.0.1/kb"})
    (found,) = files.knowledge(Probe(settings, tmp_path))
    assert found.status == "skip" and "127.0.0.1/kb: flask db check" in found.detail


def test_recordings_are_told_by_their_problems(tmp_path: Path) -> None:
    probe = Probe(Settings(audio_dir=tmp_path), tmp_path)
    assert [one.status for one in files.sound(probe)] == ["warn"]
    (tmp_path / "hello.wav").write_bytes(b"RIFF nonsense")
    (found,) = files.sound(probe)
    assert found.status == "fail" and found.detail.startswith("hello: ")


def test_speech_without_a_voice_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.voice_package, "installed", lambda: False)
    (found,) = files.sound(Probe(Settings(audio_dir=tmp_path, audio_mode="speech"), tmp_path))
    assert found.status == "warn" and "no voice" in found.detail
    named = Settings(audio_dir=tmp_path, audio_mode="speech", tts_api_key="sk-1")
    assert [one.status for one in files.sound(Probe(named, tmp_path))] == ["ok"]


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    (found,) = files.sound(Probe(Settings(audio_dir=tmp_path / "nowhere"), tmp_path))
    assert found.status in ("fail", "warn")
