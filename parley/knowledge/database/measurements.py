"""Metrics of the database: in a module of their own, so that a server without one does not show them."""

from prometheus_client import Counter, Gauge, Histogram

from parley.telemetry.metrics import REQUEST_BUCKETS

UP = Gauge("parley_database_up", "1 if the knowledge's database answers.", multiprocess_mode="livemin")
SECONDS = Histogram("parley_database_seconds", "Time of the database's answers.", ["op"], buckets=REQUEST_BUCKETS)
FAILURES = Counter("parley_database_failures", "Failures of the database by reason.", ["op", "reason"])
REVISION_AGE = Gauge(
    "parley_kb_revision_age_seconds",
    "Time since the database last confirmed that the newest knowledge is served.",
    multiprocess_mode="livemax",
)
RESIDENT = Gauge("parley_kb_resident_passages", "Passages that a worker holds in memory.", multiprocess_mode="livemax")
EVICTIONS = Counter("parley_kb_evictions", "Knowledge bases that left the memory for others, in each worker.")
