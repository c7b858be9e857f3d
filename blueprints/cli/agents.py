"""`flask agents ...`: the operator's commands for the agents' profiles. None of them needs a server.

Exit codes: 0 for success, 1 if a fault was found, 2 if the command was not understood.
"""

import sys
from typing import TYPE_CHECKING

import click
from flask import Blueprint

from blueprints.web import services
from parley.telemetry import logs

if TYPE_CHECKING:
    # At run time only where there are agents.
    from parley.agents.profile import Profile
    from parley.agents.profiles import Profiles

bp = Blueprint("agents_cli", __name__, cli_group="agents")


@bp.cli.command("check")
def check() -> None:
    """Check the files of AGENTS_DIR as the start does, and names against the upstream's models."""
    agents, faults = loaded()
    for fault in faults:
        click.echo(fault)
    # Not a fault: an operator may mean to stand in for a model.
    for name in agents.hidden_models():
        click.echo(f"note: {name} is a model of the upstream, too; requests for that model are the agent's", err=True)
    click.echo(f"{len(agents.profiles)} agents, {len(faults)} faults")
    sys.exit(1 if faults else 0)


@bp.cli.command("list")
def list_agents() -> None:
    """Print every agent, and what makes it differ from the settings."""
    agents, faults = loaded()
    if faults:
        raise click.ClickException("\n".join(faults))
    for agent in agents.profiles:
        click.echo(f"{agent.name}: {', '.join(keys_of(agent)) or 'as the settings say'}")


def keys_of(agent: "Profile") -> list[str]:
    """Return the keys of a profile that are set, and the values of those that choose something."""
    own = [name for name in ("system", "params", "force") if getattr(agent, name)]
    chosen = {"model": agent.model, **agent.overrides}
    shown = [f"{name} {chosen[name]}" for name in ("model", "kb", "platform") if chosen.get(name)]
    return [*own, *shown, *(name for name in agent.overrides if name not in ("kb", "platform"))]


def loaded() -> "tuple[Profiles, list[str]]":
    """Return the agents of AGENTS_DIR, and the faults of their files, in which case there are none."""
    settings = services().settings
    # Only the result is wanted here.
    logs.configure("error", "text", settings.secrets)
    agents = services().agents
    if agents is None:
        raise click.ClickException(f"there is no folder {settings.agents_dir} (AGENTS_DIR), so there are no agents")
    return agents, [f"{settings.agents_dir}/{fault}" for fault in agents.load()]
