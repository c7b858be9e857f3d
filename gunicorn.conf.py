"""How gunicorn serves Parley: read by the bare `gunicorn -k gevent app:app`, in the master, before any fork.

Where it listens is gunicorn's own rule: 127.0.0.1:8000, or 0.0.0.0:$PORT where a platform sets PORT; so is
WEB_CONCURRENCY. Nothing heavy may be imported here: no ssl, no openai, no numpy.
https://docs.gunicorn.org/en/stable/settings.html
"""

import os
import shutil
import sys
import tempfile
from typing import Any

from parley.server import open_files
from parley.settings import SettingsError, load, names_proxies, share_metrics
from parley.upstream.embedded import model_process

MOST_PORT = 65_535
METRICS_BYTES = 1 << 20

try:
    settings = load()
except SettingsError as error:
    # One line and out, before any worker exists that could fail and be started again for ever.
    sys.exit(f"parley: {error}")

# One greenlet a connection; `gunicorn app:app` without -k would otherwise serve one caller at a time.
worker_class = "gevent"
# Fewer streams than MAX_STREAMS where the operating system allows too few open files.
streams = open_files.streams(settings.max_streams)
# Idle keep-alive connections and health checks take slots too, and a full worker queues without a word.
worker_connections = open_files.connections(streams)
# Above the idle time of the routers in front (Heroku's: 90 s).
keepalive = 95
# How long open streams may run on after SIGTERM; Parley ends those that are left two seconds earlier.
graceful_timeout = settings.graceful_timeout
# A worker that reports nothing for so long is replaced; streams report, only a blocked one does not.
timeout = 60
# gunicorn would open a socket file for remote control.
control_socket_disable = True
# Files that must exist but hold nothing of worth: in memory, so that neither a read-only nor a full disk matters.
_memory = "/dev/shm"
worker_tmp_dir = _memory if os.access(_memory, os.W_OK | os.X_OK) else None
# Workers import the app after gevent has patched the standard library, so never in the master.
preload_app = False


def on_starting(server: Any) -> None:
    """Before anything listens: what can't work is refused, in one line."""
    if fault := _fault(server.cfg):
        sys.exit(f"parley: {fault}")
    if server.cfg.worker_class_str != "gevent":
        server.log.warning(
            "worker class %s: one caller a thread, whoever leaves goes unnoticed, a stop cuts; use -k gevent",
            server.cfg.worker_class_str,
        )
    if streams < settings.max_streams:
        server.log.warning("MAX_STREAMS is lowered to %s: more open files are not allowed (ulimit -n)", streams)
    open_files.raise_for(streams)
    if server.cfg.workers > 1:
        _share_metrics(server)


def _fault(cfg: Any) -> str | None:
    """What is wrong with gunicorn's own settings, for us."""
    if cfg.preload_app:
        return "--preload loads the app before gevent has patched the standard library; leave it off"
    if cfg.max_requests and (cfg.workers < 2 or not cfg.max_requests_jitter):
        return "max_requests needs max_requests_jitter and two workers, or callers find none; better leave it off"
    if any(isinstance(address, tuple) and not 0 <= address[1] <= MOST_PORT for address in cfg.address):
        return f"PORT (or --bind): expected a port from 0 to {MOST_PORT}"
    if worker_tmp_dir is None and not _has_temporary_folder():
        return "no folder for temporary files can be written, and gunicorn needs one: set TMPDIR, or mount /dev/shm"
    return _proxy_fault()


def _proxy_fault() -> str | None:
    """Return the fault of a proxy that an upstream would be reached through."""
    if not names_proxies():
        return None
    from parley.http_client import (
        proxies,  # perf: saves 25 ms of other starts (it loads the standard library's HTTP client)
    )

    try:
        for url in settings.base_urls:
            proxies.proxy_for(url)
    except proxies.BadProxy as fault:
        return str(fault)
    return None


def _has_temporary_folder() -> bool:
    try:
        return bool(tempfile.gettempdir())
    except OSError:
        return False


def _share_metrics(server: Any) -> None:
    """A folder through which workers add up their metrics; without one each tells of itself alone."""
    try:
        with tempfile.TemporaryFile(dir=worker_tmp_dir) as probe:
            # They are mapped into memory: where the disk is full then, the first write would kill the worker.
            os.posix_fallocate(probe.fileno(), 0, server.cfg.workers * METRICS_BYTES)
        folder = tempfile.mkdtemp(prefix="parley-metrics-", dir=worker_tmp_dir)
    except OSError:
        server.log.warning("no room for temporary files: /metrics tells of one worker at a time")
        return
    server.parley_metrics = folder
    share_metrics(folder)


def child_exit(server: Any, worker: Any) -> None:
    """A worker has gone: its gauges go with it."""
    if hasattr(server, "parley_metrics"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """The master goes: nothing stays behind."""
    shutil.rmtree(getattr(server, "parley_metrics", ""), ignore_errors=True)


def when_ready(server: Any) -> None:
    """The master listens: start the embedded model where one is wanted, say where and how to ask."""
    from parley import tcp  # here, because the log's library takes a tenth of a second to load
    from parley.server import banner
    from parley.telemetry import logs

    for listener in server.LISTENERS:
        tcp.tune(listener.sock, tcp.CLIENT_SECONDS)
    logs.configure(settings.log_level, settings.log_format, settings.secrets)
    wants_embedded = not (settings.llm_base_url or settings.llm_api_key)
    if wants_embedded and (model := model_process.model_file()):
        model_process.start(model)
    banner.announce(settings, [str(listener) for listener in server.LISTENERS])


def post_fork(server: Any, worker: Any) -> None:
    """A worker begins: it lets go of the master's end of the embedded model's pipe."""
    model_process.disown()


def post_worker_init(worker: Any) -> None:
    """A worker has loaded the app: load what its first caller would wait for, and prepare for the end."""
    from parley.server import worker as parley_worker
    from parley.telemetry import logs

    logs.write_aside()
    services = worker.app.wsgi().extensions["parley"]
    services.admission.limit = streams
    # Other classes have no event loop beside their callers: the first of these waits for what is loaded.
    if worker.cfg.worker_class_str == "gevent":
        parley_worker.take_over(worker, services)
        services.warm()
    parley_worker.collect_garbage_rarely()
    parley_worker.switch_threads_soon()
