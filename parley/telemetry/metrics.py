"""The end of a request as one log line and as metrics, and all other metrics. A caller's words appear in neither.

`reason` holds an upstream's words, cleaned by `parley/upstream/status_errors.py`.

Labels come from closed sets (endpoints, outcomes, codes, the upstreams' names), so the number of series is bounded.
With several workers prometheus_client adds them up through a folder of files, which gunicorn's master names in the
environment before any worker imports this module; without that folder each worker reports its own metrics.
"""

import functools
from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.metrics_core import Metric

from parley.telemetry import recent_turns
from parley.telemetry.logs import log
from parley.telemetry.shared_folder import READING, locked
from parley.turn_record import TurnRecord

Series = TypeVar("Series", Counter, Gauge, Histogram)

FAILURES = frozenset({"error_before", "error_mid", "spoken_fallback", "shutdown"})
"""Outcomes whose log line has level error."""
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds in seconds, for what a caller waits for."""
PASS_BUCKETS = (1, 2, 3, 4, 6, 10)
"""Upper bounds of answers in a turn."""
MAX_TOOLS = 64
"""Most tools that have series of their own; further ones share one."""
DECIMALS = 6
"""Decimals of the sums of seconds that workers share."""
STEP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)
"""Upper bounds in seconds, for single steps inside the server."""

REQUESTS = Counter("parley_requests", "Requests by outcome.", ["endpoint", "outcome", "code"])
OPEN_NAME = "parley_open_streams"
OPEN_STREAMS = Gauge(OPEN_NAME, "Turns that are running.", ["endpoint"], multiprocess_mode="livesum")
FIRST_BYTE = Histogram(
    "parley_first_byte_seconds", "Time from request to first byte.", ["endpoint"], buckets=REQUEST_BUCKETS
)
FIRST_CONTENT = Histogram(
    "parley_first_content_seconds",
    "Time from request to the first content, the upstream's or from the knowledge.",
    ["endpoint"],
    buckets=REQUEST_BUCKETS,
)
CANCEL = Histogram(
    "parley_cancel_seconds", "Time from noticing that a client left to releasing all it held.", buckets=STEP_BUCKETS
)
ATTEMPTS = Counter("parley_upstream_attempts", "Upstream attempts by upstream and result.", ["upstream", "result"])
BREAKER = Gauge(
    "parley_breaker_open", "1 if the upstream's circuit breaker is open.", ["upstream"], multiprocess_mode="livemax"
)
REJECTIONS = Counter("parley_rejections", "Requests refused, by code.", ["code"])
LOOP_LAG = Histogram("parley_loop_lag_seconds", "Delay of the event loop.", buckets=STEP_BUCKETS)

LOOKUPS = Counter("parley_rag_lookups", "Knowledge searches by result.", ["result"])
LOOKUP = Histogram("parley_rag_lookup_seconds", "Time of a knowledge search.", buckets=STEP_BUCKETS)
KB_PASSAGES = Gauge("parley_kb_passages", "Passages in the knowledge of a worker.", multiprocess_mode="livemax")
KB_RELOADS = Counter("parley_kb_reloads", "Knowledge bases reloaded after a change, in each worker.")
TOOL_CALLS = Counter("parley_tool_calls", "Calls of the operator's tools by result.", ["tool", "result"])
RUNNING_TOOL_CALLS = Gauge(
    "parley_tool_calls_running", "Calls of tools that are running, detached ones included.", multiprocess_mode="livesum"
)
TOOL = Histogram("parley_tool_seconds", "Time of a call of a tool.", ["tool"], buckets=REQUEST_BUCKETS)
TOOL_PASSES = Histogram(
    "parley_tool_passes", "Answers of the upstream in a turn for which tools are offered.", buckets=PASS_BUCKETS
)
MEMORY_LOOKUPS = Counter("parley_memory_lookups", "Looks into the memory before an answer, by result.", ["result"])
MEMORY_LOST = Counter("parley_memory_lost", "Turns, and late results of tools, that could not be remembered.")
KB_RELOAD_FAILURES = Counter("parley_kb_reload_failures", "Reloads that failed; the old knowledge stays in use.")


# perf: saves three quarters of prometheus_client's own lookup, which takes a lock (five lookups a request).
@functools.cache
def series(metric: Series, *labels: str) -> Series:
    """Return the series of a metric with these labels."""
    return metric.labels(*labels)


_tools: set[str] = set()


def tool_ended(name: str, result: str, seconds: float) -> None:
    """Count a call of a tool, and its time if it was run."""
    if len(_tools) < MAX_TOOLS:
        _tools.add(name)
    label = name if name in _tools else "other"
    series(TOOL_CALLS, label, result).inc()
    if result not in ("reused", "refused"):
        series(TOOL, label).observe(seconds)


def request_ended(record: TurnRecord) -> None:
    """Write the request's log line, at level error for a failure, and count the request."""
    record.ms = record.ms or record.elapsed_ms
    record.outcome = record.outcome or "client_closed"
    series(REQUESTS, record.endpoint, record.outcome, record.code or "").inc()
    if record.outcome == "refused":
        series(REJECTIONS, record.code or "").inc()
    if record.first_ms is not None:
        series(FIRST_BYTE, record.endpoint).observe(record.first_ms / 1000)
    if record.ttft_ms is not None:
        series(FIRST_CONTENT, record.endpoint).observe(record.ttft_ms / 1000)
    if record.passes is not None:
        TOOL_PASSES.observe(record.passes)
    write = log.error if record.outcome in FAILURES else log.info
    write("request_end", **record.fields())
    if recent_turns.kept is not None:
        recent_turns.kept.add(record)


def set_breaker_states(states: Mapping[str, str]) -> None:
    """Publish each upstream's breaker state. Call this periodically: a breaker also changes with time alone."""
    for upstream, state in states.items():
        series(BREAKER, upstream).set(state == "open")


class SharedCollector(multiprocess.MultiProcessCollector):
    """A collector of all workers' metrics that waits while the master merges the files of a worker that has ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry=registry)  # type: ignore[no-untyped-call]

    def collect(self) -> list[Metric]:
        """Return the metrics of all files; the master holds its lock for two system calls."""
        with locked(self._path, READING):
            metrics: list[Metric] = list(super().collect())  # type: ignore[no-untyped-call]
        for metric in metrics:
            if metric.type == "histogram":
                # The same seconds summed in another order may be less by a bit, which Prometheus takes for a restart.
                metric.samples = [sample._replace(value=round(sample.value, DECIMALS)) for sample in metric.samples]
        return metrics


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format, of all workers if they share a folder, else of this one."""
    return generate_latest(_registry())


def open_streams() -> int:
    """Return the number of turns that are running, in all workers if they share a folder, else in this one."""
    families = _registry().collect()
    return round(sum(sample.value for family in families for sample in family.samples if family.name == OPEN_NAME))


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        SharedCollector(registry)
    except ValueError:  # there is no shared folder
        # One worker alone: its own process registry has all series.
        registry = REGISTRY
    return registry
