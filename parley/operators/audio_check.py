"""A recording under the operator's eye: what was found, what is done with it, and what would make it better."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from parley.speech import recordings, sound_file
from parley.speech.recordings import Files
from parley.speech.sound_file import Sound
from parley.speech.utterance import Utterance
from parley.speech.word_estimation import FRAME_MS, loud_frames

QUIET_DB = -30.0
LOUD_DB = -10.0
LONGEST_SILENCE_MS = 500
CLIPPED_RUN = 3
"""So many samples in a row at full scale were cut off, one or two may just be loud."""
FULL_SCALE = 32767
TRIM = "silenceremove=start_periods=1:start_threshold=-50dB"
TRIM_BOTH = f"{TRIM},areverse,{TRIM},areverse"
LEVEL = "loudnorm=I=-19:TP=-2"


@dataclass
class Report:
    """What is told of one recording. Levels are dB of full scale, over the time in which something is said.

    `problems` keep it, or half of it, from being heard; `advice` does not. `mend` is a command for both.
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
    """The report on one name of a folder, as it would be heard at `rate` Hz."""
    found = recordings.read(folder, name, files, rate)
    report = Report(name, transcript=found.transcript, problems=list(found.problems), mend=found.convert_command)
    sounds = recordings.sounds(files)
    if found.sound is not None and found.utterance is not None:
        report.format = str(found.sound)
        report.treatment = treatment(found.sound, rate)
        report.seconds = round(found.sound.seconds, 3)
        report.words = _words(found.utterance)
        _listen(report, found.utterance)
        report.mend = _mend(report, sounds[0], rate)
    order = " ".join(sound_file.SUFFIXES)
    for unused in sounds[1:]:
        report.advice.append(f"{unused.name} is not played: {sounds[0].name} comes first (the order is {order})")
    return report


def treatment(sound: Sound, rate: int) -> str:
    """Return what is done with the sound before it is sent."""
    steps = []
    if not sound.is_pcm16:
        steps.append("converted to PCM 16 bits")
    if sound.channels > 1:
        steps.append(f"{sound.channels} channels averaged")
    if sound.source_rate != rate:
        steps.append(f"resampled to {rate} Hz")
    return ", ".join(steps) or "sent bit for bit"


def _words(utterance: Utterance) -> str:
    if not utterance.words:
        return "none"
    return f"{len(utterance.words)} timed " + ("by estimate" if utterance.words_estimated else "by its sidecar")


def _listen(report: Report, utterance: Utterance) -> None:
    """Levels, clipping and silence, and the advice that they give."""
    samples = np.frombuffer(utterance.pcm, "<i2")
    loud = loud_frames(utterance.pcm, utterance.rate)
    peak = int(np.abs(samples.astype(np.int32)).max()) if len(samples) else 0
    if not peak:
        report.advice.append("it is silent from beginning to end")
        return
    frame = max(1, utterance.rate * FRAME_MS // 1000)
    said = samples[: len(loud) * frame].reshape(-1, frame)[loud].astype(np.float64)
    report.level_db = _db(float(np.sqrt(np.mean(said**2))) if said.size else peak)
    report.peak_db = _db(peak)
    report.clipped = _clipped(samples)
    first, last = (int(np.argmax(loud)), int(np.argmax(loud[::-1]))) if loud.any() else (0, 0)
    report.silence_before_ms, report.silence_after_ms = first * FRAME_MS, last * FRAME_MS
    if report.clipped:
        report.advice.append(f"{report.clipped} samples are clipped: record it again at a lower level")
    if not QUIET_DB <= report.level_db <= LOUD_DB:
        report.advice.append(f"it is too {'quiet' if report.level_db < QUIET_DB else 'loud'}: {report.level_db} dB")
    for where, silence in (("begins", report.silence_before_ms), ("ends", report.silence_after_ms)):
        if silence > LONGEST_SILENCE_MS:
            report.advice.append(f"it {where} with {silence} ms of silence")


def _clipped(samples: "np.typing.NDArray[np.int16]") -> int:
    """How many samples stand at full scale, three or more in a row."""
    full = (samples >= FULL_SCALE) | (samples <= -FULL_SCALE)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


def _db(level: float) -> float:
    return round(float(20 * np.log10(max(level, 1e-9) / 32768)), 1)


def _mend(report: Report, source: Path, rate: int) -> str | None:
    """Return the command that does what the advice says, where a command can."""
    trims = max(report.silence_before_ms, report.silence_after_ms) > LONGEST_SILENCE_MS
    levels = report.level_db is not None and not QUIET_DB <= report.level_db <= LOUD_DB
    filters = ",".join([TRIM_BOTH] * trims + [LEVEL] * levels)
    return recordings.ffmpeg(source, f'-af "{filters}" -ac 1 -ar {rate}') if filters else None
