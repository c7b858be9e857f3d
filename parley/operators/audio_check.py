"""The report on one recording: its format, how it is converted, its level, its faults, and advice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parley.speech import pronunciation, recordings, sound_file
from parley.speech.recordings import Files
from parley.speech.sound_file import Sound
from parley.speech.utterance import Utterance
from parley.speech.word_estimation import FRAME_MS, loud_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUIET_DB = -30.0
"""Level in dB of full scale below which a recording is too quiet."""
LOUD_DB = -10.0
"""Level in dB of full scale above which a recording is too loud."""
MAX_SILENCE_MS = 500
"""Longest silence at the beginning or the end."""
MIN_MISSING_SECONDS = 0.05
"""Missing sound that is told of; less than that is padding that was counted wrongly."""
CLIPPED_RUN = 3
"""Consecutive samples at full scale that count as clipped; one or two may just be loud."""
FULL_SCALE = 32_767
TRIM = "silenceremove=start_periods=1:start_threshold=-50dB"
# ffmpeg trims silence reliably only at the beginning, so the sound is reversed for its end.
TRIM_BOTH = f"{TRIM},areverse,{TRIM},areverse"
LEVEL = "loudnorm=I=-19:TP=-2"


@dataclass
class Report:
    """All that is told of one recording. Levels are dB of full scale while something is said.

    `problems` keep the recording, or part of it, from being heard; `advice` does not. `mend` is a command for both.
    """

    name: str
    format: str | None = None
    treatment: str | None = None
    transcript: str | None = None
    words: str | None = None
    seconds: float | None = None
    level_db: float | None = None
    peak_db: float | None = None
    clipped: int = 0
    silence_before_ms: int = 0
    silence_after_ms: int = 0
    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    mend: str | None = None


def inspect(folder: Path, name: str, files: Files, rate: int) -> Report:
    """Return the report on one recording of a folder, as it would be heard at `rate` Hz."""
    recording = recordings.read(folder, name, files, rate)
    report = Report(
        name, transcript=recording.transcript, problems=list(recording.problems), mend=recording.convert_command
    )
    sounds = recordings.sounds(files)
    if recording.sound is not None and recording.utterance is not None:
        utterance = recording.utterance
        report.format = str(recording.sound)
        report.treatment = treatment(recording.sound, rate)
        report.seconds = round(recording.sound.seconds, 3)
        source = "by estimate" if utterance.words_estimated else "by its sidecar"
        report.words = f"{len(utterance.words)} timed {source}" if utterance.words else "none"
        _measure(report, utterance)
        if recording.sound.missing_seconds >= MIN_MISSING_SECONDS:
            lost = round(recording.sound.missing_seconds, 1)
            report.advice.append(f"the file is cut short: its last {lost} s are missing; copy or export it again")
        # A recording can be mended by a command only if it is too quiet, too loud or has silence around it.
        trims = max(report.silence_before_ms, report.silence_after_ms) > MAX_SILENCE_MS
        levels = report.level_db is not None and not QUIET_DB <= report.level_db <= LOUD_DB
        filters = ",".join([TRIM_BOTH] * trims + [LEVEL] * levels)
        report.mend = recordings.ffmpeg(sounds[0], f'-af "{filters}" -ac 1 -ar {rate}') if filters else None
    present = {path.suffix.lower() for path in sounds}
    order = " ".join(ending for ending in sound_file.SUFFIXES if ending in {*sound_file.COMMON_SUFFIXES, *present})
    for unused in sounds[1:]:
        report.advice.append(f"{unused.name} is not played: {sounds[0].name} comes first (the order is {order})")
    return report


def inspect_pronunciations(folder: Path) -> list[Report]:
    """Return the report on the folder's pronunciations; nothing if there is no such file."""
    path = folder / pronunciation.FILE_NAME
    if not path.exists():
        return []
    try:
        entries = pronunciation.read(path)
    except pronunciation.PronunciationError as exc:
        return [Report(path.name, problems=[str(exc)])]
    return [Report(path.name, words=f"{len(entries)} pronounced as told")]


def summary(reports: Sequence[Report]) -> str:
    """Return the last line of the report on a folder: how many can be heard, and the names of the others."""
    bad = [report.name for report in reports if report.problems]
    advised = [report.name for report in reports if report.advice and not report.problems]
    parts = [f"{len(reports)} checked: {len(reports) - len(bad)} can be heard as they should"]
    if bad:
        parts.append(f"{len(bad)} with problems ({', '.join(bad)})")
    if advised:
        parts.append(f"{len(advised)} with advice ({', '.join(advised)})")
    return "; ".join(parts)


def treatment(sound: Sound, rate: int) -> str:
    """Return how the sound is converted before it is sent at `rate` Hz."""
    steps = []
    if not sound.is_pcm16:
        steps.append("converted to PCM 16 bits")
    if sound.weights is not None:
        used = [str(number) for number, weight in enumerate(sound.weights, 1) if weight]
        steps.append(f"{'channels' if len(used) > 1 else 'channel'} {', '.join(used)} of {sound.channels}")
    elif sound.channels > 1:
        steps.append(f"{sound.channels} channels averaged")
    if sound.source_rate != rate:
        steps.append(f"resampled to {rate} Hz")
    return ", ".join(steps) or "sent bit for bit"


def _measure(report: Report, utterance: Utterance) -> None:
    """Add levels, clipping and silence to a report, and the advice that they give."""
    samples = np.frombuffer(utterance.pcm, "<i2")
    # Through int32: the absolute value of -32768 does not fit into 16 bits.
    peak = int(np.abs(samples.astype(np.int32)).max()) if len(samples) else 0
    if not peak:
        report.advice.append("it is silent from beginning to end")
        return
    loud = loud_frames(utterance.pcm, utterance.rate)
    frame = max(1, utterance.rate * FRAME_MS // 1000)
    # Only while something is said: a pause would lower the level of a recording that is loud enough.
    said = samples[: len(loud) * frame].reshape(-1, frame)[loud].astype(np.float64)
    report.level_db = _db(float(np.sqrt(np.mean(said**2))) if said.size else peak)
    report.peak_db = _db(peak)
    report.clipped = clipped_samples(samples)
    first, last = (int(np.argmax(loud)), int(np.argmax(loud[::-1]))) if loud.any() else (0, 0)
    report.silence_before_ms, report.silence_after_ms = first * FRAME_MS, last * FRAME_MS
    if report.clipped:
        report.advice.append(f"{report.clipped} samples are clipped: record it again at a lower level")
    if not QUIET_DB <= report.level_db <= LOUD_DB:
        report.advice.append(f"it is too {'quiet' if report.level_db < QUIET_DB else 'loud'}: {report.level_db} dB")
    for where, silence in (("begins", report.silence_before_ms), ("ends", report.silence_after_ms)):
        if silence > MAX_SILENCE_MS:
            report.advice.append(f"it {where} with {silence} ms of silence")


def clipped_samples(samples: "NDArray[np.int16]") -> int:
    """Return the number of samples in runs of at least CLIPPED_RUN at full scale."""
    full = (samples >= FULL_SCALE) | (samples <= -FULL_SCALE)
    # A run begins where `full` rises and ends where it falls, so the edges alternate.
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


def _db(level: float) -> float:
    return round(float(20 * np.log10(max(level, 1e-9) / 32768)), 1)
