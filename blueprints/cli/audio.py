"""`flask audio ...`: the operator's tools for the recordings in AUDIO_DIR."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path

import click
from flask import Blueprint, current_app

from parley.errors import ParleyError
from parley.operators import audio_align, audio_check
from parley.operators.audio_check import Report
from parley.services import Services
from parley.settings import Settings
from parley.speech import pacing, recordings, wav, word_timing
from parley.speech.utterance import Utterance

bp = Blueprint("audio_cli", __name__, cli_group="audio")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@bp.cli.command("check")
@as_json
def check(as_json: bool) -> None:
    """Tell of each recording: its format, what is done with it, its words, its level, what is wrong with it.

    Exits with 1 where something can't be heard as it should be; a folder without recordings is not at fault.
    """
    settings = _settings()
    reports = [
        audio_check.inspect(settings.audio_dir, name, files, settings.audio_sample_rate)
        for name, files in _found(settings.audio_dir).items()
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False, indent=2))
    else:
        click.echo("\n\n".join(map(_told, reports)) or f"{settings.audio_dir}: there are no recordings")
    if any(report.problems for report in reports):
        raise SystemExit(1)


@bp.cli.command("align")
@click.argument("name")
@as_json
def align(name: str, as_json: bool) -> None:
    """Measure when each word of a recording is heard, and write it into NAME.words.json.

    English; needs requirements-align.txt. Exits with 1 where the words are not found in the sound.
    """
    folder = _settings().audio_dir
    files = _found(folder)
    if name not in files:
        raise click.ClickException(f"{folder}: there is no recording {name}; there are: {', '.join(files) or 'none'}")
    found = recordings.read(folder, name, files[name], audio_align.RATE)
    if found.utterance is None or not found.is_complete:
        raise click.ClickException("; ".join(found.problems))
    try:
        timed = audio_align.align(found.utterance.transcript, found.utterance.pcm, audio_align.RATE)
    except audio_align.AlignmentError as exc:
        raise click.ClickException(f"{name}: {exc}") from exc
    path = recordings.sidecar(folder, name)
    _write(path, word_timing.to_json(timed).encode())
    click.echo(word_timing.to_json(timed).rstrip() if as_json else f"{path}: {len(timed)} words, measured")


@bp.cli.command("make")
@click.argument("name")
@click.option("--text", required=True, help="What is to be said.")
@click.option("--replace", is_flag=True, help="Replace a recording of this name.")
@as_json
def make(name: str, text: str, replace: bool, as_json: bool) -> None:
    """Have the voice of AUDIO_MODE=speech say a text, and keep it as NAME.wav, NAME.txt and NAME.words.json.

    Exits with 1 where there is no voice, or it fails, or the name is taken.
    """
    folder = _settings().audio_dir
    if not recordings.NAME_PATTERN.fullmatch(name):
        raise click.ClickException(f"{name!r}: a name has 1 to 64 letters, digits, '.', '_' or '-'")
    if name in _found(folder) and not replace:
        raise click.ClickException(f"{folder}: there is a recording {name} already; --replace replaces it")
    said = _said(text.strip())
    for path, content in (
        (folder / f"{name}.wav", wav.encode(said.pcm, said.rate)),
        (folder / f"{name}.txt", f"{said.transcript}\n".encode()),
        (recordings.sidecar(folder, name), word_timing.to_json(said.words).encode()),
    ):
        _write(path, content)
    seconds = round(pacing.duration_ms(len(said.pcm), said.rate) / 1000, 2)
    made = {"name": name, "seconds": seconds, "words": len(said.words), "voice": _services().synthesis.description}
    told = "{name}.wav: {seconds} s, {words} words and marks, said by {voice}".format(**made)
    click.echo(json.dumps(made) if as_json else told)


def _said(text: str) -> Utterance:
    """The text as the voice says it."""
    voice = _services().synthesis
    try:
        with contextlib.closing(voice):
            said = voice.utterance(text)
    except ParleyError as exc:
        raise click.ClickException(f"{voice.description}: {exc.message}") from exc
    if said.simulated:
        raise click.ClickException("there is no voice: install requirements-local.txt, or set TTS_BASE_URL")
    if not said.pcm:
        raise click.ClickException("the text has no words that can be said")
    return said


def _services() -> Services:
    services: Services = current_app.extensions["parley"]
    return services


def _settings() -> Settings:
    return _services().settings


def _found(folder: Path) -> dict[str, recordings.Files]:
    try:
        return recordings.find(folder)
    except OSError as exc:
        raise click.ClickException(f"{folder}: the folder can't be read: {exc.strerror}") from exc


def _told(report: Report) -> str:
    """A report as a person reads it."""
    lines = [report.name]
    if report.format:
        lines.append(f"  sound       {report.format}, {report.seconds} s: {report.treatment}")
    if report.transcript:
        lines.append(
            f"  transcript  {report.transcript if len(report.transcript) < 80 else report.transcript[:77] + '...'}"
        )
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


def _write(path: Path, content: bytes) -> None:
    """In one step: a server that starts meanwhile reads the old file or the new one."""
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as exc:
        raise click.ClickException(f"{path}: can't be written: {exc.strerror}") from exc
