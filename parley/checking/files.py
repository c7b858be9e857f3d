"""Checks of the operator's files: knowledge and recordings, as `flask kb check` and `flask audio check` see them."""

from collections.abc import Iterator

from parley.checking.probe import Probe
from parley.checking.report import Outcome, fail, ok, skip, warn
from parley.operators import audio_check, kb_check
from parley.settings import Settings
from parley.speech import recordings, voice_package

MAX_TOLD = 3
"""Findings that are told one by one; the rest is a number."""


def knowledge(probe: Probe) -> Iterator[Outcome]:
    """Tell the faults of the knowledge bases."""
    reports = kb_check.inspect(probe.settings.kb_dir)
    findings = [finding for report in reports for finding in report.findings]
    errors = [str(one) for one in findings if one.severity == "error"]
    warnings = [str(one) for one in findings if one.severity == "warning"]
    # Notes need no action.
    passages = sum(report.passages for report in reports)
    if errors:
        yield fail(told(errors, "errors"), "flask kb check tells them all", errors=len(errors))
    if warnings:
        yield warn(told(warnings, "warnings"), "flask kb check tells them all", warnings=len(warnings))
    if not passages and probe.settings.database_url:
        yield skip(f"the knowledge comes from {probe.settings.database_url.shown}: flask db check")
    # No fault by itself, but rarely what was meant.
    elif not passages:
        fix = "put *.json files there, or turn other files into them: flask kb import FILE"
        yield warn(f"{probe.settings.kb_dir} holds no passage: /rag answers as /chat does", fix)
    elif not errors and not warnings:
        bases = f"{len(reports)} bases, " if len(reports) > 1 else ""
        yield ok(f"{bases}{passages} passages in {sum(report.files for report in reports)} files", passages=passages)


def sound(probe: Probe) -> Iterator[Outcome]:
    """Tell the faults of the recordings and of the pronunciations."""
    folder = probe.settings.audio_dir
    try:
        found = recordings.find(folder)
    except OSError as exc:
        yield fail(f"{folder} can't be read: {exc.strerror}", "correct AUDIO_DIR, or the folder's rights")
        return
    reports = audio_check.inspect_pronunciations(folder) + [
        audio_check.inspect(folder, name, files, probe.settings.audio_sample_rate) for name, files in found.items()
    ]
    # Advice on level and silence is left to the command.
    problems = [f"{report.name}: {problem}" for report in reports for problem in report.problems]
    if problems:
        yield fail(told(problems, "problems"), "flask audio check tells them all, and how to mend them")
    elif not voice_for(probe.settings):
        fix = "install requirements-local.txt, or set TTS_API_KEY (and TTS_BASE_URL)"
        yield warn("AUDIO_MODE is speech, and there is no voice: answers are soft tones", fix)
    elif not found and probe.settings.audio_mode == "assets":
        fix = "flask audio make hello --text '...', or AUDIO_MODE=speech"
        yield warn(f"{folder} holds no recording, and AUDIO_MODE is assets: /audio plays soft tones", fix)
    else:
        yield ok(f"{len(found)} recordings", recordings=len(found))


def voice_for(settings: Settings) -> bool:
    """Return whether there is a voice if answers are to be spoken."""
    is_named = bool(settings.tts_base_url or settings.tts_api_key)
    return settings.audio_mode != "speech" or is_named or voice_package.installed()


def told(texts: list[str], noun: str) -> str:
    """Return the first texts, a line each, and how many there are."""
    head = texts[:MAX_TOLD]
    rest = f"\nand {len(texts) - MAX_TOLD} more {noun}" if len(texts) > MAX_TOLD else ""
    return "\n".join(head) + rest
