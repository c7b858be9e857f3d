"""`flask settings`: the settings table in the forms in which the repository shows it."""

import dataclasses
from collections.abc import Collection

import click
from flask import Blueprint

from blueprints.cli import settings_page
from parley.settings import Settings

bp = Blueprint("settings_cli", __name__, cli_group=None)


@bp.cli.command("settings")
@click.option("--env", "form", flag_value="env", help="Print .env.example instead of the table.")
@click.option("--page", "form", flag_value="page", help="Print docs/settings.md, with advice on each setting.")
@click.option(
    "--readme", "form", flag_value="readme", help="Print the table of README.md: a first deployment's settings."
)
def print_settings(form: str | None) -> None:
    """Print every setting with its default and meaning."""
    if form == "env":
        click.echo(env_example())
    elif form == "page":
        click.echo(settings_page.page())
    else:
        click.echo(markdown_table(settings_page.README_SETTINGS if form == "readme" else None))


def markdown_table(names: Collection[str] | None = None) -> str:
    """Return a table of these settings, in this order, or of all."""
    rows = {field.name.upper(): field for field in dataclasses.fields(Settings)}
    lines = ["| name (aliases) | default | meaning |", "|---|---|---|"]
    for name in names or rows:
        row = rows[name].metadata
        shown = f"`{name}`"
        if row["aliases"]:
            shown += " (" + ", ".join(f"`{alias}`" for alias in row["aliases"]) + ")"
        default = row["shown"] or (f"`{row['default']}`" if row["default"] else "–")
        # An unescaped bar would end the cell.
        cells = [shown, default.replace("|", "\\|"), row["meaning"].replace("|", "\\|")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def env_example() -> str:
    """Return the content of `.env.example`: every variable with its default, commented out, below its meaning."""
    blocks = []
    for field in dataclasses.fields(Settings):
        row = field.metadata
        # A default in words can't stand behind `=`: who removes the `#` would set it.
        meaning = row["meaning"] + (f" Default: {row['shown']}." if row["shown"] else "")
        blocks.append(f"# {meaning}\n# {field.name.upper()}={row['default'] or ''}")
    return "\n\n".join(blocks)
