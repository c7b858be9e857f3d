"""Configuration of gunicorn for Parley, read by the bare `gunicorn -k gevent app:app` in the master, before any fork.

gunicorn itself chooses where it listens (127.0.0.1:8000, or 0.0.0.0:$PORT where a platform sets PORT) and reads
WEB_CONCURRENCY. Nothing heavy may be imported here: no ssl, no openai, no numpy.
https://docs.gunicorn.org/en/stable/settings.html
"""

import gc

from parley.server import kept_files, master, open_files
from parley.upstream.embedded import model_process

settings = master.load_settings()

# One greenlet per connection: `gunicorn app:app` without -k would otherwise serve one caller at a time.
worker_class = "gevent"
# Fewer streams than MAX_STREAMS if the operating system allows too few open files.
streams = open_files.streams(settings.max_streams)
# Idle keep-alive connections and health checks need slots too; a worker without a free slot stops accepting, silently.
worker_connections = open_files.connections(streams)
# Seconds. Above the idle time of the routers in front (Heroku's: 90 s), so that they never reuse a closed connection.
keepalive = 95
# Seconds that open streams may run on after SIGTERM; Parley ends the remaining ones two seconds earlier.
graceful_timeout = settings.graceful_timeout
# Seconds after which a worker whose event loop is blocked is replaced; open streams don't count as blocked.
timeout = 60
# By default gunicorn opens a socket file for remote control.
control_socket_disable = True
# In memory, because neither a read-only nor a full disk may stop a worker's heartbeat file.
worker_tmp_dir = master.memory_folder()
# Each worker imports the app after gevent has patched the standard library; the master must not import it.
preload_app = False


def on_starting(server):
    """Refuse what can't work, before anything listens."""
    master.prepare(server, settings, streams)


def when_ready(server):
    """Start the embedded model where it is needed, and announce the server."""
    master.announce(server, settings)


def on_reload(server):
    """Read the files of tools and agents anew, for workers that take the place of those that the reload starts."""
    kept_files.read(settings.tools_dir, settings.agents_dir)


def pre_fork(server, worker):
    """Prepare the pipe in which a worker tells that it has booted."""
    from parley.server import arbiter  # here, because a start that is refused must not wait for it

    arbiter.before_fork(worker)


def post_fork(server, worker):
    """Close the worker's copies of what tells that the master lives: pipes, one for the embedded model, and a lock.

    And collect no garbage until `post_worker_init`.
    """
    # perf: saves a tenth of the CPU time of a start. What it loads stays, so looking for garbage in it is in vain.
    gc.disable()
    model_process.disown()
    if metrics := getattr(server, "parley_metrics", None):
        metrics.disown()
    from parley.server import arbiter

    arbiter.after_fork(server, worker)


def post_worker_init(worker):
    """Prepare a worker that has loaded the app."""
    from parley.server import worker as parley_worker  # here, because it imports gevent, which the master must not

    parley_worker.prepare(worker, streams)
    worker.boot_pipe.tell()


def child_exit(server, worker):
    """Merge a dead worker's metrics into those of all that have ended."""
    if metrics := getattr(server, "parley_metrics", None):
        metrics.merge(worker.pid)


def on_exit(server):
    """Remove the shared metrics."""
    if metrics := getattr(server, "parley_metrics", None):
        metrics.remove()
