"""A worker that has neither Redis nor a database: what it loads, and what its start takes."""

import json
import statistics
import tempfile
from pathlib import Path

from running_server import held_by, hooked

from sharing.calls import Caller, Report, answering, cpu_seconds, serving

STARTS = 3
CLIENTS = ("redis", "psycopg", "psycopg_pool", "pgvector", "limits")
KINDS = ("as it is", "without the packages")
_TELL = """
import gevent, json, sys
def tell():
    gevent.sleep(0.5)
    open({path!r}, "w").write(json.dumps(sorted(sys.modules)))
gevent.spawn(tell)
"""


def neither(report: Report) -> None:
    """Print the modules of the clients that a worker loads, and its start beside one that could not load them."""
    with tempfile.TemporaryDirectory() as name, answering() as upstream:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(f"import sys\nfor name in {CLIENTS}:\n    sys.modules[name] = None\n")
        cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
        rss: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(STARTS):
            for kind in KINDS:
                settings = {"PYTHONPATH": name} if kind != KINDS[0] else {}
                told = folder / "modules.json"
                told.unlink(missing_ok=True)
                with serving(upstream, hooked(folder, _TELL.format(path=str(told))), **settings) as server:
                    caller = Caller(server)
                    while not told.exists() or not told.read_text():
                        caller.ask()
                    (worker,) = server.worker_pids()
                    cpu[kind].append(cpu_seconds(server))
                    rss[kind].append(held_by(worker).rss_bytes / 2**20)
                    caller.close()
                if kind == KINDS[0]:
                    modules = json.loads(told.read_text())
        loaded = [one for one in modules if one.partition(".")[0] in CLIENTS]
        report.count("neither: modules of the clients that a worker loads", len(loaded))
        ours = [one for one in modules if one.startswith(("parley.shared.", "parley.knowledge.database"))]
        report.line("neither: modules of ours beside them", ", ".join(ours), "parley.shared.local")
        for what, unit, found in (("CPU of a worker's start", "s", cpu), ("RSS of a worker", "MiB", rss)):
            here, there = (statistics.median(found[kind]) for kind in KINDS)
            report.line(
                f"neither: {what}, and without the packages", f"{here:.2f}, {there:.2f} {unit}", "no difference"
            )
