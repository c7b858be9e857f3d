"""What the operator sees of a request: one log line, and metrics. Never a caller's words.

Labels come from closed sets (endpoints, outcomes, codes, the upstreams' names), so the number of series is bounded.
With several workers prometheus_client adds them up through a folder of files, which gunicorn's master names in the
environment before any worker imports this module; without one each worker tells of itself alone.
"""

import functools
from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from parley.telemetry.logs import log
from parley.turn_record import TurnRecord

Metric = TypeVar("Metric", Counter, Gauge, Histogram)

FAILURES = frozenset({"error_before", "error_mid", "spoken_fallback", "shutdown"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)

REQUESTS = Counter("parley_requests", "Requests by how they ended.", ["endpoint", "outcome", "code"])
OPEN_STREAMS = Gauge("parley_open_streams", "Turns under way.", ["endpoint"], multiprocess_mode="livesum")
FIRST_BYTE = Histogram("parley_first_byte_seconds", "Request to first byte.", ["endpoint"], buckets=_SECONDS)
FIRST_CONTENT = Histogram(
    "parley_first_content_seconds", "Request to the upstream's first content.", ["endpoint"], buckets=_SECONDS
)
CANCEL = Histogram("parley_cancel_seconds", "Client seen leaving to everything released.", buckets=_MOMENTS)
ATTEMPTS = Counter("parley_upstream_attempts", "Attempts by upstream and result.", ["upstream", "result"])
BREAKER = Gauge("parley_breaker_open", "1 where an upstream is left alone.", ["upstream"], multiprocess_mode="livemax")
REJECTIONS = Counter("parley_rejections", "Requests turned away.", ["code"])
LOOP_LAG = Histogram("parley_loop_lag_seconds", "How late the event loop was.", buckets=_MOMENTS)

LOOKUPS = Counter("parley_rag_lookups", "Questions looked up in the knowledge.", ["result"])
LOOKUP = Histogram("parley_rag_lookup_seconds", "How long that took.", buckets=_MOMENTS)
KB_PASSAGES = Gauge("parley_kb_passages", "Passages that a worker serves.", multiprocess_mode="livemax")
KB_RELOADS = Counter("parley_kb_reloads", "Knowledge bases read anew after a change, by worker.")
KB_RELOAD_FAILURES = Counter("parley_kb_reload_failures", "Changes that broke a file: the old knowledge serves on.")


@functools.cache  # prometheus_client's own way to them locks and compares: five times a request
def series(metric: Metric, *labels: str) -> Metric:
    """The series of a metric that bears these labels."""
    return metric.labels(*labels)


def request_ended(record: TurnRecord) -> None:
    """Write the request's log line, and count it."""
    record.ms = record.elapsed_ms
    record.outcome = record.outcome or "client_closed"
    series(REQUESTS, record.endpoint, record.outcome, record.code or "").inc()
    if record.outcome == "refused":
        series(REJECTIONS, record.code or "").inc()
    if record.first_ms is not None:
        series(FIRST_BYTE, record.endpoint).observe(record.first_ms / 1000)
    if record.ttft_ms is not None:
        series(FIRST_CONTENT, record.endpoint).observe(record.ttft_ms / 1000)
    write = log.error if record.outcome in FAILURES else log.info
    write("request_end", **record.fields())


def upstreams_are(states: Mapping[str, str]) -> None:
    """Note the state of each upstream's breaker; time alone changes it, so this is to be told now and then."""
    for upstream, state in states.items():
        series(BREAKER, upstream).set(state == "open")


def exposition() -> bytes:
    """All metrics in Prometheus' text format: of all workers where they share a folder, else of this one."""
    registry = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:  # no folder
        registry = REGISTRY
    return generate_latest(registry)
