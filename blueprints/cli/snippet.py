"""`flask snippet`: what to enter at a voice platform, and docs/platforms.md, which is made of the same table."""

import json
import sys

import click
from flask import Blueprint

from parley.operators import platform_facts, platforms
from parley.operators.platforms import ADDRESS, BadAddress

bp = Blueprint("snippet_cli", __name__, cli_group=None)
MODEL = "gpt-4o-mini"
PAGE_HEAD = """\
# Voice platforms

For whoever connects a platform: what each one wants to be given. This page is made by `flask snippet --page`; the
command prints the part of one platform, with your address in it:

```sh
flask snippet agora --url https://voice.example.com --endpoint rag
```

`$PARLEY_KEY` stands for one of your `API_KEYS`. A full URL ends in `/chat/completions` and is asked as it is; a base
URL ends in `/v1`, and the platform appends `/chat/completions`. One in place of the other gives status 404, and an
agent that says nothing.

| platform | URL | called from |
|---|---|---|
"""


@bp.cli.command("snippet")
@click.argument("name", required=False, type=click.Choice(list(platforms.PLATFORMS), case_sensitive=False))
@click.option("--url", "address", default=ADDRESS, help="Address under which the platform reaches the server.")
@click.option("--endpoint", type=click.Choice(platforms.ENDPOINTS), default="rag", show_default=True)
@click.option("--kb", default="", help="Name of the knowledge base.")
@click.option("--model", default=MODEL, show_default=True, help="Model that the platform names.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with a request as the platform sends it.")
@click.option("--page", "as_page", is_flag=True, help="Print docs/platforms.md.")
def snippet(name: str | None, address: str, endpoint: str, kb: str, model: str, as_json: bool, as_page: bool) -> None:
    """Print what to enter at a voice platform, or to write in a program, so that it asks this server."""
    if as_page:
        click.echo(page())
        return
    if name is None:
        raise click.UsageError("name a platform: " + ", ".join(platforms.PLATFORMS))
    platform = platforms.PLATFORMS[name]
    # A wrong address is told before anything is printed.
    try:
        url = platform.url(address, endpoint, kb)
    except BadAddress as exc:
        raise click.BadParameter(str(exc), param_hint="--kb" if "knowledge" in str(exc) else "--url") from None
    told = platforms.describe(platform, url, endpoint, model)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    # The text alone goes to standard output, so that it can be piped.
    for line in (f"{platform.title}: {told['where']}", *told["notes"]):
        click.echo(f"# {line}", err=True)
    click.echo(told["snippet"])
    for warning in told["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    if address != ADDRESS and platform.is_remote:
        click.echo(
            f"# Test the way: flask doctor --url {platforms.server_address(address)} --platform {name}", err=True
        )
    sys.stdout.flush()


def page() -> str:
    """Return the content of docs/platforms.md."""
    rows = [
        f"| [{one.title}](#{one.name}) | {'base URL' if one.appends else 'full URL'} "
        f"| {'its cloud' if one.is_remote else 'where your program runs'} |"
        for one in platforms.PLATFORMS.values()
    ]
    sections = []
    # The names, which the command takes, are the headings.
    for one in platforms.PLATFORMS.values():
        told = platforms.describe(one, one.url(ADDRESS, "rag"), "rag", MODEL)
        notes = "\n".join(f"- {note}" for note in told["notes"])
        block = f"```{told['language']}\n{told['snippet']}\n```"
        sections.append(f"## {one.name}\n\n{one.title}: {told['where']}\n\n{block}\n\n{notes}")
    return PAGE_HEAD + "\n".join(rows) + "\n\n" + "\n\n".join((*sections, facts()))


def facts() -> str:
    """Return the section on what platforms and upstreams do, with sources."""
    known = "; ".join(f"{letter}: {meaning}" for letter, meaning in platform_facts.CONFIDENCE.items())
    rows = [f"| {one.about} | {one.text} | {one.source} | {one.confidence} |" for one in platform_facts.FACTS]
    head = "| who | what | source | known |\n|---|---|---|---|\n"
    return f"## What platforms and upstreams do\n\nKnown by {known}.\n\n{head}" + "\n".join(rows)
