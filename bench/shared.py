"""What it costs to share a Redis and a database, and what calls notice when they fail: printed beside what is required.

    make bench-shared                      all figures, in some four minutes
    python bench/shared.py --only cost far --rounds 3000
    python bench/shared.py --only load --passages 100000

Redis is Valkey and PostgreSQL has pgvector, both from the tests' wheels, on this machine. Only counts are asserted:
exit 1 if one is broken.
"""

import argparse
import os
import signal
import sys
import time

import planned_upstream  # noqa: F401 - it says where the tests' modules are
from sharing import cost, counts, faults, knowledge, without
from sharing.calls import Report

FIGURES = {
    "cost": cost.first_byte,
    "far": cost.far,
    "faults": faults.frozen_and_killed,
    "sentinel": faults.sentinel,
    "cluster": faults.cluster,
    "admitted": counts.admitted,
    "places": counts.places,
    "reload": knowledge.reload_lag,
    "load": knowledge.hub_lag,
    "restart": knowledge.restarts,
    "without": without.neither,
}


def main() -> int:
    """Measure; return 1 if a promised count is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="NAME", help=f"{[*FIGURES]}"
    )
    parser.add_argument("--rounds", type=int, default=1000, help="calls of each kind")
    parser.add_argument("--passages", type=int, default=10_000, help="passages of the large base")
    options = parser.parse_args()
    # Servers have sessions of their own, and would outlive this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    report = Report(options.rounds, options.passages)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}: the figures are for an idle machine")
    for name in options.only:
        started = time.monotonic()
        FIGURES[name](report)
        print(f"-- {name}: {time.monotonic() - started:.0f} s", flush=True)
    for promise in report.broken:
        print(f"BROKEN: {promise}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
