"""The retry budget, the pauses between attempts, and the pause that an upstream asks for."""

import email.utils
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parley.upstream.retries import RetryBudget, backoff, retry_after


def spent(budget: RetryBudget, most: int = 1000) -> int:
    """Return how many retries the budget pays for now."""
    return next((count for count in range(most) if not budget.spend()), most)


def date(seconds: float) -> str:
    """Return the HTTP date of a moment in `seconds`."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def test_a_budget_begins_with_ten_retries() -> None:
    assert spent(RetryBudget()) == 10


def test_each_request_pays_for_a_fifth_of_a_retry() -> None:
    budget = RetryBudget()
    spent(budget)
    for _ in range(4):
        budget.deposit()
    assert not budget.spend()
    for _ in range(2):  # the sixth is for what floats may lose
        budget.deposit()
    assert spent(budget) == 1


def test_a_budget_holds_no_more_than_ten_retries() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.deposit()
    assert spent(budget) == 10


@given(st.lists(st.booleans(), max_size=300))
def test_retries_are_at_most_a_fifth_of_the_requests_and_ten(steps: list[bool]) -> None:
    budget, questions, retries = RetryBudget(), 0, 0
    for is_question in steps:
        if is_question:
            budget.deposit()
            questions += 1
        else:
            retries += budget.spend()
        assert retries <= questions * 0.2 + 10 + 1e-9


def test_pauses_are_50_ms_and_then_100_to_400_ms() -> None:
    assert backoff(1) == 0.05
    pauses = [backoff(attempts) for attempts in (2, 3, 4) for _ in range(200)]
    assert 0.1 <= min(pauses) < 0.15 and 0.35 < max(pauses) <= 0.4 and len(set(pauses)) > 500


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": " 60 "}, 60.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20", "retry-after": "60"}, 0.02),
        ({"retry-after-ms": "junk", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "-5", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "inf", "retry-after": "3"}, 3.0),
        ({"retry-after": "9" * 300}, float("9" * 300)),
    ],
)
def test_an_upstream_may_ask_for_seconds_or_milliseconds(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == pytest.approx(seconds)


@pytest.mark.parametrize("zone", ["GMT", "+0000"])
def test_an_upstream_may_ask_for_a_date(zone: str) -> None:
    wish = retry_after({"retry-after": date(30).replace("GMT", zone)})
    assert wish is not None and 25 < wish <= 30


SENSELESS = (
    *("", " ", "0", "-0", "-1", "-0.5", "nan", "inf", "-inf", "1e400", "-1e400", "infinity", "9" * 400),
    *("soon", "1 s", "1,5", "0x10", "1e", "--1", "\xb2", "\x00", "1" * 10_000 + "x"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00", "Wed, 21 Oct 99999 07:28:00 GMT"),
    *("Wed, 31 Feb 2100 07:28:00 GMT", "Wed, 21 Oct 2100 25:61:61 GMT", "Wed,", ",", "21 Oct", "Wed, 21 Oct 2015"),
    "Wed, 21 Oct 2100 07:28:00 +9999999999",
)


@pytest.mark.parametrize("wish", SENSELESS)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_a_senseless_pause_is_none(name: str, wish: str) -> None:
    assert retry_after({name: wish}) is None


def test_without_a_header_there_is_no_pause() -> None:
    assert retry_after({}) is None


@given(st.text(max_size=60) | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [-+\w]{0,8}", fullmatch=True))
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_any_text_is_a_positive_pause_or_none(wish: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: wish})
        assert seconds is None or (seconds > 0 and math.isfinite(seconds))
