"""`flask audio ...`: the operator's commands for the recordings in AUDIO_DIR. None of them needs a server."""

import contextlib
import dataclasses
import json
from pathlib import Path

import click
from flask import Blueprint

from blueprints.web import services
from parley.errors import ParleyError
from parley.operators import atomic_file, audio_align, audio_check
from parley.operators.audio_check import Report
from parley.speech import pacing, recordings, wav, word_timing
from parley.speech.utterance import Utterance

bp = Blueprint("audio_cli", __name__, cli_group="audio")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@bp.cli.command("check")
@as_json
def check(as_json: bool) -> None:
    """Report on each recording: format, conversion, words, level, faults; and on the pronunciations.

    Exits with 1 if a recording, or part of it, can't be heard, or the pronunciations can't be read. A folder without
    recordings is no fault.
    """
    settings = services().settings
    reports = audio_check.inspect_pronunciations(settings.audio_dir) + [
        audio_check.inspect(settings.audio_dir, name, files, settings.audio_sample_rate)
        for name, files in recordings_in(settings.audio_dir).items()
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False, indent=2))
    else:
        texts = [*map(report_text, reports), audio_check.summary(reports)] if reports else []
        click.echo("\n\n".join(texts) or f"{settings.audio_dir}: there are no recordings")
    if any(report.problems for report in reports):
        raise SystemExit(1)


@bp.cli.command("align")
@click.argument("name")
@as_json
def align(name: str, as_json: bool) -> None:
    """Measure when each word of a recording is heard, and write NAME.words.json.

    English only; needs requirements-align.txt. Exits with 1 if the words are not found in the sound.
    """
    folder = services().settings.audio_dir
    files = recordings_in(folder)
    if name not in files:
        raise click.ClickException(f"{folder}: there is no recording {name}; there are: {', '.join(files) or 'none'}")
    # Converted straight to the aligner's rate, so that the sound is resampled only once.
    recording = recordings.read(folder, name, files[name], audio_align.RATE)
    # An incomplete recording has an utterance too, in which a stand-in takes the place of the sound or of the text.
    if recording.utterance is None or not recording.is_complete:
        raise click.ClickException("; ".join(recording.problems))
    try:
        words = audio_align.align(recording.utterance.transcript, recording.utterance.pcm, audio_align.RATE)
    except audio_align.AlignmentError as exc:
        raise click.ClickException(f"{name}: {exc}") from exc
    path = recordings.sidecar(folder, name)
    content = word_timing.to_json(words)
    write_files({path: content.encode()})
    click.echo(content.rstrip() if as_json else f"{path}: {len(words)} words, measured")


@bp.cli.command("make")
@click.argument("name")
@click.option("--text", required=True, help="The text to say.")
@click.option("--replace", is_flag=True, help="Replace a recording of this name.")
@as_json
def make(name: str, text: str, replace: bool, as_json: bool) -> None:
    """Make a recording with the voice of AUDIO_MODE=speech: NAME.wav, NAME.txt and NAME.words.json.

    Exits with 1 if there is no voice, if the voice fails, or if the name is taken.
    """
    folder = services().settings.audio_dir
    # `recordings.read` refuses every other name: the new files would never be played.
    if not recordings.NAME_PATTERN.fullmatch(name):
        raise click.ClickException(f"{name!r}: a name has 1 to 64 letters, digits, '.', '_' or '-'")
    if name in recordings_in(folder) and not replace:
        raise click.ClickException(f"{folder}: the recording {name} already exists; --replace replaces it")
    # Nothing is written before the voice has said all of it: if it fails, the old recording remains.
    utterance = synthesise(text.strip())
    write_files(
        {
            folder / f"{name}.wav": wav.encode(utterance.pcm, utterance.rate),
            folder / f"{name}.txt": f"{utterance.transcript}\n".encode(),
            recordings.sidecar(folder, name): word_timing.to_json(utterance.words).encode(),
        }
    )
    made = {
        "name": name,
        "seconds": round(pacing.duration_ms(len(utterance.pcm), utterance.rate) / 1000, 2),
        "words": len(utterance.words),
        "voice": services().synthesis.description,
    }
    summary = "{name}.wav: {seconds} s, {words} words and marks, said by {voice}".format(**made)
    click.echo(json.dumps(made) if as_json else summary)


def recordings_in(folder: Path) -> dict[str, recordings.Files]:
    """Return the files of each recording in a folder. Raises ClickException."""
    try:
        return recordings.find(folder)
    except OSError as exc:
        raise click.ClickException(f"{folder}: the folder can't be read: {exc.strerror}") from exc


def synthesise(text: str) -> Utterance:
    """Return the text as the configured voice says it. Raises ClickException."""
    voice = services().synthesis
    try:
        with contextlib.closing(voice):
            utterance = voice.utterance(text)
    except ParleyError as exc:
        raise click.ClickException(f"{voice.description}: {exc.message}") from exc
    # Without a voice the synthesis plays soft tones, which must not be stored as a recording.
    if utterance.simulated:
        raise click.ClickException("there is no voice: install requirements-local.txt, or set TTS_BASE_URL")
    if not utterance.pcm:
        raise click.ClickException("the text has no words that can be said")
    # A recording is found by its text as the platform sends it.
    return dataclasses.replace(utterance, transcript=text)


def report_text(report: Report) -> str:
    """Return a report as text for a person."""
    lines = [report.name]
    if report.format:
        lines.append(f"  sound       {report.format}, {report.seconds} s: {report.treatment}")
    if report.transcript:
        lines.append(
            f"  transcript  {report.transcript if len(report.transcript) < 80 else report.transcript[:77] + '...'}"
        )
    if report.transcript or report.words:
        lines.append(f"  words       {report.words or 'none'}")
    if report.level_db is not None:
        lines.append(
            f"  level       {report.level_db} dB, peak {report.peak_db} dB; silence "
            f"{report.silence_before_ms} ms before and {report.silence_after_ms} ms after"
        )
    lines += [f"  problem     {problem}" for problem in report.problems]
    lines += [f"  advice      {advice}" for advice in report.advice]
    if report.mend:
        lines.append(f"  mend        {report.mend}")
    return "\n".join(lines)


def write_files(contents: dict[Path, bytes]) -> None:
    """Write files, each in one step, because a server may be reading the folder. Raises ClickException."""
    for path, content in contents.items():
        try:
            atomic_file.write(path, content)
        except OSError as exc:
            raise click.ClickException(f"{path}: can't be written: {exc.strerror}") from exc
