"""The limits of retries: a budget for all of them, the pause before each, and the pause that an upstream asks for."""

import datetime
import math
import random
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

SHARE = 0.2
"""Retries that each request pays for."""
RESERVE = 10.0
"""Most retries that can be saved up."""
FIRST_PAUSE_SECONDS = 0.05
"""Seconds before the second attempt."""
PAUSE_SECONDS = (0.1, 0.4)
"""Least and most seconds before any later attempt."""


class RetryBudget:
    """A token bucket that limits retries to a fifth of the requests: a failing upstream is not flooded with them.

    It starts full, with `RESERVE` tokens. Each request adds `SHARE` of one, each retry or hedge takes one.
    """

    def __init__(self) -> None:
        self._tokens = RESERVE

    def deposit(self) -> None:
        """Add the share of one request."""
        self._tokens = min(RESERVE, self._tokens + SHARE)

    def spend(self) -> bool:
        """Take a token for a retry; return False if there is none."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def backoff(attempts: int) -> float:
    """Return the seconds to wait after `attempts` attempts: 50 ms at first, then 100 to 400 ms at random."""
    # Full jitter, so that the calls that failed together do not come back together.
    return FIRST_PAUSE_SECONDS if attempts == 1 else random.uniform(*PAUSE_SECONDS)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an upstream asks to wait: `retry-after-ms`, or `retry-after` as a number or an HTTP date.

    None if it asks for nothing, or for nothing that can be waited for: junk, the past, infinity.
    """
    milliseconds = _positive_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if seconds := _positive_number(text):
        return seconds
    try:
        moment = parsedate_to_datetime(text or "")
        seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
        return None
    return seconds if seconds > 0 else None


def _positive_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
