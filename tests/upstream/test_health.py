"""An upstream as one worker knows it: what opens its breaker, what is told to others, and how their hint counts."""

import math
import time
from dataclasses import dataclass

import pytest
import structlog

from parley.errors import (
    ParleyError,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamRefused,
    UpstreamTlsError,
)
from parley.upstream.breaker import Breaker
from parley.upstream.health import UpstreamHealth


@dataclass
class Named:
    """An upstream reduced to its name."""

    name: str


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def candidate() -> UpstreamHealth:
    """Return an upstream of which nothing is known."""
    return UpstreamHealth(Named("a"))  # type: ignore[arg-type]


def limited(**headers: str) -> UpstreamRefused:
    return UpstreamRefused(429, {}, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_failures_of_the_upstream_open_its_breaker(candidate: UpstreamHealth) -> None:
    for _ in range(5):
        candidate.failed(UpstreamError(""))
    assert candidate.breaker.state == "open" and candidate.sick_until > time.monotonic()


def test_mistakes_of_callers_leave_the_breaker_closed(candidate: UpstreamHealth) -> None:
    for _ in range(20):
        candidate.failed(UpstreamRefused(400, {}))
        candidate.failed(UpstreamTlsError(""))
        candidate.failed(UpstreamRefused(429, {}))
    assert candidate.breaker.state == "closed" and not candidate.limited_until


def test_a_retry_after_header_opens_the_breaker(candidate: UpstreamHealth) -> None:
    candidate.failed(limited(retry_after="60"))
    assert candidate.breaker.state == "open"
    assert candidate.sick_until == 0, "limited is not sick"


@pytest.mark.row("RF-08")
def test_one_request_above_a_rate_limit_cools_nobody_down(candidate: UpstreamHealth) -> None:
    candidate.failed(UpstreamRefused(429, {}, headers={"retry-after": "60"}, retryable=False))
    assert candidate.breaker.state == "closed" and not candidate.limited_until


def test_a_refused_key_opens_the_breaker_and_is_logged_once(candidate: UpstreamHealth) -> None:
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            candidate.failed(UpstreamAuthFailed("the upstream refused the server's own key"))
    reason = "the upstream refused the server's own key"
    line = {"upstream": "a", "reason": reason, "event": "upstream_auth_failed", "log_level": "error"}
    assert logged == [line]
    assert candidate.breaker.state == "open"


@pytest.mark.row("SH-14")
@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (limited(retry_after="30"), 30),
        (limited(retry_after="1.5"), 1.5),
        (limited(retry_after_ms="2500"), 2.5),
        (limited(retry_after="Sat, 01 Jan 2050 00:00:00 GMT"), 60),
        (limited(retry_after="86400"), 60),
        (limited(retry_after="0"), 0),
        (limited(retry_after="soon"), 0),
        (limited(retry_after="Sat, 01 Jan 2000 00:00:00 GMT"), 0),
        (limited(), 0),
        (UpstreamError("", status=503, headers={"retry-after": "30"}), 0),
        (UpstreamRefused(404, {}, headers={"retry-after": "30"}, fault="model"), 0),
    ],
    ids=["30 s", "a fraction", "ms", "a date", "a day", "0", "junk", "the past", "without", "503", "404"],
)
def test_a_limit_is_a_429_that_names_a_time(candidate: UpstreamHealth, error: ParleyError, seconds: float) -> None:
    candidate.failed(error)
    left = candidate.limited_until - time.monotonic()
    assert seconds - 1 < left <= seconds if seconds else candidate.limited_until == 0


@pytest.mark.row("SH-14")
def test_a_hint_counts_for_its_time(candidate: UpstreamHealth) -> None:
    assert candidate.hinted == ""
    candidate.heed("limited", 60)
    assert candidate.hinted == "limited"
    candidate.heed("limited", -1)
    assert candidate.hinted == "" and candidate.hint is not None


@pytest.mark.row("SH-14")
def test_an_answer_to_a_turn_begun_since_ends_a_hint(candidate: UpstreamHealth) -> None:
    before = time.monotonic()
    candidate.heed("limited", 60)
    candidate.succeeded(begun=before - 1)
    assert candidate.hinted == "limited", "it may have been let in before the limit was reached"

    # What is said again is the same hint.
    candidate.heed("limited", 50)
    assert candidate.hint and before <= candidate.hint.since <= time.monotonic()
    candidate.succeeded(begun=time.monotonic())
    assert candidate.hint is None

    candidate.heed("sick", 60)
    candidate.succeeded()
    assert candidate.hint is None


@pytest.mark.row("SH-14")
def test_failures_and_refusals_end_no_hint(candidate: UpstreamHealth) -> None:
    candidate.heed("sick", 60)
    candidate.failed(UpstreamError(""))
    candidate.wordless()
    candidate.released()
    assert candidate.hinted == "sick"


@pytest.mark.row("SH-14")
def test_a_worker_with_failures_of_its_own_probes_by_itself() -> None:
    clock = Clock()
    candidate = UpstreamHealth(Named("a"), Breaker(clock))  # type: ignore[arg-type]
    candidate.heed("sick", math.inf)
    candidate.breaker.failed(at_once=True)
    clock.now += 5
    assert candidate.breaker.state == "half_open" and candidate.hinted == ""

    candidate.heed("limited", math.inf)
    assert candidate.hinted == "limited"
