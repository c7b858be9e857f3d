"""An examination: each check of the catalogue in turn, its outcomes as findings, secrets taken out."""

import time
from collections.abc import Collection, Iterator
from typing import Any

from parley.checking.calling import CallFailed
from parley.checking.catalogue import GROUPS, Check, Group
from parley.checking.network import StepFailed
from parley.checking.probe import Probe
from parley.checking.report import Finding, Outcome, fail, skip
from parley.telemetry.redaction import Redactor


def examine(probe: Probe, only: Collection[str] = ()) -> Iterator[Finding]:
    """Yield what each check finds, as soon as it is known; `only` are ids of groups, empty for all."""
    redactor = Redactor([*probe.settings.secrets, *([probe.key] if probe.key else [])])
    for group in GROUPS:
        if only and group.id not in only:
            continue
        for subject in group.subjects(probe):
            yield from examine_subject(probe, group, subject, redactor)


def examine_subject(probe: Probe, group: Group, subject: Any, redactor: Redactor) -> Iterator[Finding]:
    """Yield the findings of one group on one subject."""
    blocked_by = ""
    for check in group.checks:
        began = time.perf_counter()
        if probe.offline and check.asks:
            outcomes = iter([skip(f"{check.name}: not asked (--offline)")])
        elif blocked_by:
            outcomes = iter([skip(f"{check.name}: needs {blocked_by}")])
        else:
            outcomes = guarded(check, subject)
        for outcome in outcomes:
            ms = (time.perf_counter() - began) * 1000
            blocked_by = blocked_by or check.id * outcome.blocks
            yield finding(check, group.title(subject), outcome, ms, redactor)


def guarded(check: Check, subject: Any) -> Iterator[Outcome]:
    """Yield the outcomes of a check; one more if it broke down itself, so that the others are made all the same."""
    try:
        yield from check.run(subject)
    except (CallFailed, StepFailed) as exc:
        yield fail(str(exc), getattr(exc, "fix", ""))
    except ImportError as exc:
        yield fail(f"the package {exc.name} is not installed", "pip install -r requirements.txt")
    # Anything may be on the other side. An examination that ends at the first odd answer would be of no use.
    except Exception as exc:  # noqa: BLE001
        yield fail(f"the check itself failed: {type(exc).__name__}: {exc}", "please report it, with this line")


def finding(check: Check, title: str, outcome: Outcome, ms: float, redactor: Redactor) -> Finding:
    """Return an outcome as it is told, without secrets."""
    is_well = outcome.status in ("ok", "skip")
    return Finding(
        check.id,
        redactor.redact_keys(title),
        check.name,
        outcome.status,
        redactor.redact_keys(outcome.detail),
        "" if is_well else redactor.redact_keys(outcome.fix or check.fix),
        round(ms, 1),
        {
            name: redactor.redact_keys(value) if isinstance(value, str) else value
            for name, value in outcome.data.items()
        },
    )
