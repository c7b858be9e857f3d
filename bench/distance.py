"""How soon callers hear the first word of a model that is far away and behind TLS; a part of `make bench`.

    python bench/distance.py                                    medians of three rounds, 40 ms there and back
    python bench/distance.py --targets parley --rounds 1

The upstream stands behind nginx, which speaks TLS, and behind a proxy that delays every byte by half a round trip, and
new connections by a whole one (src/delay.c). The least that a call can take is one round trip; over a new connection
with TLS 1.3 it is three.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import documents, plots, tables
from measuring.machine import BUILD, LOAD_CORE, ROOT, Tree, build, free_port, running
from measuring.scenarios import start_load
from measuring.targets import NotInstalled, Running, find, nginx_binary, running_target
from measuring.upstream import Upstream, running_upstream
from measuring.versions import about

sys.path.insert(0, str(ROOT / "tests" / "support"))
from fake_tls_upstream import Certificates

ROUND_TRIP_MS = 40
REST_SECONDS = 1.5
"""Between the start and the first call, and before a burst: time enough to connect ahead."""
TARGETS = ["parley", "tutorial", "client-per-request"]
COLUMNS = ("call 1", "call 100", "50 at once, median", "50 at once, last", "50 again, median", "50 again, last")
GOAL_MS = 10
"""What the median of fifty calls at once may take beyond the round trip and the upstream's own time."""

TLS_FRONT = """
daemon off;
worker_processes 1;
error_log stderr error;
pid @FOLDER@/nginx.pid;
events { worker_connections 4000; }
http {
    access_log off;
    client_body_temp_path @FOLDER@/body;
    proxy_temp_path @FOLDER@/proxy;
    fastcgi_temp_path @FOLDER@/fastcgi;
    uwsgi_temp_path @FOLDER@/uwsgi;
    scgi_temp_path @FOLDER@/scgi;
    upstream model { server 127.0.0.1:@UPSTREAM@; keepalive 200; }
    server {
        listen 127.0.0.1:@PORT@ ssl backlog=4096;
        ssl_certificate @CERTIFICATE@;
        ssl_certificate_key @CERTIFICATE@;
        ssl_protocols TLSv1.2 TLSv1.3;
        keepalive_timeout 300s;
        location / {
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }
    }
}
"""


def main() -> None:
    """Measure, print, and keep what is asked for."""
    options = _options()
    build()
    try:
        nginx_binary()
    except NotInstalled as missing:
        sys.exit(f"bench: distance needs nginx, which speaks TLS for the upstream: {missing}")
    rounds: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running_upstream() as upstream:
        upstream.set(5)
        own_ms = _upstreams_own_time(upstream)
        certificates = Certificates(Path(folder))
        for number in range(1, options.rounds + 1):
            for name in options.targets:
                with far_away(upstream, certificates, Path(folder)) as base_url:
                    row = _measure(name, base_url, certificates)
                rounds.setdefault(name, []).append(row)
                print(f"{number} {name}: {dict(zip(COLUMNS, row, strict=True))}", flush=True)
    rows = {name: [statistics.median(column) for column in zip(*row, strict=True)] for name, row in rounds.items()}
    _report(rows, own_ms, write=options.write_docs)


@contextlib.contextmanager
def far_away(upstream: Upstream, certificates: Certificates, folder: Path) -> Iterator[str]:
    """The upstream behind TLS and the delay, on the load's core; gives its base URL."""
    tls_port, port = free_port(), free_port()
    text = TLS_FRONT
    values = {"FOLDER": folder, "UPSTREAM": upstream.port, "PORT": tls_port, "CERTIFICATE": certificates.good}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    configuration = folder / "tls.conf"
    configuration.write_text(text)
    delay: list[str | Path] = [BUILD / "delay", str(port), str(tls_port), str(ROUND_TRIP_MS)]
    with (
        running(Tree([nginx_binary(), "-c", configuration], cores=[LOAD_CORE]), tls_port),
        running(Tree(delay, cores=[LOAD_CORE]), port),
    ):
        yield f"https://localhost:{port}/v1"


def _measure(name: str, base_url: str, certificates: Certificates) -> list[float]:
    """Milliseconds to the first content, as COLUMNS has them."""
    env = {"SSL_CERT_FILE": str(certificates.authority), "SPARE_CONNECTIONS": "50"}
    with running_target(name, find(name), base_url, env=env) as target:
        time.sleep(REST_SECONDS)
        first = _first_content(target, "--answers 1")["p50"]
        _first_content(target, "--answers 98")
        hundredth = _first_content(target, "--answers 1")["p50"]
        bursts = []
        for _ in range(2):
            time.sleep(REST_SECONDS)
            burst = _first_content(target, "--clients 50 --answers 50")
            bursts += [burst["p50"], burst["max"]]
    return [first, hundredth, *bursts]


def _first_content(target: Running, load: str) -> dict[str, float]:
    heard = json.loads(start_load(target, f"{load} --tokens 5 --limit 60").communicate()[0])
    if sum(heard["wrong"].values()) or not heard["first"]["count"]:
        raise SystemExit(f"bench: answers went wrong: {heard['wrong']} {heard['first_error']}")
    return dict(heard["first"])


def _upstreams_own_time(upstream: Upstream) -> float:
    """What the median of fifty calls at once takes it, with nothing in between."""
    itself = Running(upstream.port, "/v1/chat/completions", None)
    return statistics.median(_first_content(itself, "--clients 50 --answers 50")["p50"] for _ in range(3))


def _report(rows: dict[str, list[float]], own_ms: float, *, write: bool) -> None:
    limit = ROUND_TRIP_MS + own_ms + GOAL_MS
    cells = [[name, *(tables.number(value, 1) for value in row)] for name, row in rows.items()]
    text = tables.markdown(["first content, ms", *COLUMNS], cells)
    text += f"\n\nThe upstream's own time for fifty calls at once: {own_ms:.1f} ms (median)."
    text = documents.dated(about("openai"), text)
    target = ""
    if "parley" in rows:
        median = rows["parley"][COLUMNS.index("50 at once, median")]
        kept = "kept" if median <= limit else "**missed**"
        target = f"Required: the median of 50 calls at once within {limit:.1f} ms; measured {median:.1f} ms: {kept}."
    print(f"\n## distance\n\n{text}\n\n{target}")
    if write:
        documents.save("distance", rows)
        documents.put("distance", text)
        documents.put("distance", target, documents.TARGETS)
        plots.distance(rows, COLUMNS[:4], ROUND_TRIP_MS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(TARGETS), type=lambda value: value.split(","))
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument("--write-docs", action="store_true", help="put table and plot into docs/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
