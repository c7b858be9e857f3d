"""How long a start takes, and what a worker holds that has answered one call; a part of `make bench`.

python bench/startup.py --python .venv/deployment/bin/python     a Python that has requirements.txt and nothing else
"""

import argparse
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from measuring import documents, tables
from measuring.machine import CORES, Tree, build, free_port
from measuring.targets import KEY, parley
from measuring.upstream import running_upstream
from measuring.versions import about

PATIENCE_SECONDS = 30.0
MOST_SECONDS, MOST_RSS_MB = 1.0, 90.0
BODY = b'{"messages":[{"role":"user","content":"Hello"}],"stream":true}'


def main() -> None:
    """Start and stop it a few times; print the medians, and keep them where that is asked for."""
    options = _options()
    build()
    rows = [_start(options.python) for _ in range(options.rounds)]
    seconds, rss, pss = (statistics.median(column) for column in zip(*rows, strict=True))
    seconds_row = ["seconds from the start of `gunicorn` to the end of the first answer", tables.number(seconds, 2)]
    rss_row = ["RSS of the worker then, MB", tables.number(rss, 1)]
    pss_row = ["PSS of master and worker together, MB", tables.number(pss, 1)]
    text = documents.dated(about(), tables.markdown(["what", "measured"], [seconds_row, rss_row, pss_row]))
    judged = [[*seconds_row, *_judged(seconds, MOST_SECONDS, 2)], [*rss_row, *_judged(rss, MOST_RSS_MB, 1)]]
    targets = tables.markdown(["what", "measured", "required", ""], judged)
    print(f"\n## startup\n\n{text}\n\n{targets}")
    if options.write_docs:
        documents.put("startup", text)
        documents.put("startup", targets, documents.TARGETS)


def _start(python: str) -> tuple[float, float, float]:
    """Seconds to the first answer; MB that the worker holds, and that all processes hold."""
    port = free_port()
    with running_upstream() as upstream:
        upstream.set(1)
        start = parley(python=python)(port, upstream.base_url, Path())
        began = time.monotonic()
        tree = Tree(start.command, cores=CORES, env=os.environ | start.env, cwd=start.cwd)
        try:
            _first_answer(tree, port)
            seconds = time.monotonic() - began
            worker = tree.pids()[-1]
            return seconds, _rss_kib(worker) * 1024 / 1e6, tree.memory_kib() * 1024 / 1e6
        finally:
            tree.stop()


def _first_answer(tree: Tree, port: int) -> None:
    """Ask until an answer comes, and read it to its end."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/chat/completions", BODY, headers)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                assert b" w00000_" in answer.read()
                return
        except urllib.error.HTTPError as refusal:
            sys.exit(f"bench: Parley answered {refusal.code}: {refusal.read()[:300]!r}")
        except OSError:
            if tree.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("bench: Parley does not start")
            time.sleep(0.005)


def _rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _judged(value: float, limit: float, digits: int) -> list[str]:
    kept = "kept" if value <= limit else "**missed**"
    return [f"≤ {tables.number(limit, digits)}", kept]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the Python that serves")
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
