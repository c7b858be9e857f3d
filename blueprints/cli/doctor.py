"""`flask doctor`: what is wrong between a caller and the model, found by trying it.

Exit codes: 0 if all is well (warnings allowed), 1 if something is wrong (with --strict also for a warning), 2 if the
command was not understood.
"""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from flask import Blueprint

from blueprints.web import PROJECT
from parley.operators import platforms
from parley.operators.platforms import BadAddress
from parley.telemetry import logs

if TYPE_CHECKING:
    from parley.checking.probe import Probe
    from parley.checking.report import Finding

bp = Blueprint("doctor_cli", __name__, cli_group=None)
VERSION = "1"
"""Version of the report for programs: raised if a field changes its meaning."""
GROUP_IDS = ("ST", "PK", "MA", "KB", "AU", "UP", "CL", "SH", "DB", "SV")
"""Groups of the catalogue."""
NOTICE = (
    "Asks for at most {calls} short answers of a model ({tokens} tokens each), a few words of speech. Writes nothing."
)


@bp.cli.command("doctor")
@click.option("--url", "address", default="", help="Address of a running server, as the platform reaches it.")
@click.option("--key", default="", help="One of its API_KEYS; else PARLEY_KEY, else the first of API_KEYS here.")
@click.option("--offline", is_flag=True, help="Ask nobody: look at settings, files and the machine alone.")
@click.option("--platform", type=click.Choice(list(platforms.PLATFORMS), case_sensitive=False), help="Ask as it asks.")
@click.option(
    "--only",
    "groups",
    multiple=True,
    type=click.Choice(GROUP_IDS, case_sensitive=False),
    help="Make these checks only.",
)
@click.option(
    "--long", "long_seconds", type=click.FloatRange(1, 3600), default=None, help="Also try an answer so long."
)
@click.option("--strict", is_flag=True, help="Count warnings as problems.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(
    address: str,
    key: str,
    offline: bool,
    platform: str | None,
    groups: Sequence[str],
    long_seconds: float | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Find out why callers hear nothing: settings, packages, knowledge, upstreams, and a running server (--url)."""
    # Here, because no worker needs them.
    from parley.checking import configuration, report
    from parley.checking.probe import Probe

    # Logs of what is loaded on the way would stand between the findings.
    logs.configure("error", "text")
    # Not those of the app: it has none where they are unusable.
    settings, faults = configuration.load_usable()
    if "SV" in groups and not address:
        raise click.UsageError("--only SV needs --url")
    try:
        address = platforms.server_address(address) if address else ""
    except BadAddress as exc:
        raise click.BadParameter(str(exc), param_hint="--url") from None
    # Usually the folder of the server that is examined, or a copy of it with the same keys.
    key = key or configuration.variable("PARLEY_KEY") or (settings.api_keys or ("",))[0]
    if not key.isascii() or not key.isprintable():
        raise click.BadParameter("a key has printable ASCII characters only", param_hint="--key")
    probe = Probe(
        settings,
        PROJECT,
        faults,
        address,
        key,
        platforms.PLATFORMS[platform] if platform else None,
        offline,
        long_seconds or 0,
    )
    findings = list(told(probe, groups, quiet=as_json))
    if as_json:
        click.echo(json.dumps(report.as_json(findings, VERSION, probe.address), ensure_ascii=False))
    else:
        hint = "" if address or offline or groups else "; --url ADDRESS tries a running server as a platform does"
        click.echo(report.summary(findings) + hint)
    sys.exit(report.exit_code(findings, strict=strict))


def told(probe: "Probe", groups: Sequence[str], *, quiet: bool) -> Sequence["Finding"]:
    """Return the findings; unless it is to be `quiet`, print each one as soon as it is known."""
    from parley.checking import examination, report
    from parley.checking.probe import MAX_CALLS, MAX_TOKENS

    if not quiet and not probe.offline and (not groups or {"UP", "SV"} & set(groups)):
        click.echo(NOTICE.format(calls=MAX_CALLS, tokens=MAX_TOKENS))
    found, heading = [], ""
    for finding in examination.examine(probe, groups):
        found.append(finding)
        if quiet:
            continue
        # A check may take seconds: each line is shown when it is known.
        if finding.group != heading:
            heading = finding.group
            click.echo(heading)
        for line in report.lines(finding):
            click.echo(line)
        sys.stdout.flush()
    return found
