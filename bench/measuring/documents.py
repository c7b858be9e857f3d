"""Where figures are kept: results/*.json, and the documents that show them, between markers."""

import json
from pathlib import Path
from typing import Any

from measuring.machine import BENCH, ROOT

RESULTS = BENCH / "results"
PERFORMANCE = ROOT / "docs" / "performance.md"
SCALING = ROOT / "docs" / "scaling.md"
TARGETS = BENCH / "targets.md"
"""Limits in absolute figures, which hold on one machine alone."""


def save(name: str, results: Any) -> None:
    """Keep the results of a command."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def put(name: str, text: str, document: Path = PERFORMANCE) -> None:
    """Put a text between a document's markers of this name. Raises ValueError where there are none."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = document.read_text().partition(begin)
    _old, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{document.name} has no markers {name!r}")
    document.write_text(f"{before}{begin}{text}\n{end}{after}")


def dated(about: dict[str, str], text: str) -> str:
    """A text with date, machine and versions under it."""
    return f"{text}\n\nMeasured on {about['date']}: {about['machine']}; {about['versions']}."
