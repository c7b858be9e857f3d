"""What more workers bring on this machine, and whether their metrics add up; a part of `make bench`.

    python bench/scaling.py                 1, 2, ... workers, as many as there are cores; medians of three rounds
    python bench/scaling.py --workers 1,2 --rounds 1

Here the workers may use every core, and share them with the upstream and the load generator, which take a part of what
there is: the table says how much each had.
"""

import argparse
import re
import statistics
import urllib.request
from dataclasses import dataclass

from measuring import documents, tables
from measuring.machine import CORES, build
from measuring.scenarios import Load, Result, warm_up
from measuring.targets import KEY, PARLEY, Running, running_target
from measuring.upstream import running_upstream
from measuring.versions import about

STREAMS = "--clients 200 --seconds 5 --tokens 100 --limit 40"
CALLS = "--clients 64 --seconds 4 --tokens 1 --limit 40"


@dataclass
class Row:
    """What so many workers did: calls of one word and chunks a second, and the cores that each side had."""

    calls: float
    chunks: float
    cores: float
    tools: float
    asked: float
    counted: float


def main() -> None:
    """Measure, print, and keep what is asked for."""
    options = _options()
    build()
    rounds: dict[int, list[Row]] = {workers: [] for workers in options.workers}
    for _ in range(options.rounds):
        for workers, rows in rounds.items():
            rows.append(_measure(workers))
            print(f"{workers} workers: {rows[-1]}", flush=True)
    medians = {
        workers: Row(*(statistics.median(column) for column in zip(*(vars(row).values() for row in rows), strict=True)))
        for workers, rows in rounds.items()
    }
    _report(medians, write=options.write_docs)


def _measure(workers: int) -> Row:
    env = {"WEB_CONCURRENCY": str(workers)}
    with (
        running_upstream() as upstream,
        running_target("parley", PARLEY, upstream.base_url, env=env, cores=CORES) as target,
    ):
        warm_up(target, upstream)
        before = _counted(target)
        upstream.set(1)
        calls = _all_right(Load(target, upstream, CALLS).result())
        upstream.set(100, together=8)
        streams = _all_right(Load(target, upstream, STREAMS).result())
        return Row(
            calls=calls["right"] / calls["seconds"],
            chunks=streams["chunks"] / streams["seconds"],
            cores=streams["target_cpu"] / streams["seconds"],
            tools=(streams["cpu_seconds"] + streams["upstream_cpu"]) / streams["seconds"],
            asked=calls["answers"] + streams["answers"],
            counted=_counted(target) - before,
        )


def _all_right(heard: Result) -> Result:
    if sum(heard["wrong"].values()):
        raise SystemExit(f"bench: answers went wrong: {heard['wrong']} {heard['first_error']}")
    return heard


def _counted(target: Running) -> float:
    """The requests that /metrics tells of, whichever worker answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}/metrics", headers={"authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    counts = re.findall(r'^parley_requests_total\{[^}]*endpoint="chat"[^}]*\} ([0-9.e+]+)$', text, re.MULTILINE)
    return sum(map(float, counts))


def _report(rows: dict[int, Row], *, write: bool) -> None:
    first = next(iter(rows.values()))
    cells = [
        [
            str(workers),
            f"{tables.number(row.calls)} ({row.calls / first.calls:.2f} times)",
            f"{tables.number(row.chunks)} ({row.chunks / first.chunks:.2f} times)",
            f"{row.cores:.2f} + {row.tools:.2f}",
            f"{tables.number(row.counted)} of {tables.number(row.asked)}",
        ]
        for workers, row in rows.items()
    ]
    heads = [
        "workers",
        "calls of one word a second",
        "chunks a second",
        "cores used, Parley + tools",
        "requests in /metrics",
    ]
    text = documents.dated(about(), tables.markdown(heads, cells))
    print(f"\n## scaling\n\n{text}")
    if write:
        documents.put("scaling", text, documents.SCALING)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [str(count) for count in range(1, len(CORES) + 1)]
    parser.add_argument("--workers", default=",".join(every), type=lambda value: [int(one) for one in value.split(",")])
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
