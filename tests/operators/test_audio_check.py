"""The report on a recording: conversion, level, clipping, silence, and a command that mends them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import wav_files

from parley.operators import audio_check
from parley.operators.audio_check import Report
from parley.speech import recordings

ASSETS = Path(__file__).parents[2] / "audio_assets"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for suffix in ("wav", "txt"):
        shutil.copy(ASSETS / f"welcome.{suffix}", tmp_path)
    return tmp_path


def report_on(folder: Path) -> Report:
    """Return the report on the recording `welcome`, at 16 kHz."""
    return audio_check.inspect(folder, "welcome", recordings.find(folder)["welcome"], 16_000)


def test_the_conversion_of_another_format_is_reported(folder: Path) -> None:
    sound = wav_files.wav(wav_files.tone(44100, level=0.2), 44100, wav_files.FLOAT, 32, 2)
    (folder / "welcome.wav").write_bytes(sound)

    report = report_on(folder)

    assert report.format == "WAV, 32 bit float, 44100 Hz, stereo"
    assert report.treatment == "converted to PCM 16 bits, 2 channels averaged, resampled to 16000 Hz"


@pytest.mark.parametrize(
    ("sound", "advice", "mend"),
    [
        (wav_files.tone(16000, level=0.01), "it is too quiet: -43.0 dB", "loudnorm"),
        (np.clip(wav_files.tone(16000, level=1.5), -1, 1), "samples are clipped", "loudnorm"),
        (
            np.concatenate([np.zeros(16000), wav_files.tone(16000)]),
            "it begins with 1000 ms of silence",
            "silenceremove",
        ),
        (np.concatenate([wav_files.tone(16000), np.zeros(16000)]), "it ends with 1000 ms of silence", "silenceremove"),
        (np.zeros(16000), "it is silent from beginning to end", None),
    ],
)
def test_what_would_improve_a_recording_is_advised(folder: Path, sound: Any, advice: str, mend: str | None) -> None:
    (folder / "welcome.wav").write_bytes(wav_files.wav(sound, 16000))

    report = report_on(folder)

    assert any(advice in line for line in report.advice), report.advice
    assert report.problems == []
    assert report.mend is None if mend is None else mend in (report.mend or "")


def test_advice_on_a_compressed_file_names_it(folder: Path) -> None:
    (folder / "welcome.wav").unlink()
    soundfile.write(folder / "welcome.ogg", wav_files.tone(16000, level=0.01), 16000)

    report = report_on(folder)

    assert report.mend is not None and report.problems == []
    assert report.mend.startswith("ffmpeg -i welcome.ogg -af ") and report.mend.endswith(" welcome.new.wav")


def test_words_that_do_not_fit_are_a_problem(folder: Path) -> None:
    (folder / "welcome.words.json").write_text('[{"text": "Goodbye", "start_ts": 0, "end_ts": 10}]')

    (problem,) = report_on(folder).problems

    assert problem == "welcome.words.json: they are not the words of the transcript; its words are timed by estimate"


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ([0, 32767, 32767, 0], 0),
        ([32767, 32767, 32767], 3),
        ([-32768, -32768, -32767, 32767, 0, 32767], 4),
        ([], 0),
    ],
)
def test_only_runs_at_full_scale_count_as_clipped(samples: list[int], clipped: int) -> None:
    assert audio_check.clipped_samples(np.array(samples, np.int16)) == clipped


def test_a_file_that_is_cut_short_is_told_of(folder: Path) -> None:
    path = folder / "welcome.wav"
    path.write_bytes(path.read_bytes()[:-32_000])

    assert "the file is cut short: its last 1.0 s are missing; copy or export it again" in report_on(folder).advice


def test_the_channels_that_are_played_are_named(folder: Path) -> None:
    sides = np.column_stack([np.zeros(6400), wav_files.tone(16000)])
    soundfile.write(folder / "welcome.wav", sides, 16000, subtype="PCM_16")

    assert report_on(folder).treatment == "channel 2 of 2"


def test_the_summary_names_what_is_wrong() -> None:
    reports = [Report("a"), Report("b", problems=["gone"]), Report("c", advice=["it is too quiet"])]

    assert audio_check.summary(reports[:1]) == "1 checked: 1 can be heard as they should"
    assert audio_check.summary(reports) == (
        "3 checked: 2 can be heard as they should; 1 with problems (b); 1 with advice (c)"
    )
