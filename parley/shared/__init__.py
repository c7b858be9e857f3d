"""Counts and hints that all workers of all machines share through Redis or Valkey (`REDIS_URL`).

    local        the limits of a worker without it
    urls         REDIS_URL as a value, and as a client of one server, of Sentinel or of a cluster
    link         the one way to Redis: deadlines, and a greenlet that alone decides whether it is there
    rates        RATE_LIMIT over all workers
    leases       MAX_STREAMS_PER_KEY over all workers
    hints        what workers tell one another of an upstream
    measurements the metrics

Nothing of the client library is imported before a `Link` connects, and no lock lives in Redis: what is counted there
each worker can count for itself while Redis is away. Sessions and vectors are kept there by `memory/redis_store.py` and
`knowledge/redis_vectors.py`, which ask through the link.
"""
