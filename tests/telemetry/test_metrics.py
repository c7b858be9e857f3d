"""The end of a request is counted once and written as one log line; label values come from closed sets."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from parley.telemetry import metrics
from parley.turn_record import TurnRecord


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def ended(**fields: object) -> dict[str, object]:
    """End a request with these fields, and return its log line."""
    record = TurnRecord("chat", "some-id")
    for name, field in fields.items():
        setattr(record, name, field)
    with capture_logs() as logged:
        metrics.request_ended(record)
    (line,) = logged
    return dict(line)


def test_a_request_is_counted_by_its_outcome_and_code() -> None:
    labels = {"endpoint": "chat", "outcome": "error_mid", "code": "upstream_stalled"}
    before = value("parley_requests_total", **labels)

    ended(outcome="error_mid", code="upstream_stalled")

    assert value("parley_requests_total", **labels) == before + 1


def test_a_refused_request_is_a_rejection_too() -> None:
    before = value("parley_rejections_total", code="rate_limited")

    ended(outcome="refused", code="rate_limited")
    ended(outcome="error_before", code="upstream_error")

    assert value("parley_rejections_total", code="rate_limited") == before + 1
    assert value("parley_rejections_total", code="upstream_error") == 0


def test_times_are_observed_in_seconds_where_they_are_known() -> None:
    before = value("parley_first_byte_seconds_sum", endpoint="chat")

    ended(outcome="ok", first_ms=1500.0)
    ended(outcome="client_closed")

    assert value("parley_first_byte_seconds_sum", endpoint="chat") == before + 1.5


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        ("ok", "info"),
        ("refused", "info"),
        ("client_closed", "info"),
        ("error_before", "error"),
        ("error_mid", "error"),
        ("spoken_fallback", "error"),
        ("shutdown", "error"),
    ],
)
def test_a_failure_is_logged_as_an_error(outcome: str, level: str) -> None:
    line = ended(outcome=outcome)

    assert (line["event"], line["log_level"], line["outcome"], line["id"]) == ("request_end", level, outcome, "some-id")


def test_a_request_without_an_outcome_was_left_by_its_client() -> None:
    assert ended()["outcome"] == "client_closed"


def test_an_open_breaker_is_published_and_taken_back() -> None:
    metrics.set_breaker_states({"some-upstream": "open"})
    assert value("parley_breaker_open", upstream="some-upstream") == 1

    metrics.set_breaker_states({"some-upstream": "half-open"})
    assert value("parley_breaker_open", upstream="some-upstream") == 0


def test_one_worker_alone_exposes_its_own_metrics() -> None:
    ended(outcome="ok")

    assert b"parley_requests_total{" in metrics.exposition()
