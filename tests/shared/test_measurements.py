"""The metrics of Redis: their names, and labels from closed sets."""

import pytest
from prometheus_client import REGISTRY
from redis_servers import RedisServer

from parley.shared.link import Link, Unanswered


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_happens_is_counted(link: Link, redis_server: RedisServer) -> None:
    asked = value("parley_redis_seconds_count", op="rate")
    failed = value("parley_redis_failures_total", op="rate", reason="error")
    decided = value("parley_limits_total", by="open")

    link.ask("rate", lambda client: client.ping())
    with pytest.raises(Unanswered):
        link.ask("rate", lambda client: client.execute_command("NO-SUCH-COMMAND"))
    link.count_limit("open")

    assert value("parley_redis_seconds_count", op="rate") == asked + 2
    assert value("parley_redis_failures_total", op="rate", reason="error") == failed + 1
    assert value("parley_limits_total", by="open") == decided + 1
    assert value("parley_redis_up") == 1 and value("parley_workers_seen") == 1
