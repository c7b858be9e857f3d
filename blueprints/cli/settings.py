"""`flask settings`: the settings table in the forms in which the repository shows it."""

import dataclasses
import textwrap
from collections.abc import Collection

import click
from flask import Blueprint

from blueprints.cli import settings_page
from parley.settings import Settings

HEADER = """\
# Settings

<!-- Made by `make settings` from parley/setting_rows/ and blueprints/cli/settings_advice/. -->

Parley reads each setting from the environment, and from the file `.env` in the working folder where the environment
does not set it. An empty value counts as unset. A bad value stops the start with one line that names the variable and
the form that it accepts. [.env.example](../.env.example) lists all variables, commented out.

Settings are read once, in gunicorn's master: restart the server after a change. A reload (SIGHUP) keeps the old values.
A first deployment needs `LLM_API_KEY` and `API_KEYS`; every other default works."""

FOOTER = """\
## Variables that are not Parley's

| variable | read by | effect |
|---|---|---|
| `PORT` | gunicorn | Listen on all addresses at this port. Without it gunicorn listens on 127.0.0.1:8000. |
| `WEB_CONCURRENCY` | gunicorn | Number of workers, 1 by default: [deploying.md](deploying.md#several-workers). |
| `GUNICORN_CMD_ARGS` | gunicorn | Further options, such as `--bind`. |
| `FORWARDED_ALLOW_IPS` | gunicorn | Proxies that may say that the caller used HTTPS. |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | Parley's HTTP client | Proxy for connections to upstreams. |
| `SSL_CERT_FILE` | OpenSSL | Certificate authorities that are trusted for upstreams. |"""

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
        click.echo(page())
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


def page() -> str:
    """Return docs/settings.md."""
    rows = {field.name.upper(): field for field in dataclasses.fields(Settings)}
    parts = [HEADER]
    for group in settings_page.GROUPS:
        parts += [f"## {group.title}", group.about]
        for name, advice in group.settings.items():
            row = rows[name].metadata
            aliases = ", ".join(f"`{alias}`" for alias in row["aliases"])
            default = row["shown"] or (f"`{row['default']}`" if row["default"] else "unset")
            facts = [
                f"- Default: {default}.",
                f"- Accepts {row['kind'].accepted}.",
                *([f"- Also read from {aliases}."] if aliases else []),
            ]
            # A line break inside a link, a URL or a hyphenated name would change what the page shows.
            text = textwrap.fill(f"{advice.effect} {advice.when}", 120, break_long_words=False, break_on_hyphens=False)
            parts += [f"### `{name}`", text, "\n".join(facts)]
    return "\n\n".join([*parts, FOOTER])
