"""gunicorn's master loop with Parley's supervision: reloads that may fail, and the embedded model's process.

gunicorn alone ends the old workers as soon as a reload has forked new ones, and ends itself, with all calls, when one
of these can't load the app. Here a reload (SIGHUP) has these states:

    serving    --SIGHUP-->  the configuration is read; one that a start would refuse is refused, and nothing changes
    replacing  new workers start beside the old ones, which go on
        all new ones that live have booted -->  the old ones are told to stop:   serving
        none of the new ones lives         -->  the old ones stay:               serving

A worker that can't boot at any other time, or that the system has no room for (a process, a file), is started again,
after 1, 2, 4 ... 30 s, while another one serves. Only a server without any worker ends, as gunicorn does, so that
whoever started it sees it.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from parley.server import kept_files
from parley.telemetry.logs import log
from parley.upstream.embedded.model_process import Watch

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""Seconds between a worker that could not boot and the next one, at first and at most."""


class BootPipe:
    """Tells the master whether a worker has booted: a byte if it has, the end of the pipe if it can't any more."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._booted = False

    def keep_reading(self) -> None:
        """Close the worker's end, in the master."""
        os.close(self._write)

    def keep_writing(self) -> None:
        """Close the master's end, in the worker."""
        os.close(self._read)

    def tell(self) -> None:
        """Tell that this worker has booted."""
        os.write(self._write, b"1")
        os.close(self._write)

    @property
    def has_booted(self) -> bool:
        """True once the worker has told so."""
        if not self._booted and select.select([self._read], [], [], 0)[0]:
            self._booted = os.read(self._read, 1) == b"1"
        return self._booted

    def close(self) -> None:
        """Close the master's end, for a worker that has ended."""
        os.close(self._read)

    def give_up(self) -> None:
        """Close both ends, for a worker that could not be forked."""
        os.close(self._write)
        os.close(self._read)


newest: BootPipe | None = None
"""The pipe of the worker that is being forked, None at other times."""


class ParleyArbiter(Arbiter):  # type: ignore[misc] # it carries no types
    """gunicorn's master. An arbiter that has started becomes one by `take_over`."""

    model_watch: Watch
    config_fault: Callable[[Any], str | None]
    number_fault: Callable[[int], str | None]
    boot_pipes: dict[int, BootPipe]
    replaced: "set[int] | None"
    leaving: set[int]
    boot_pause: float
    boot_again_at: float

    def spawn_worker(self) -> Any:
        """Start a worker, and keep the end of the pipe in which it tells that it has booted.

        One that can't be started is put off, unless it is the only one: then the error is raised.
        """
        global newest
        try:
            pid = super().spawn_worker()
        except Exception as fault:  # of the system (fork, temporary files), or of a hook
            if newest:
                newest.give_up()
                newest = None
            if not self.WORKERS:
                raise
            self.put_off()
            log.error("worker_not_started", fault=str(fault), seconds_until_next=self.boot_pause)
            return None
        newest = None
        self.boot_pipes[pid] = self.WORKERS[pid].boot_pipe
        self.boot_pipes[pid].keep_reading()
        return pid

    def handle_ttin(self) -> None:
        """Add a worker (SIGTTIN), unless there may be no further one."""
        if wrong := self.number_fault(self.num_workers + 1):
            log.error("worker_refused", fault=wrong)
        else:
            super().handle_ttin()

    def reload(self) -> None:
        """Read the configuration, and start new workers beside the old ones. A faulty configuration is refused."""
        self._stats["reloads"] += 1
        config = self.app.cfg
        try:
            self.app.reload()
            self.setup(self.app)
            if wrong := hooks_fault(self.cfg) or self.config_fault(self.cfg) or self.number_fault(self.cfg.workers):
                raise ValueError(wrong)
            self.log.reopen_files()
            self.cfg.on_reload(self)
        # SystemExit: gunicorn's and our own way to refuse a configuration at the start.
        except (Exception, SystemExit) as fault:  # noqa: BLE001 - whatever a configuration file may raise
            # gunicorn has printed what is wrong with a file that can't be run, and exits with a bare 1.
            told = "the configuration file can't be run" if fault.args == (1,) else str(fault)
            log.error("reload_refused", fault=told, hint="nothing has changed; the workers go on")
            self.app.cfg = config
            self.setup(self.app)
            return
        if self.cfg.address != config.address:
            log.warning("reload_keeps_address", fault="another address to listen on needs a restart")
        # Those of an earlier reload that have not booted yet may hold older code.
        self.replaced = set(self.WORKERS) - self.leaving
        for _ in range(self.num_workers):
            self.spawn_worker()

    def reap_workers(self) -> None:
        """Note which processes have ended. One that could not boot ends the server only if no other worker serves."""
        self.look_at_model()
        before = dict(self.WORKERS)
        try:
            super().reap_workers()
        except HaltServer:
            # Of those that are to stop, too: their calls would be cut.
            if not any(self.boot_pipes[pid].has_booted for pid in self.WORKERS):
                raise
            for pid in before.keys() - self.WORKERS.keys():
                # What gunicorn leaves out where it is about to end.
                before[pid].tmp.close()
                self.cfg.child_exit(self, before[pid])
            self.clean_up(before)
            self.reap_workers()
        self.clean_up(before)

    def manage_workers(self) -> None:
        """Settle a reload, start the workers that are missing, and stop those that are too many."""
        self.look_at_model()
        if self.replaced is not None and not self.settle(self.replaced):
            return
        # gunicorn's own version counts those that are leaving, and signals them again and again.
        self.leaving &= set(self.WORKERS)
        staying = sorted(set(self.WORKERS) - self.leaving, key=lambda pid: self.WORKERS[pid].age)
        # Not at once: code that can't be loaded would keep a core busy.
        if time.monotonic() >= self.boot_again_at:
            for _ in range(self.num_workers - len(staying)):
                self.spawn_worker()
        if (
            self.boot_pause
            and all(self.boot_pipes[pid].has_booted for pid in staying)
            and len(staying) >= self.num_workers
        ):
            self.boot_pause = 0.0
        self.stop_workers(staying[: max(0, len(staying) - self.num_workers)])

    def settle(self, old: set[int]) -> bool:
        """Return True if a reload is over: stop the old workers, or leave them if no new one lives."""
        new = set(self.WORKERS) - old - self.leaving
        if not all(self.boot_pipes[pid].has_booted for pid in new):
            return False
        self.replaced = None
        if new:
            kept_files.keep()
            self.stop_workers(sorted(old & set(self.WORKERS)))
            log.info("reloaded", workers=len(new))
        else:
            log.error("reload_failed", fault="the new workers could not start", hint="the old workers go on")
        return True

    def stop_workers(self, pids: list[int]) -> None:
        """Tell workers to stop, once: each further signal would have them begin anew."""
        for pid in pids:
            self.leaving.add(pid)
            self.kill_worker(pid, signal.SIGTERM)

    def clean_up(self, before: dict[int, Any]) -> None:
        """Release what is kept for workers that have ended; put off the next start if one of them had not booted."""
        for pid in before.keys() - self.WORKERS.keys():
            pipe = self.boot_pipes.pop(pid, None)
            if pipe is None:
                continue
            if not pipe.has_booted:
                self.put_off()
            pipe.close()

    def put_off(self) -> None:
        """Have the next worker wait for longer than the last one."""
        self.boot_pause = min(max(FIRST_PAUSE_SECONDS, 2 * self.boot_pause), LONGEST_PAUSE_SECONDS)
        self.boot_again_at = time.monotonic() + self.boot_pause

    def look_at_model(self) -> None:
        """Have the embedded model's process replaced if it has ended."""
        # Without listeners the server is stopping.
        if self.LISTENERS:
            self.model_watch.look()


def hooks_fault(cfg: Any) -> str | None:
    """Return a fault if the hooks of Parley's configuration file are missing: it is gone, or another one was read."""
    hooks = [cfg.settings[name] for name in ("pre_fork", "post_fork", "post_worker_init")]
    is_missing = any(hook.get() is hook.default for hook in hooks)
    return "Parley's gunicorn.conf.py was not read" if is_missing else None


def take_over(
    server: Any, config_fault: Callable[[Any], str | None], number_fault: Callable[[int], str | None]
) -> None:
    """Turn gunicorn's arbiter, which has started, into a ParleyArbiter.

    `config_fault` returns the reason why a configuration can't work, or None; `number_fault` does so for a number of
    workers.
    """
    server.__class__ = ParleyArbiter
    server.config_fault, server.number_fault = config_fault, number_fault
    server.model_watch = Watch()
    server.boot_pipes, server.leaving = {}, set()
    server.replaced = None
    server.boot_pause = server.boot_again_at = 0.0


def before_fork(worker: Any) -> None:
    """Give a worker, which is about to be forked, the pipe in which it tells that it has booted."""
    global newest
    worker.boot_pipe = newest = BootPipe()


def after_fork(server: Any, worker: Any) -> None:
    """Close the master's ends of all pipes, in the worker, and note there whether it is one of a reload."""
    worker.is_of_reload = getattr(server, "replaced", None) is not None
    worker.boot_pipe.keep_writing()
    for pipe in getattr(server, "boot_pipes", {}).values():
        pipe.close()
