"""`flask tools ...`: the operator's commands for the tools that a model may call. None of them needs a server.

Exit codes: 0 for success, 1 if a fault was found or a call failed, 2 if the command was not understood.
"""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from flask import Blueprint

from blueprints.web import services
from parley.telemetry import logs
from parley.tools.tool import Call, Tool

if TYPE_CHECKING:
    # At run time only where there are tools.
    from parley.tools.toolbox import Toolbox

bp = Blueprint("tools_cli", __name__, cli_group="tools")


@bp.cli.command("check")
def check() -> None:
    """Check the files of TOOLS_DIR as the start does; MCP servers are not asked."""
    toolbox, faults = loaded()
    for fault in faults:
        click.echo(fault)
    click.echo(f"{len(toolbox.details() and toolbox.tools())} tools, {len(faults)} faults")
    sys.exit(1 if faults else 0)


@bp.cli.command("list")
def list_tools() -> None:
    """Ask the MCP servers, and print every tool as a model is told of it."""
    toolbox = ready()
    for tool in toolbox.tools():
        click.echo(f"{tool.name} ({tool.source}): {tool.description}")
        click.echo(f"  {json.dumps(tool.parameters, ensure_ascii=False)}")


@bp.cli.command("call")
@click.argument("name")
@click.argument("arguments", default="{}")
@click.option("--session", default="", help="Id of the session, for {{call.session}}.")
@click.option("--request", "fields", default="{}", help="Fields of the request, a JSON object, for {{request.x}}.")
def call(name: str, arguments: str, session: str, fields: str) -> None:
    """Call a tool with a JSON object of ARGUMENTS; print what the model would be told, and how long it took."""
    given, request = parse_object(arguments, "ARGUMENTS"), parse_object(fields, "--request")
    tool = find(ready(), name)
    call_id = f"call_{time.time_ns():x}"
    seconds = tool.timeout or Call("", "").seconds
    started = time.monotonic()
    result = tool.run(given, Call(call_id, call_id, session=session, request=request, seconds=seconds))
    click.echo(result.text)
    click.echo(f"{result.outcome}, {(time.monotonic() - started) * 1000:.0f} ms", err=True)
    sys.exit(0 if result.outcome == "ok" else 1)


def loaded() -> "tuple[Toolbox, list[str]]":
    """Return the tools of TOOLS_DIR, and the faults of their files, in which case there are none."""
    settings = services().settings
    # Only the result is wanted here.
    logs.configure("error", "text", settings.secrets)
    toolbox = services().toolbox
    if toolbox is None:
        raise click.ClickException(f"there is no folder {settings.tools_dir} (TOOLS_DIR), so there are no tools")
    return toolbox, [f"{settings.tools_dir}/{fault}" for fault in toolbox.load()]


def ready() -> "Toolbox":
    """Return the tools of TOOLS_DIR, those of MCP servers included. Raises ClickException for a fault."""
    toolbox, faults = loaded()
    if faults:
        raise click.ClickException("\n".join(faults))
    for server in toolbox.refresh_servers():
        click.echo(f"the MCP server {server} can't be asked; its tools are missing", err=True)
    return toolbox


def find(toolbox: "Toolbox", name: str) -> Tool:
    """Return a tool by its name. Raises BadParameter."""
    named = {tool.name: tool for tool in toolbox.tools()}
    if name not in named:
        raise click.BadParameter(f"there is no tool {name!r}; known are {', '.join(named)}", param_hint="NAME")
    return named[name]


def parse_object(text: str, hint: str) -> dict[str, Any]:
    """Return a JSON object. Raises BadParameter."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise click.BadParameter('write a JSON object such as \'{"day": "monday"}\'', param_hint=hint)
    return value
