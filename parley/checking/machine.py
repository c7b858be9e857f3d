"""Checks of what is installed, and of the machine (PK, MA)."""

import contextlib
import importlib.metadata
import os
import re
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from parley.checking import calling
from parley.checking.configuration import variable
from parley.checking.probe import Probe
from parley.checking.report import Outcome, fail, ok, skip, warn
from parley.server import open_files
from parley.server.master import MEMORY_FOLDER

LEAST_PYTHON = (3, 11)
USUAL_PORT = 8000
"""Port on which gunicorn listens if PORT is not set."""
MAX_NAMED = 5
"""Packages that are told by name."""


def packages(probe: Probe) -> Iterator[Outcome]:
    """Tell whether Python and the packages are those that the server was tested with."""
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < LEAST_PYTHON:
        wanted = ".".join(map(str, LEAST_PYTHON))
        yield fail(f"Python {running} is too old", f"run it with Python {wanted} or later")
    wrong = list(differing(probe.project / "requirements.txt"))
    if wrong:
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        yield warn(
            f"{len(wrong)} packages are not those of requirements.txt: {', '.join(wrong[:MAX_NAMED])}{more}",
            f"{sys.executable} -m pip install -r requirements.txt",
        )
    else:
        yield ok(f"Python {running}, packages as in requirements.txt")
    yield authorities()


def differing(file: Path) -> Iterator[str]:
    """Yield the packages of a requirements file that are missing here, or have another version."""
    if not file.is_file():
        return
    for line in file.read_text().splitlines():
        if not (found := re.match(r"([A-Za-z0-9][^\\#]*==[^\\#]*)", line)):
            continue
        with contextlib.suppress(InvalidRequirement):
            wanted = Requirement(found[1].strip())
            if wanted.marker is None or wanted.marker.evaluate():
                try:
                    version = importlib.metadata.version(wanted.name)
                except importlib.metadata.PackageNotFoundError:
                    yield f"{wanted.name} is missing"
                    continue
                if not wanted.specifier.contains(version, prereleases=True):
                    yield f"{wanted.name} {version} ({wanted.specifier})"


def authorities() -> Outcome:
    """Return whether this machine knows any authority for certificates."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    # A folder of authorities is read as names come up: it does not show in the context.
    in_folder = paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath)
    if context.get_ca_certs() or in_folder:
        return ok("this machine knows authorities for certificates")
    fix = "apt-get install ca-certificates, or name a file of authorities in SSL_CERT_FILE"
    return fail("this machine knows no authority: every https upstream would be refused", fix)


def resources(probe: Probe) -> Iterator[Outcome]:
    """Tell whether the machine gives what the settings want of it."""
    wanted = probe.settings.max_streams
    found = []
    if (allowed := open_files.streams(wanted)) < wanted:
        fix = f"raise the hard limit (ulimit -Hn, LimitNOFILE=, nofile), or set MAX_STREAMS={allowed}"
        found.append(warn(f"open files suffice for {allowed} streams of MAX_STREAMS={wanted}", fix))
    if not os.access(MEMORY_FOLDER, os.W_OK):
        fix = "mount /dev/shm; without it workers' heartbeats need a disk that can be written"
        found.append(warn(f"{MEMORY_FOLDER} can't be written", fix))
    cores, workers = len(os.sched_getaffinity(0)), variable("WEB_CONCURRENCY")
    if workers.isdecimal() and int(workers) > cores:
        found.append(warn(f"WEB_CONCURRENCY={workers} on {cores} cores", f"set WEB_CONCURRENCY={cores}: one for each"))
    yield from found or [ok(f"files for {wanted} streams, {MEMORY_FOLDER} can be written, {cores} cores")]
    yield port_holder(probe)


def port_holder(probe: Probe) -> Outcome:
    """Return whether the server's port is free, or who listens there."""
    port = variable("PORT") or str(USUAL_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        return fail(f"PORT={port[:20]} is no port", "set PORT to a number, or leave it unset")
    if probe.offline:
        return skip(f"who listens on port {port} (--offline)")
    try:
        answer = calling.Caller().send("GET", f"http://127.0.0.1:{port}/health", seconds=3)
    except calling.CallFailed as exc:
        if "nobody listens" in str(exc):
            return ok(f"port {port} is free: no server runs here")
        return warn(f"something listens on port {port}, and is no web server: {exc}", "stop it, or set PORT")
    if answer.json().get("status") == "ok" and "x-request-id" in answer.headers:
        hint = "" if probe.address else f"; to test it: --url http://127.0.0.1:{port}"
        return ok(f"Parley listens on port {port}{hint}")
    who = answer.headers.get("server", "another server")
    return warn(f"port {port} is taken: {who} answers there", "stop it, or set PORT to another port")
