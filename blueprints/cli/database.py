"""`flask db ...`: the operator's commands for the database of the knowledge. A server never changes its tables.

Exit codes: 0 for success, 1 if a fault was found, 2 if the command was not understood.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from flask import Blueprint

from blueprints.web import services

if TYPE_CHECKING:
    from parley.knowledge.database.address import DatabaseAddress

bp = Blueprint("db_cli", __name__, cli_group="db")


def database_address() -> "DatabaseAddress":
    """Return the address of DATABASE_URL; exit with one line if there is none."""
    address: DatabaseAddress | None = services().settings.database_url
    if address is None:
        raise click.ClickException("DATABASE_URL is not set")
    return address


@contextlib.contextmanager
def connection() -> Iterator[Any]:
    """Yield a connection to the database; exit with one line where there is none, or where it fails."""
    address = database_address()
    from parley.knowledge.database import connections, schema

    try:
        with connections.translated(address), connections.connect(address) as made:
            schema.require(schema.version(made), schema.KNOWN)
            yield made
    except connections.DatabaseFailed as failed:
        raise click.ClickException(str(failed)) from None


@bp.cli.command("init")
@click.option("--sql", is_flag=True, help="Print the statements for an administrator, and change nothing.")
def init(sql: bool) -> None:
    """Make the tables, or bring them up to date. Run it as a role that may create them."""
    from parley.knowledge.database import schema

    if sql:
        for number, statements in schema.migrations():
            click.echo(f"-- {number}\nBEGIN;\n{statements.rstrip()}")
            click.echo(f"INSERT INTO parley.version (version) VALUES ({number});\nCOMMIT;")
        return
    address = database_address()
    from parley.knowledge.database import connections

    try:
        with connections.translated(address), connections.connect(address) as made:
            applied = schema.apply(made)
    except connections.DatabaseFailed as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(f"applied: {', '.join(map(str, applied))}" if applied else "nothing to do")


@bp.cli.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(as_json: bool) -> None:
    """Tell whether the database can be used: reached, TLS, versions, rights, encoders of the bases."""
    address = database_address()
    from parley.factories.knowledge import encoders_of
    from parley.knowledge.database import examination

    findings = examination.examine(address, encoders_of(services().settings).labels())
    if as_json:
        click.echo(json.dumps([{"severity": one.severity, "message": one.message} for one in findings]))
    else:
        for one in findings:
            click.echo(f"{one.severity}: {one.message}")
    sys.exit(1 if any(one.severity == "error" for one in findings) else 0)
