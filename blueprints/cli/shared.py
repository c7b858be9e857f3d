"""`flask shared check`: whether the Redis of REDIS_URL is reached, and lets its user do what is asked of it.

Exit codes: 0 for success, 1 if a fault was found, 2 without REDIS_URL.
"""

import sys

import click
from flask import Blueprint

from blueprints.web import PROJECT, services
from parley.telemetry import logs

bp = Blueprint("shared_cli", __name__, cli_group="shared")


@bp.cli.command("check")
def check() -> None:
    """Ask the Redis of REDIS_URL what a worker asks, and say what is wrong."""
    # Here, because no worker needs them.
    from parley.checking import examination, report
    from parley.checking.probe import Probe

    settings = services().settings
    if settings.redis_url is None:
        click.echo("REDIS_URL is not set: each worker counts for itself", err=True)
        sys.exit(2)
    logs.configure("error", "text")
    found = list(examination.examine(Probe(settings, PROJECT), only=("SH",)))
    for one in found:
        for line in report.lines(one):
            click.echo(line)
    sys.exit(report.exit_code(found, strict=False))
