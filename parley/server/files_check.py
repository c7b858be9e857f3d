"""The check of tools and agents before the start: `python -m parley.server.files_check`, a process of the master's.

It prints each fault and exits with code 1 if there are any. What the Python files of TOOLS_DIR print comes first.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parley.settings import Settings


def main() -> None:
    """Load the tools and the agents as a worker does."""
    from gevent import monkey

    # Before anything else is imported, as in a worker, where the operator's files run next.
    monkey.patch_all()
    from parley.settings import load
    from parley.telemetry import logs

    settings = load()
    logs.configure("error", settings.log_format, settings.secrets)
    faults = [*_faulty_tools(settings), *_faulty_agents(settings)]
    for fault in faults:
        print(f"parley: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


def _faulty_tools(settings: "Settings") -> list[str]:
    """Return the faults of the files of TOOLS_DIR."""
    if not settings.tools_dir.is_dir():
        return []
    from parley.environment.variables import environment
    from parley.telemetry import logs
    from parley.tools import mcp_client
    from parley.tools.toolbox import Toolbox

    toolbox = Toolbox(settings.tools_dir, environment(), connect_mcp=mcp_client.Server, hide=logs.hide)
    return [f"{settings.tools_dir}/{fault}" for fault in toolbox.load()]


def _faulty_agents(settings: "Settings") -> list[str]:
    """Return the faults of the files of AGENTS_DIR."""
    if not settings.agents_dir.is_dir():
        return []
    from parley.agents.profiles import Profiles

    return [f"{settings.agents_dir}/{fault}" for fault in Profiles(settings.agents_dir).load()]


if __name__ == "__main__":
    main()
