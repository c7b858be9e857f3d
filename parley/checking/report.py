"""Values of an examination: what a check says (`Outcome`), what is told of it (`Finding`), and the sums.

A check says `ok`, `warn`, `fail` or `skip`; only `fail` makes the exit code 1, with `--strict` also `warn`.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Status = Literal["ok", "warn", "fail", "skip"]
INDENT = " " * 15
"""Blanks in front of the further lines of a finding, below its first word."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One thing that a check has to say. `fix` is what to do about it; `data` are figures for programs.

    `blocks` is true if the further checks of the same subject would find the same fault only.
    """

    status: Status
    detail: str
    fix: str = ""
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    blocks: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """An outcome, by which check it was found and in how many milliseconds; `group` is the heading above it."""

    id: str
    group: str
    name: str
    status: Status
    detail: str
    fix: str
    ms: float
    data: Mapping[str, Any]


def ok(detail: str, **data: Any) -> Outcome:
    """Return an outcome that needs no action."""
    return Outcome("ok", detail, data=data)


def skip(detail: str) -> Outcome:
    """Return the outcome of a check that was not made."""
    return Outcome("skip", detail)


def warn(detail: str, fix: str = "", **data: Any) -> Outcome:
    """Return an outcome that may do harm."""
    return Outcome("warn", detail, fix, data)


def fail(detail: str, fix: str = "", **data: Any) -> Outcome:
    """Return an outcome with which calls fail, or are heard wrongly."""
    return Outcome("fail", detail, fix, data)


def stop(detail: str) -> Outcome:
    """Return the outcome of a check that can't be made, nor any behind it."""
    return Outcome("skip", detail, blocks=True)


def block(detail: str, fix: str = "", **data: Any) -> Outcome:
    """Return a failure behind which no further check makes sense."""
    return Outcome("fail", detail, fix, data, blocks=True)


def count(findings: Sequence[Finding], status: Status) -> int:
    """Return how many findings have a status."""
    return sum(finding.status == status for finding in findings)


def lines(finding: Finding) -> Iterator[str]:
    """Yield the lines that tell a finding to a person."""
    first, *more = finding.detail.splitlines() or [""]
    yield f"  {finding.status:4}  {finding.id:5}  {first}"
    yield from (INDENT + line for line in more)
    if finding.fix:
        first, *more = finding.fix.splitlines()
        yield f"{INDENT}fix: {first}"
        yield from (f"{INDENT}     {line}" for line in more)


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line: how many of each kind."""
    problems, warnings = count(findings, "fail"), count(findings, "warn")
    return (
        f"{problems} {'problem' if problems == 1 else 'problems'}, "
        f"{warnings} {'warning' if warnings == 1 else 'warnings'}, "
        f"{count(findings, 'ok')} well, {count(findings, 'skip')} skipped"
    )


def exit_code(findings: Sequence[Finding], *, strict: bool) -> int:
    """Return 1 if something is wrong, with `strict` also for a warning; else 0."""
    return int(count(findings, "fail") > 0 or (strict and count(findings, "warn") > 0))


def as_json(findings: Sequence[Finding], version: str, url: str) -> dict[str, Any]:
    """Return the report for programs."""
    errors = count(findings, "fail")
    return {
        "ok": errors == 0,
        "errors": errors,
        "warnings": count(findings, "warn"),
        "version": version,
        "url": url,
        "checks": [dataclasses.asdict(finding) for finding in findings],
    }
