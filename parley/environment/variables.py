"""The process's environment: it is read and changed here alone."""

import os
from collections.abc import Collection
from pathlib import Path

from parley.environment import env_file, misspelled

ENV_FILE = ".env"
"""File in the working folder that adds to the environment."""
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
"""Variables, in either case, that name a proxy for outgoing connections."""


def complete(names: Collection[str]) -> list[str]:
    """Add `.env` to the environment; return a sentence for each variable and line that was meant, and is no setting.

    `names` are the variables of settings. Raises EnvFileError, and OpenByMistake for what leaves the server open.
    """
    file = env_file.load(Path(ENV_FILE))
    return misspelled.ignored(os.environ, file, names)


def environment() -> dict[str, str]:
    """Return the environment: that of settings, and of the variables that the operator's tools name."""
    return dict(os.environ)


def is_hosted() -> bool:
    """Return whether a hosting platform runs the server: it has chosen the port."""
    return bool(os.environ.get("PORT"))


def named_proxies() -> dict[str, str]:
    """Return the environment's proxies for outgoing connections by the name of their variable."""
    return {name: value for name, value in os.environ.items() if name.lower() in PROXY_VARIABLES and value}


def share_metrics(folder: str) -> None:
    """Name the folder through which workers add up their metrics, in the variable that prometheus_client reads."""
    os.environ[METRICS_FOLDER] = folder


def metrics_folder() -> str | None:
    """Return the folder through which workers share metrics and turns, None where there is none."""
    return os.environ.get(METRICS_FOLDER)
