"""The check of the tools before the start: `python -m parley.server.tools_check`, a process of the master's.

It prints each fault and exits with code 1 if there are any. What the Python files of the folder print comes first.
"""

import sys


def main() -> None:
    """Load the tools as a worker does."""
    from gevent import monkey

    # Before anything else is imported, as in a worker, where the operator's files run next.
    monkey.patch_all()
    from parley.environment.variables import environment
    from parley.settings import load
    from parley.telemetry import logs
    from parley.tools import mcp_client
    from parley.tools.toolbox import Toolbox

    settings = load()
    logs.configure("error", settings.log_format, settings.secrets)
    toolbox = Toolbox(settings.tools_dir, environment(), connect_mcp=mcp_client.Server, hide=logs.hide)
    faults = toolbox.load()
    for fault in faults:
        print(f"parley: {settings.tools_dir}/{fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
