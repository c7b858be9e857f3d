"""gunicorn's master: what it checks before it listens, the workers' shared metrics, the embedded model.

The hooks of `gunicorn.conf.py` call these functions. The master imports little, so that it starts fast and so that each
worker can patch the standard library before it is used: no ssl, no numpy, no openai. What a worker does after the fork
is in `worker.py`.
"""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from parley import tcp
from parley.environment.variables import environment, named_proxies, share_metrics
from parley.server import kept_files, metric_files, open_files
from parley.server.memory_check import memory_fault
from parley.server.once import OncePerServer
from parley.settings import Settings, SettingsError, ignored, load
from parley.upstream.embedded import model_process

MAX_PORT = 65_535
"""Highest TCP port."""
MEMORY_FOLDER = "/dev/shm"
model_load: OncePerServer | None = None
"""The loading of the upstream's model, for all workers, with WARM_MODEL."""
START_FOLDER = str(Path.cwd())
"""Folder in which gunicorn.conf.py was read, and `.env` with it."""


def load_settings() -> Settings:
    """Return the settings; exit with one line that names a bad one, before a worker could fail over and over."""
    try:
        return load()
    except SettingsError as error:
        sys.exit(f"parley: {error}")


def memory_folder() -> str | None:
    """Return a folder in memory for gunicorn's own files, or None if the system has none that can be written."""
    return MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK | os.X_OK) else None


def prepare(server: Any, settings: Settings, streams: int) -> None:
    """Check gunicorn's own settings, and let workers open the files that `streams` turns need.

    Exits with one line if the server can't work.
    """
    if fault := config_fault(server.cfg) or memory_fault(settings, server.cfg.workers) or proxy_fault(settings):
        sys.exit(f"parley: {fault}")
    check_redis(server, settings)
    check_database(server, settings)
    check_files(settings)
    if fault := class_fault(server.cfg.worker_class_str):
        server.log.warning("%s", fault)
    for fault in ignored():
        server.log.warning("%s", fault)
    if streams < settings.max_streams:
        server.log.warning("MAX_STREAMS is lowered to %s by the limit of open files (ulimit -n)", streams)
    open_files.raise_for(streams)
    # Also with one worker: the master that was killed may have had several.
    metric_files.remove_orphans(server.cfg.worker_tmp_dir)
    if server.cfg.workers > 1:
        share_metrics_folder(server)


def class_fault(worker_class: str) -> str:
    """Return what a worker of this class does worse than one of gevent's, empty for that one."""
    if worker_class == "gevent":
        return ""
    return (
        f"worker class {worker_class} serves one caller per thread, does not notice clients that leave, "
        "and cuts answers short when it stops; use -k gevent"
    )


def config_fault(cfg: Any) -> str | None:
    """Return the reason why Parley can't run with gunicorn's settings, or None."""
    if cfg.preload_app:
        return "--preload loads the app before gevent has patched the standard library; leave it off"
    if cfg.max_requests and (cfg.workers < 2 or not cfg.max_requests_jitter):
        return (
            "max_requests needs max_requests_jitter and at least two workers, "
            "or a restart leaves callers without a worker; better leave it off"
        )
    if Path(cfg.chdir).resolve() != Path(START_FOLDER).resolve():
        return f"--chdir: .env was looked for in {START_FOLDER}; go to {cfg.chdir} first, and leave --chdir off"
    # gunicorn takes 0 from the environment, and would listen without anybody to answer.
    if cfg.workers < 1:
        return "WEB_CONCURRENCY (or --workers): expected a whole number from 1"
    if any(isinstance(address, tuple) and not 0 <= address[1] <= MAX_PORT for address in cfg.address):
        return f"PORT (or --bind): expected a port from 0 to {MAX_PORT}"
    if cfg.worker_tmp_dir is None:
        try:
            tempfile.gettempdir()
        except OSError:
            return "gunicorn needs a folder for temporary files, and none can be written: set TMPDIR or mount /dev/shm"
    return None


def proxy_fault(settings: Settings) -> str | None:
    """Return the fault of a proxy through which an upstream would be reached, or None."""
    named = named_proxies()
    if not named:
        return None
    # perf: saves 25 ms (a start without a proxy): the module loads the standard library's HTTP client.
    from parley.http_client import proxies

    try:
        for url in settings.base_urls:
            proxies.proxy_for(url)
        # The voice's client reads all of the variables, also those that it does not need.
        for variable, url in named.items() if settings.tts_base_url or settings.tts_api_key else ():
            proxies.parse_proxy(url, variable.upper())
    except proxies.BadProxy as fault:
        return str(fault)
    return None


def check_database(server: Any, settings: Settings) -> None:
    """Exit if a package for DATABASE_URL is missing; warn of a connection that others could read or forge."""
    if settings.database_url is None:
        return
    from parley.knowledge.database import address

    if fault := address.missing_package():
        sys.exit(f"parley: {fault}")
    for warning in settings.database_url.warnings:
        server.log.warning("%s", warning)


def check_redis(server: Any, settings: Settings) -> None:
    """Exit if something needs a REDIS_URL that is not set, or a REDIS_URL its client library.

    Warn of a connection that others could read or forge.
    """
    if fault := settings.redis_fault:
        sys.exit(f"parley: {fault}")
    if settings.redis_url is None:
        return
    from parley.shared import urls

    if fault := urls.missing_package():
        sys.exit(f"parley: {fault}")
    for warning in settings.redis_url.warnings:
        server.log.warning("%s", warning)


def check_files(settings: Settings) -> None:
    """Exit if a file of TOOLS_DIR or AGENTS_DIR has a fault; all are printed. An agent without its tool would lie."""
    # Before the check: what is written meanwhile has not been checked.
    kept_files.read(settings.tools_dir, settings.agents_dir)
    faults = agent_faults(settings.agents_dir)
    for fault in faults:
        print(f"parley: {fault}", file=sys.stderr, flush=True)
    if has_tool_faults(settings.tools_dir) or faults:
        sys.exit(1)
    kept_files.keep()


def agent_faults(folder: Path) -> list[str]:
    """Return the faults of the files of AGENTS_DIR."""
    if not folder.is_dir():
        return []
    # perf: saves 30 ms (a start without agents): msgspec, and the wire format.
    from parley.agents import profile_files

    return [f"{folder}/{fault}" for fault in profile_files.read_folder(folder).faults]


def has_tool_faults(folder: Path) -> bool:
    """Return True if a file of TOOLS_DIR has a fault; all of them have been printed."""
    if not folder.is_dir():
        return False
    # In a process of its own: Python files run what they like, and the master must stay small and unpatched.
    root = str(Path(__file__).parents[2])
    environ = {**environment(), "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    return subprocess.run([sys.executable, "-m", "parley.server.tools_check"], env=environ).returncode != 0


def share_metrics_folder(server: Any) -> None:
    """Create the folder through which workers add up their metrics; without it each worker reports its own."""
    try:
        server.parley_metrics = metric_files.MetricFolder(server.cfg.worker_tmp_dir, server.cfg.workers)
    except OSError:
        server.log.warning("no space for temporary files: /metrics shows one worker at a time")
    else:
        share_metrics(server.parley_metrics.path)


def announce(server: Any, settings: Settings) -> None:
    """Start the embedded model if no upstream is set, then print where the server listens and how to call it."""
    global model_load
    if settings.warm_model:
        model_load = OncePerServer(server.cfg.worker_tmp_dir)
    # perf: saves 0.1 s (a refused start): structlog and msgspec are slow to load.
    from parley.server import arbiter, banner
    from parley.telemetry import logs

    arbiter.take_over(server, config_fault, functools.partial(memory_fault, settings))
    for listener in server.LISTENERS:
        tcp.tune(listener.sock, tcp.CLIENT_SECONDS)
    logs.configure(settings.log_level, settings.log_format, settings.secrets)
    if not settings.model_url and (model := model_process.model_file()):
        model_process.start(model)
    banner.announce(settings, [str(listener) for listener in server.LISTENERS])
