"""`flask settings`: the settings table, as Markdown for the documentation or as `.env.example`."""

import dataclasses

import click
from flask import Blueprint

from parley.settings import Settings

bp = Blueprint("settings_cli", __name__, cli_group=None)


@bp.cli.command("settings")
@click.option("--env", is_flag=True, help="Print .env.example instead of the table.")
def print_settings(env: bool) -> None:
    """Print every setting with its default and meaning."""
    click.echo(env_example() if env else markdown_table())


def markdown_table() -> str:
    """Return the settings as a Markdown table: names, default, meaning."""
    lines = ["| name (aliases) | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        row = field.metadata
        names = f"`{field.name.upper()}`"
        if row["aliases"]:
            names += " (" + ", ".join(f"`{alias}`" for alias in row["aliases"]) + ")"
        default = row["shown"] or (f"`{row['default']}`" if row["default"] else "–")
        # An unescaped bar would end the cell.
        cells = [names, default.replace("|", "\\|"), row["meaning"].replace("|", "\\|")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def env_example() -> str:
    """Return the content of `.env.example`: every variable with its default, commented out, below its meaning."""
    blocks = []
    for field in dataclasses.fields(Settings):
        row = field.metadata
        meaning = row["meaning"] + (f" Default: {row['shown']}." if row["shown"] else "")
        blocks.append(f"# {meaning}\n# {field.name.upper()}={row['default'] or ''}")
    return "\n\n".join(blocks)
