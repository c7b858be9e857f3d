"""Metrics of Redis; imported only with `REDIS_URL`, so that a server without it shows none of them."""

from prometheus_client import Counter, Gauge, Histogram

from parley.telemetry.metrics import STEP_BUCKETS

UP = Gauge("parley_redis_up", "1 while Redis answers in time, in every worker.", multiprocess_mode="livemin")
SECONDS = Histogram("parley_redis_seconds", "Time of a question to Redis.", ["op"], buckets=STEP_BUCKETS)
FAILURES = Counter("parley_redis_failures", "Questions to Redis without an answer.", ["op", "reason"])
LIMITS = Counter("parley_limits", "Decisions on limits, by who counted.", ["by"])
WORKERS = Gauge("parley_workers_seen", "Workers that share the limits.", multiprocess_mode="livemax")
