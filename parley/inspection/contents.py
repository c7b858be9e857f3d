"""The contents that a server was given: passages of the knowledge with the faults of its files, and recordings."""

from collections import Counter
from typing import Any

from parley.knowledge.documents import Problem
from parley.operators.kb_check import LineFinder
from parley.services import Services
from parley.speech.recordings import Recording

PAGE = 100
"""Passages that are shown at once."""
MAX_FAULTS = 100
"""Most faults that are shown; `flask kb check` tells all."""


def passages_of(services: Services, kb: str, file: str, first: int) -> dict[str, Any]:
    """Return a page of the passages of a base, from a number on, and its faults. Raises NotFound, WarmingUp."""
    base = services.knowledge.base(kb)
    folder = services.settings.kb_dir / kb
    # A name is compared with those of the passages, and never looked for in the folder.
    of_file = [passage for passage in base.index.passages if file in ("", passage.file)]
    counts = Counter(passage.file for passage in base.index.passages)
    shown = of_file[first : first + PAGE]
    faults = base.problems[:MAX_FAULTS]
    lines = LineFinder(folder, services.settings.kb_dir)
    # In a thread, because it reads the files, and only those with a fault.
    found = services.look_in_thread(lambda: [_fault(problem, lines) for problem in faults]) if faults else []
    return {
        "kb": kb,
        "state": base.state,
        "files": [{"name": name, "passages": number} for name, number in counts.items()],
        "total": len(of_file),
        # Of a base that is searched where it is, none is here.
        "elsewhere": base.passages if base.is_searchable else 0,
        "from": first,
        "next": first + PAGE if first + PAGE < len(of_file) else None,
        "passages": [
            {"id": one.id, "title": one.title, "text": one.text, "file": one.file, "metadata": one.metadata}
            for one in shown
        ],
        "faults": found,
    }


def _fault(problem: Problem, lines: LineFinder) -> dict[str, Any]:
    return {
        # Without its folder: that is the operator's.
        "file": problem.name,
        "line": problem.line or lines.of_entry(problem),
        "where": problem.where,
        "message": problem.message,
        "lost": problem.lost,
    }


def recordings_of(services: Services) -> dict[str, Any]:
    """Return the recordings as they were found when they were read."""
    library = services.recordings
    folder = str(services.settings.audio_dir)
    own = {problem for recording in library.read for problem in recording.problems}
    return {
        "folder": "AUDIO_DIR",
        "sample_rate": library.rate,
        "recordings": [_recording(recording) for recording in library.read],
        "problems": [problem.replace(folder, "AUDIO_DIR") for problem in library.problems if problem not in own],
    }


def _recording(recording: Recording) -> dict[str, Any]:
    # None where neither half of it can be used.
    utterance = recording.utterance
    timed = utterance is not None and bool(utterance.words)
    estimated = utterance is not None and utterance.words_estimated
    align = f"flask audio align {recording.name}" if estimated and recording.is_complete else None
    return {
        "name": recording.name,
        "seconds": round(len(utterance.pcm) / 2 / utterance.rate, 2) if utterance else None,
        "transcript": recording.transcript,
        "words": "none" if not timed else "estimated" if estimated else "measured",
        "word_count": len(utterance.words) if utterance else 0,
        "simulated": utterance.simulated if utterance else False,
        "complete": recording.is_complete,
        "problems": list(recording.problems),
        "mend": recording.convert_command or align,
    }
